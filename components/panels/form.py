"""What the parts of the Collect form hand on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

UPLOADS = "data.uploads"  # how many upload fields there were: a new one is empty


@dataclass(frozen=True)
class Form:
    """A form as far as it is filled in: what a DataConfig is made of, None while something is missing.

    `show` draws what was understood so far, where there is something to look at before anything is stored.
    """

    asked: dict[str, Any] | None
    show: Callable[[], None] | None = None
