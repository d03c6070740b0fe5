"""The time now, and time as the text that tables people read carry: ISO-8601, UTC, milliseconds."""

from __future__ import annotations

from datetime import UTC, datetime


def utc_now() -> datetime:
    """The aware time now, in UTC."""
    return datetime.now(UTC)


def utc_text(moment: datetime | None = None) -> str:
    """`moment` (default: now) as `2026-11-21T14:32:07.120Z`; such texts sort as the times do.

    Raises ValueError when `moment` carries no time zone.
    """
    moment = utc_now() if moment is None else moment
    if moment.tzinfo is None:
        raise ValueError(f"{moment!r} has no time zone; time inside Sequence is aware UTC")
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def parse_utc(text: str) -> datetime:
    """The aware time that `utc_text` wrote."""
    return datetime.fromisoformat(text).astimezone(UTC)
