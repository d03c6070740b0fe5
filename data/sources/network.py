"""The one seam between Sequence and the servers of vendors: addresses, patience, and what a failure means.

Every live source asks through here, so that a setting can point it at another server, no question waits
for ever, and a busy or sick server is asked again, ever more slowly, before anybody hears of it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import tenacity

from core.errors import TryAgainError
from core.settings import current_settings
from core.version import __version__

USER_AGENT = f"Sequence/{__version__} (FX research workbench)"
_LONGEST_WAIT_SECONDS = 60.0
_Answer = TypeVar("_Answer")


class SourceUnavailableError(TryAgainError):
    """A vendor's server is busy, sick or out of reach; the same question may be answered later."""


class BusyServerError(SourceUnavailableError):
    """One attempt that is worth another: the server said 429 or 5xx, broke off, or stayed silent."""


def ask(question: Callable[[], _Answer]) -> _Answer:
    """The answer to `question`, asked up to `sources.attempts` times while it raises BusyServerError.

    The waits between attempts double from `sources.backoff_seconds` and are spread at random, so that
    several processes do not knock in step. Raises the last BusyServerError.
    """
    settings = current_settings().sources
    retrying = tenacity.Retrying(
        retry=tenacity.retry_if_exception_type(BusyServerError),
        stop=tenacity.stop_after_attempt(settings.attempts),
        wait=tenacity.wait_random_exponential(multiplier=settings.backoff_seconds, max=_LONGEST_WAIT_SECONDS),
        reraise=True,
    )
    return retrying(question)


def refuse_sick(vendor: str, status: int) -> None:
    """Raise BusyServerError when an HTTP status says that asking again may help (429 and 5xx)."""
    if status == 429:
        raise BusyServerError(f"{vendor} is asked too often just now (HTTP 429).", "Wait a few minutes and try again.")
    if status >= 500:
        raise BusyServerError(f"{vendor} has trouble just now (HTTP {status}).", "Try again later.")


def out_of_reach(vendor: str, error: Exception) -> BusyServerError:
    """What a connection that failed, broke off or stayed silent means."""
    return BusyServerError(
        f"{vendor} could not be reached, or broke off ({type(error).__name__}).",
        "Check the internet connection, then try again.",
    )
