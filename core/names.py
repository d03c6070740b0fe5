"""Names that users type: which are allowed, and which known one a mistyped one was meant to be."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable

from core.errors import InputError, UnknownNameError

_ALLOWED = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
# Windows refuses these as file names whatever their ending, and a workbench folder may move there.
_DEVICES = {"con", "prn", "aux", "nul", *(f"com{n}" for n in range(1, 10)), *(f"lpt{n}" for n in range(1, 10))}


def checked_name(name: object, what: str) -> str:
    """Return `name` when it can safely name a file; `what` says what it names ("run_id").

    Raises InputError when it is not text of 1 to 64 letters, digits, `_`, `.` or `-`.
    """
    if (
        isinstance(name, str)
        and _ALLOWED.fullmatch(name)
        and name.split(".")[0].lower() not in _DEVICES
        and not name.endswith(".")
    ):
        return name
    raise InputError(
        f"{what}={name!r} cannot be used as a name.",
        "Use 1 to 64 letters, digits, '_', '.' or '-', beginning with a letter or digit.",
    )


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The known name closest to `name`, ignoring case, or None when nothing comes near."""
    by_lower = {candidate.lower(): candidate for candidate in known}
    close = difflib.get_close_matches(name.lower(), by_lower, n=1, cutoff=0.5)
    return by_lower[close[0]] if close else None


def unknown_name(kind: str, name: object, known: Iterable[str]) -> UnknownNameError:
    """The error for a `kind` of thing that nothing answers to, offering the nearest name and all of them."""
    names = sorted(known)
    meant = nearest(str(name), names)
    cure = f"Did you mean {meant!r}? " if meant else ""
    return UnknownNameError(f"There is no {kind} {name!r}.", f"{cure}Known: {', '.join(names) or 'none yet'}.")
