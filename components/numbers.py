"""Numbers and times as the reader sees them: thin thousands, true minus signs, "–" for the unknown."""

from __future__ import annotations

import math
from datetime import datetime

from core.clock import parse_utc, utc_now

DASH = "–"
_THIN = "\u202f"
_MINUS = "\u2212"


def number(value: float | None, digits: int = 0, *, sign: bool = False) -> str:
    """`1234.5` as `1 234.50`; with `sign` a plus as well; never a minus before zero."""
    if value is None or math.isnan(value):
        return DASH
    if math.isinf(value):
        return "∞" if value > 0 else f"{_MINUS}∞"
    rounded = round(float(value), digits) + 0.0
    text = f"{abs(rounded):,.{digits}f}".replace(",", _THIN)
    if rounded < 0:
        return f"{_MINUS}{text}"
    return f"+{text}" if sign and rounded > 0 else text


def percent(value: float | None, *, sign: bool = False) -> str:
    """A percentage (0–100) with two decimals."""
    text = number(value, 2, sign=sign)
    return text if text == DASH else f"{text} %"


def money(value: float | None, currency: str, *, sign: bool = False) -> str:
    """An amount with two decimals and its currency."""
    text = number(value, 2, sign=sign)
    return text if text == DASH else f"{text} {currency}"


def ratio(value: float | None, count: int, enough: int) -> str:
    """A ratio with two decimals; below `enough` cases the count instead of a number that says little."""
    return f"n = {count}" if count < enough else number(value, 2)


def stamp(text: str | datetime | None, *, seconds: bool = False) -> str:
    """A UTC time as `2018-02-07 15:00`."""
    if text is None:
        return DASH
    moment = parse_utc(text) if isinstance(text, str) else text
    return moment.strftime("%Y-%m-%d %H:%M:%S" if seconds else "%Y-%m-%d %H:%M")


def age(text: str) -> str:
    """How long ago a UTC time was: `12 s ago`, `4 min ago`, `3 h ago`, else the date."""
    seconds = max(0.0, (utc_now() - parse_utc(text)).total_seconds())
    if seconds < 60:
        return f"{int(seconds)} s ago"
    if seconds < 3600:
        return f"{int(seconds / 60)} min ago"
    return f"{int(seconds / 3600)} h ago" if seconds < 86_400 else stamp(text)[:10]


def span(seconds: float) -> str:
    """A length of time: `12 s`, `3 min 20 s`, `2 h 5 min`."""
    whole = int(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def size(size_bytes: float) -> str:
    """Bytes as KiB, MiB or GiB."""
    for unit, step in (("GiB", 2**30), ("MiB", 2**20)):
        if size_bytes >= step:
            return f"{number(size_bytes / step, 1)} {unit}"
    return f"{number(size_bytes / 2**10, 0)} KiB"
