"""Which column of a file holds what: by the names vendors write above them, else by the usual order."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from core.errors import DataRequestError
from core.names import nearest
from data.sources.numbers import is_number
from data.sources.times import clock_format, formats_of, looks_like_a_time

PRICES = ("open", "high", "low", "close")
QUOTES = ("bid", "ask")
# Field → names vendors give it, in order of preference, as `plain_name` writes them.
_NAMES: dict[str, tuple[str, ...]] = {
    "time": (
        *("time utc", "gmt time", "local time", "unix", "unix timestamp", "datetime", "date time", "timestamp"),
        *("open time", "date", "time", "datum", "fecha", "data"),
    ),
    "clock": ("time", "hour", "zeit", "uhrzeit", "heure", "hora", "ora"),
    "open": (
        *("open", "o", "bid open", "open bid", "openbid", "bid o", "mid open", "mid o", "1 open", "price open"),
        *("eröffn", "eröffnung", "eröffnungskurs", "erster", "ouverture", "ouv", "apertura", "abertura"),
    ),
    "high": (
        *("high", "h", "bid high", "high bid", "highbid", "bid h", "mid high", "mid h", "2 high", "max"),
        *("hoch", "höchst", "höchstkurs", "tageshoch", "plus haut", "haut", "máximo", "massimo", "máxima"),
    ),
    "low": (
        *("low", "l", "bid low", "low bid", "lowbid", "bid l", "mid low", "mid l", "3 low", "min"),
        *("tief", "tiefst", "tiefstkurs", "tagestief", "plus bas", "bas", "mínimo", "minimo", "mínima"),
    ),
    "close": (
        *("close", "c", "bid close", "close bid", "closebid", "bid c", "mid close", "mid c", "4 close", "close last"),
        *("schluss", "schlusskurs", "zuletzt", "letzter", "clôture", "dernier", "cierre", "último", "chiusura"),
        *("ultimo", "price", "last"),
    ),
    "volume": (
        *("tickvol", "tick vol", "tick volume", "tickvolume", "volume", "vol", "v", "5 volume", "up volume"),
        *("tick qty", "total ticks", "volumen", "stücke"),
    ),
    "spread_points": ("spread", "spread points"),
    "bid": ("bid", "bid price", "bidprice"),
    "ask": ("ask", "ask price", "askprice", "offer"),
    "symbol": ("symbol", "ticker", "pair", "instrument"),
}


def plain_name(name: str) -> str:
    """`<TICKVOL>`, `Tick Volume`, `tick_volume`, `TickVolume`: words of small letters."""
    apart = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name)
    return re.sub(r"[\W_]+", " ", apart).strip().lower()


def is_header(row: Sequence[str]) -> bool:
    """Whether a row names at least three columns and holds nothing else."""
    return len(_named(row)) >= 3 and not any(is_number(cell) or looks_like_a_time(cell) for cell in row)


def columns_of(
    header: Sequence[str], rows: Sequence[Sequence[str]], given: Mapping[str, int], path: Path
) -> dict[str, int]:
    """Field → position from 0; what the user gave counts before what the header says and the usual order.

    Raises DataRequestError naming the fields that are missing, or a field or position there is not.
    """
    _refuse_unknown(given, len(rows[-1]), path)
    if _missing(given):
        found = _by_name(header, rows) if header else _by_place(rows)
        given = {name: place for name, place in found.items() if place not in given.values()} | dict(given)
    missing = _missing(given)
    if missing:
        said = (
            f"its header reads: {', '.join(header[:20])}" if header else f"it has {len(rows[-1])} columns and no header"
        )
        raise DataRequestError(
            f"{path.name} has no column for {', '.join(missing)}; {said}.",
            f"Say which it is, for example columns={{{missing[0]!r}: 1}} (positions from 0).",
        )
    bars = all(name in given for name in PRICES)
    unused = QUOTES if bars else (*PRICES, "volume", "spread_points")
    return {name: place for name, place in given.items() if name not in unused}


def time_column(rows: Sequence[Sequence[str]]) -> int | None:
    """The first column that holds times in most rows."""
    for place in range(len(rows[0])):
        if 2 * sum(looks_like_a_time(row[place]) for row in rows) > len(rows):
            return place
    return None


def padded_clock(cell: str, *, seconds: bool | None = None) -> str:
    """`930` as `0930`, `93000` as `093000`: spreadsheets drop the zeros in front."""
    return cell.zfill(6 if (len(cell) > 4 if seconds is None else seconds) else 4) if cell.isdigit() else cell


def _missing(columns: Mapping[str, int]) -> list[str]:
    wanted = ("time", "bid") if "bid" in columns else ("time", *PRICES)
    return [name for name in wanted if name not in columns]


def _named(header: Sequence[str]) -> dict[str, int]:
    """The fields that a header names; a remark in brackets counts where the name alone says nothing."""
    whole = [plain_name(name) for name in header]
    bare = [plain_name(re.sub(r"\(.*?\)", "", name)) for name in header]
    found: dict[str, int] = {}
    for name, known in _NAMES.items():
        places = (names.index(word) for word in known for names in (whole, bare) if word in names)
        place = next((place for place in places if place not in found.values()), None)
        if place is None and name == "volume":
            place = next((place for place, word in enumerate(whole) if word.startswith("volume ")), None)
        if place is not None:
            found[name] = place
    return found


def _by_name(header: Sequence[str], rows: Sequence[Sequence[str]]) -> dict[str, int]:
    found, last = _named(header), rows[-1]
    if "time" not in found and (place := time_column(rows)) is not None:
        found["time"] = place
    if "clock" in found and not _is_clock(last[found["clock"]], last[found.get("time", 0)]):
        del found["clock"]
    return found


def _by_place(rows: Sequence[Sequence[str]]) -> dict[str, int]:
    """Time, perhaps a clock, then open, high, low, close and volume, or bid and ask."""
    start, last = time_column(rows), rows[-1]
    if start is None:
        return {}
    found, place = {"time": start}, start + 1
    if place < len(last) and all(_is_clock(row[place], row[start]) for row in rows):
        found["clock"], place = place, place + 1
    figures = [at for at in range(place, len(last)) if any(is_number(row[at]) for row in rows)]
    if len(figures) >= len(PRICES):
        return found | dict(zip((*PRICES, "volume"), figures, strict=False))
    if len(figures) >= len(QUOTES):
        first, second = figures[:2]
        # Some vendors write the ask first; the bid is the lower one.
        asks_first = 2 * sum(_below(row[second], row[first]) for row in rows) > len(rows)
        return found | dict(zip(QUOTES, (second, first) if asks_first else (first, second), strict=True))
    return found


def _below(lower: str, upper: str) -> bool:
    try:
        return float(lower) < float(upper)
    except ValueError:
        return False


def _is_clock(cell: str, date: str) -> bool:
    """Whether a cell beside a date is a time of day: `09:30`, or `93000` beside `20260102`."""
    if any("%H" in form or "%I" in form for form in formats_of(date)):
        return False
    if cell.isdigit():
        return len(date) == 8 and bool(re.fullmatch(r"([01]\d|2[0-3])([0-5]\d){1,2}", padded_clock(cell)))
    return clock_format(cell) is not None


def _refuse_unknown(given: Mapping[str, int], width: int, path: Path) -> None:
    for name, place in given.items():
        if name not in _NAMES:
            meant = nearest(name, _NAMES)
            hint = f"Did you mean {meant!r}? " if meant else ""
            raise DataRequestError(f"columns: there is no field {name!r}.", f"{hint}Known: {', '.join(_NAMES)}.")
        if not 0 <= int(place) < width:
            raise DataRequestError(
                f"columns: {name!r} cannot be column {place}; {path.name} has {width} columns.",
                f"Count from 0 to {width - 1}.",
            )
