"""Times as vendors write them: the format that reads a column of them, and the clock they were read from."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from itertools import chain

import numpy as np
import pandas as pd

from core.errors import InputError
from core.names import nearest

# What a time format may be besides a pattern of strptime: name → pandas' unit.
EPOCHS = {
    "epoch seconds": "s",
    "epoch milliseconds": "ms",
    "epoch microseconds": "us",
    "epoch nanoseconds": "ns",
}
ISO, ISO_WITH_ZONE = "ISO8601", "ISO8601 %z"
_EPOCH = re.compile(r"-?\d{1,19}(\.\d+)?")
_EPOCH_CELL = re.compile(r"\d{9,19}(\.\d+)?")
# Pattern of a date, and the formats it may stand for; {0} is the sign between its parts.
_DATES = (
    (r"\d{4}([-./])\d{1,2}\1\d{1,2}(?!\d)", ("%Y{0}%m{0}%d",)),
    (r"\d{8}", ("%Y%m%d",)),
    (r"\d{1,2}([-./ ])\d{1,2}\1\d{4}(?!\d)", ("%d{0}%m{0}%Y", "%m{0}%d{0}%Y")),
    (r"\d{1,2}([-./ ])\d{1,2}\1\d{2}(?!\d)", ("%d{0}%m{0}%y", "%m{0}%d{0}%y", "%y{0}%m{0}%d")),
    (r"\d{1,2}([-./ ])[A-Za-z]{3,9}\1\d{4}(?!\d)", ("%d{0}%b{0}%Y", "%d{0}%B{0}%Y")),
    (r"\d{1,2}([-./ ])[A-Za-z]{3,9}\1\d{2}(?!\d)", ("%d{0}%b{0}%y", "%d{0}%B{0}%y")),
    (r"[A-Za-z]{3,9}() \d{1,2}, \d{4}(?!\d)", ("%b %d, %Y", "%B %d, %Y")),
)
_REST = re.compile(
    r"(?P<between>T|,? +|[_-])?(?P<clock>\d[\d:.,]*(?: ?[AaPp][Mm])?|\d{1,2}-[AP]M)?"
    r"(?P<space> ?)(?P<word>UTC|GMT)?(?P<offset>Z|[+-]\d{1,2}(?::?\d{2})?)?"
)
_CLOCKS = (
    (r"\d{1,2}:\d{2}()", "%H:%M"),
    (r"\d{1,2}:\d{2}:\d{2}()", "%H:%M:%S"),
    (r"\d{1,2}:\d{2}:\d{2}([.,:])\d{1,9}", "%H:%M:%S{0}%f"),
    (r"\d{1,2}:\d{2}( ?)[AaPp][Mm]", "%I:%M{0}%p"),
    (r"\d{1,2}:\d{2}:\d{2}( ?)[AaPp][Mm]", "%I:%M:%S{0}%p"),
    (r"\d{4}()", "%H%M"),
    (r"\d{6}()", "%H%M%S"),
    (r"\d{9}()", "%H%M%S%f"),
    (r"\d{1,2}-[AP]M()", "%I-%p"),
)
_SHORT_OFFSET = re.compile(r"([+-])(\d)$")
_OFFSET = re.compile(r"(Z|[+-]\d{2}(:?\d{2})?)$")


def formats_of(stamp: str) -> list[str]:
    """The formats that a time may be written in, by its look alone; none when it is no time."""
    found = []
    for pattern, forms in _DATES:
        date = re.match(pattern, stamp)
        rest = _REST.fullmatch(stamp[date.end() :]) if date else None
        if date is None or rest is None or bool(rest["between"]) > bool(rest["clock"]):
            continue
        clock = clock_format(rest["clock"]) if rest["clock"] else ""
        glued = bool(clock) and not rest["between"]
        if clock is None or (glued and (pattern != r"\d{8}" or ":" in clock)):
            continue
        sign = date[1] if date.re.groups else ""
        zone = f"{rest['space']}{rest['word'] or ''}{'%z' if rest['offset'] else ''}".rstrip()
        found += [f"{form.format(sign)}{rest['between'] or ''}{clock}{zone}" for form in forms]
    return found


def clock_format(text: str) -> str | None:
    """The format of a time of day; None when it is none."""
    for pattern, form in _CLOCKS:
        if match := re.fullmatch(pattern, text):
            return form.format(match[1])
    return None


def looks_like_a_time(cell: str) -> bool:
    """Whether a cell may hold a date, with or without a clock, or seconds since 1970."""
    return bool(_EPOCH_CELL.fullmatch(cell)) or bool(formats_of(cell))


def guess_format(parts: Sequence[Sequence[str]]) -> tuple[str, str | None]:
    """The format that reads most of some stretches of a file, and a rival that fits as well; ("", None) if none does.

    A wrong order of day and month goes to and fro, or leaps by months between hours, or puts bars on weekends.
    """
    stamps = list(chain.from_iterable(parts))
    looks = {re.sub("[A-Za-z]", "a", re.sub(r"\d", "0", stamp)): stamp for stamp in stamps}
    candidates = list(dict.fromkeys(form for stamp in looks.values() for form in formats_of(stamp)))
    if len(looks) > 1 and any(form.startswith("%Y-%m-%d") for form in candidates):
        candidates.append(ISO_WITH_ZONE if _OFFSET.search(stamps[0][10:]) else ISO)
    read = {form: parse_times(stamps, form) for form in candidates}
    counts = {form: int(np.sum(times.notna())) for form, times in read.items()}
    best = max(counts.values(), default=0)
    epoch = _epoch_unit(stamps)
    if epoch and best < len(stamps):
        return epoch, None
    fits = {form: times for form, times in read.items() if best and counts[form] == best}
    # January is %b and %B alike: formats that read the same are one.
    different = {times.asi8.tobytes(): form for form, times in reversed(fits.items())}
    forms = [form for form in fits if form in different.values()]
    forms = [form for form in forms if not form.startswith("%y")] or forms  # hardly anybody writes 24/12/31
    if len(forms) < 2:
        return (forms[0] if forms else ""), None
    oddities = {form: _oddity([parse_times(part, form) for part in parts]) for form in forms}
    forms.sort(key=lambda form: oddities[form])
    return forms[0], None if _is_clearly_likelier(oddities[forms[0]], oddities[forms[1]]) else forms[1]


def _epoch_unit(stamps: Sequence[str]) -> str | None:
    if not stamps or not all(_EPOCH.fullmatch(stamp) for stamp in stamps):
        return None
    digits = [len(stamp.split(".")[0].lstrip("-")) for stamp in stamps]
    long = [count for count in digits if count >= 9]  # shorter ones: the years after 1970, or row numbers
    if 2 * len(long) < len(digits):
        return None
    usual = Counter(long).most_common(1)[0][0]
    return next(name for name, most in zip(EPOCHS, (11, 14, 17, 19), strict=True) if usual <= most)


def _oddity(parts: Sequence[pd.DatetimeIndex]) -> tuple[bool, bool, bool, float]:
    """How odd it were to write bars at these times: to and fro; days, some on weekends; days travelled in each part."""
    known = [part.dropna() for part in parts]
    known = [part for part in known if len(part)]
    rising = all(part.is_monotonic_increasing for part in known)
    falling = all(part.is_monotonic_decreasing for part in known)
    firsts = [part[0] for part in known]
    one_way = (rising and firsts == sorted(firsts)) or (falling and firsts == sorted(firsts, reverse=True))
    steps = np.abs(np.concatenate([np.diff(part.asi8) for part in known])) / 86_400e6
    are_days = not len(steps) or bool(np.median(steps) >= 1)
    on_weekends = are_days and len(steps) > 3 and any((part.day_of_week > 4).any() for part in known)
    return not one_way, are_days, on_weekends, float(steps.sum())


def _is_clearly_likelier(one: tuple[bool, bool, bool, float], other: tuple[bool, bool, bool, float]) -> bool:
    """Days of one month and the same day of many months are both good bars, unless only one avoids weekends."""
    (odd, _, weekends, travelled), (other_odd, are_days, other_weekends, other_travelled) = one, other
    if odd != other_odd:
        return not odd
    return travelled < other_travelled and (not are_days or weekends < other_weekends)


def parse_times(stamps: Sequence[str], form: str) -> pd.DatetimeIndex:
    """The times as they stand, without a zone; those that carry an offset in UTC. NaT where one does not read so.

    Raises ValueError when the format itself is none.
    """
    if form in EPOCHS:
        return _since_1970(stamps, form)
    aware = "%z" in form
    if form in {ISO, ISO_WITH_ZONE}:
        fits = _OFFSET.search if aware else re.compile("[^Z+-]*").fullmatch
        kept = [stamp if fits(stamp[10:]) else "" for stamp in stamps]
        times = pd.to_datetime(pd.Index(kept, dtype="str"), format=ISO, errors="coerce", utc=aware)
    else:
        kept = [_SHORT_OFFSET.sub(r"\g<1>0\2", stamp) for stamp in stamps] if aware else list(stamps)
        times = pd.to_datetime(pd.Index(kept, dtype="str"), format=form, errors="coerce", utc=aware)
    return pd.DatetimeIndex(times).tz_localize(None).as_unit("us")


def _since_1970(stamps: Sequence[str], form: str) -> pd.DatetimeIndex:
    per_microsecond = {"s": 1e6, "ms": 1e3, "us": 1.0, "ns": 1e-3}[EPOCHS[form]]
    numbers = np.array([float(stamp) if _EPOCH.fullmatch(stamp) else np.nan for stamp in stamps])
    micros = np.round(numbers * per_microsecond)
    # Seconds among milliseconds, as some vendors mix them, would fall into January 1970 or far into the future.
    known = (np.abs(micros) < 7.3e15) & ((form == "epoch seconds") | (np.abs(micros) > 1e14))
    filled = np.where(known, micros, 0).astype("int64").astype("datetime64[us]")
    filled[~known] = np.datetime64("NaT")
    return pd.DatetimeIndex(filled)


def carries_zone(form: str) -> bool:
    """Whether times of this format say themselves where they are meant, each by its offset or by the word UTC."""
    return "%z" in form or form.endswith(("UTC", "GMT"))


def to_utc(wall: pd.DatetimeIndex, zone: str, *, equal_is_later: bool) -> pd.DatetimeIndex:
    """Rising times of a wall clock as UTC; NaT where the clock of `zone` leaps over them in spring.

    The hour that autumn repeats is told apart by the row at which the clock steps back (`equal_is_later`: or
    stands, as bars of one hour do); where it never does, only its second pass is there.
    """
    base, ahead = zone_parts(checked_zone(zone))
    clock = wall - pd.Timedelta(hours=ahead)
    first, second = (
        clock.tz_localize(base, ambiguous=np.full(len(clock), summer), nonexistent="NaT").tz_convert("UTC")
        for summer in (True, False)
    )
    twice = np.flatnonzero(np.asarray(first != second) & np.asarray(first.notna()))
    if len(twice):
        moments = clock[twice].asi8
        # One autumn has one date; the row at which the clock steps back begins the second pass.
        dates = clock[twice].normalize().asi8
        back = np.r_[False, (np.diff(moments) < int(equal_is_later)) & (np.diff(dates) == 0)]
        passes = pd.Series(back).groupby(dates)
        early = passes.transform("any") & (passes.cumsum() == 0)
        first_pass = np.zeros(len(clock), dtype=bool)
        first_pass[twice[early.to_numpy()]] = True
        second = pd.DatetimeIndex(np.where(first_pass, first.asi8, second.asi8).view("M8[us]")).tz_localize("UTC")
    return second


def zone_in(header: str) -> str | None:
    """The zone that the header of a column of times names: `Gmt time`, `time (UTC)`, `Time (EET)`, `GMT+2`."""
    if match := re.search(r"\b(?:utc|gmt) ?([+-])0?(\d{1,2})(?::?00)?\b", header, re.I):
        return f"Etc/GMT{'-' if match[1] == '+' else '+'}{match[2]}"
    if re.search(r"\b(?:utc|gmt)\b", header, re.I):
        return "UTC"
    match = re.search(r"\((E[E]T|CET|[A-Z][a-z]+/[A-Z][A-Za-z_]+)\)", header)
    return match[1] if match and _is_zone(match[1]) else None


def checked_zone(name: str) -> str:
    """`name` if it is a time zone: an IANA name, or one with hours added to its wall clock (`America/New_York+7`).

    The second kind is the clock of most MetaTrader brokers. Raises InputError.
    """
    base, ahead = zone_parts(name)
    if _is_zone(base) and abs(ahead) <= 14:
        return name
    from zoneinfo import available_timezones

    meant = None if _is_zone(base) else nearest(base, sorted(available_timezones()))
    hint = f"Did you mean {meant!r}? " if meant else ""
    raise InputError(
        f"timezone={name!r} is no time zone.",
        f"{hint}Write UTC, an IANA name (Europe/London), or America/New_York+7 for most MetaTrader brokers.",
    )


def zone_parts(name: str) -> tuple[str, int]:
    """The IANA name and the hours its clock is ahead of it: (`America/New_York`, 7)."""
    match = re.fullmatch(r"([A-Za-z]+(?:/[A-Za-z_]+)*)([+-]\d{1,2})", name)
    return (match[1], int(match[2])) if match and not _is_zone(name) else (name, 0)


def _is_zone(name: str) -> bool:
    from zoneinfo import ZoneInfo

    try:
        ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        return False
    return True
