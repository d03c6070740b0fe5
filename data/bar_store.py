"""The store of bars, `market_data.db`: what sources answered, kept once and never overwritten.

    store.add("EURUSD", Timeframe.H1, "HistData", bars, covered=(start, end))
    store.missing("EURUSD", Timeframe.H1, "HistData", start, end)     # what must still be asked for
    store.bars("EURUSD", Timeframe.D1, start, end)                    # joined from the hours

Ranges hold their start and not their end, and mean the open times of bars. Timeframes are taken as they are
written (`H1`, `1h` …), symbols in any spelling, times as text or timestamps, without a zone as UTC.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Literal, get_args

import numpy as np
import pandas as pd

from core.clock import utc_now
from core.errors import BarsError, InputError
from core.names import unknown_name
from core.store import Store
from data.bar_days import cut_words, foreign_cut, refuse_mixed_days, refuse_stray_opens, settled_until
from data.bar_joins import answering, filled, read_bars, times_of
from data.bar_rows import EVER, FIGURES, BarRows, Series, SeriesKey
from data.bar_tables import MARKET_DATA
from data.coverage import Range, missing_from
from market.bars import check_bars, utc_timestamp
from market.calendar import DayCut, closed_bars, day_cut
from market.symbols import canonical_symbol, symbol_of
from market.timeframes import Timeframe, parse_timeframe

Kind = Literal["historical", "live"]
Moment = datetime | str
# Figures are the same when they differ by no more than this share of the larger: by the last bits of a sum.
SAME_WITHIN = 1e-9
_EPOCH = pd.Timestamp(0, tz="UTC")
_MILLISECOND = pd.Timedelta(milliseconds=1)


@dataclass(frozen=True)
class Added:
    """How many of the bars given were new, there and the same, there and different, or still forming and left out."""

    new: int
    same: int
    different: int
    forming: int = 0


class BarStore:
    """Bars by symbol, timeframe, type and source, with what each source was asked for; opens at the first call."""

    def __init__(self) -> None:
        self._store = Store(MARKET_DATA)

    def add(
        self,
        symbol: str,
        timeframe: Timeframe | str,
        source: str,
        bars: pd.DataFrame,
        *,
        covered: tuple[Moment, Moment] | None = None,
        kind: Kind = "historical",
        cut: DayCut | None = None,
        now: Moment | None = None,
    ) -> Added:
        """Enter what `source` answered, all of it or nothing; the same again changes nothing.

        A bar that is there stays as it is; where a figure of the new one differs by more than SAME_WITHIN of
        the larger, that is kept as a disagreement (a spread that is not quoted says nothing). Bars that are not
        closed at `now` are left out: half a bar could never be put right. `covered` is the range the source
        has answered for, bars or none; of it counts what lies before the first bar that may still form.
        `cut` says where the source ends its days; bars longer than an hour that do not open with a day are
        refused. Raises BarsError or InputError; then nothing is stored.
        """
        key, moment = _key(symbol, timeframe, kind, source), _moment(now)
        if covered and kind != "historical":
            raise InputError("What is covered is kept for historical bars only.", "Leave covered out for live ones.")
        cut = foreign_cut(key.symbol, key.timeframe, cut)
        bars = check_bars(bars)
        refuse_stray_opens(bars, key.symbol, key.timeframe, cut)
        closed = closed_bars(bars, key.timeframe, moment, symbol_of(key.symbol).asset_class, cut)
        answer, stamp = _columns(closed), _milliseconds(moment)
        with self._store.write() as connection:
            rows = BarRows(connection, self._store.path)
            new, same, different = _enter(rows, key, answer, cut, stamp)
            if covered:
                settled = settled_until(moment, key.timeframe, key.symbol, cut)
                start, end = _range(*covered)
                if start < (end := min(end, _milliseconds(settled))):
                    rows.cover(key, (start, end), stamp)
        return Added(new, same, different, forming=len(bars) - len(closed))

    def missing(
        self, symbol: str, timeframe: Timeframe | str, source: str, start: Moment, end: Moment
    ) -> list[tuple[pd.Timestamp, pd.Timestamp]]:
        """What of [start, end) the source was not asked for yet: in front, behind and in holes between."""
        within = _range(start, end)
        with self._store.read() as connection:
            key = _key(symbol, timeframe, "historical", source)
            covered = BarRows(connection, self._store.path).covered(key, within)
        return [(_timestamp(first), _timestamp(after)) for first, after in missing_from(covered, *within)]

    def bars(
        self,
        symbol: str,
        timeframe: Timeframe | str,
        start: Moment | None = None,
        end: Moment | None = None,
        sources: Sequence[str] | None = None,
        *,
        kind: Kind = "historical",
        now: Moment | None = None,
        closed_only: bool = True,
    ) -> pd.DataFrame:
        """The bars of the contract that open in [start, end); none is an empty frame.

        A source that keeps no bars of `timeframe` answers with bars joined from its longest shorter ones, whole
        ones only, and only where it was asked for all of them. Where several have a bar, the source named first
        wins; the others fill. Without `sources` those that keep the timeframe count, the one whose bars came
        first into this store first. Bars that are not closed at `now` (default: the present) are left out
        unless `closed_only` is false. Raises BarsError, naming them, when days would be mixed that end at
        different hours.
        """
        symbol, timeframe = canonical_symbol(symbol), parse_timeframe(timeframe)
        within = _range(start, end)
        with self._store.read() as connection:
            rows = BarRows(connection, self._store.path)
            held = [series for series in rows.series(symbol) if series.key.type == _known(kind)]
            chosen = answering(held, timeframe, sources)
            refuse_mixed_days(chosen, timeframe)
            bars = filled([read_bars(rows, series, timeframe, within) for series in chosen])
        if not closed_only or bars.empty:
            return bars
        cut = chosen[0].cut if timeframe.minutes > 60 else None
        moment, asset_class = _moment(now), symbol_of(symbol).asset_class
        if len(closed_bars(bars.iloc[-1:], timeframe, moment, asset_class, cut)):
            return bars  # bars end in their order
        return closed_bars(bars, timeframe, moment, asset_class, cut)

    def sources_of(self, symbol: str, timeframe: Timeframe | str, kind: Kind = "historical") -> list[str]:
        """The sources that keep such bars, in the order in which their bars first came into this store."""
        timeframe = parse_timeframe(timeframe)
        return [
            series.key.source
            for series in self._series(canonical_symbol(symbol))
            if series.key.timeframe is timeframe and series.key.type == _known(kind)
        ]

    def cut_of(self, symbol: str, timeframe: Timeframe | str, source: str, kind: Kind = "historical") -> DayCut:
        """Where the days of a source's bars end: the market's own cut, unless another was declared."""
        key = _key(symbol, timeframe, kind, source)
        declared = [series.cut for series in self._series(key.symbol) if series.key == key]
        return (declared and declared[0]) or day_cut(symbol_of(key.symbol).asset_class)

    def held(self) -> pd.DataFrame:
        """What there is: `symbol timeframe source type first last rows`; first and last are open times (UTC)."""
        all_series = self._series()
        keys = [(*each.key.texts[:2], each.key.source, each.key.type) for each in all_series]
        table = pd.DataFrame(keys, columns=["symbol", "timeframe", "source", "type"])
        for name in ("first", "last"):
            table[name] = times_of(np.array([getattr(each, name) for each in all_series], dtype="int64"))
        table["rows"] = np.array([each.rows for each in all_series], dtype="int64")
        return table

    def disagreements(
        self, symbol: str | None = None, timeframe: Timeframe | str | None = None, source: str | None = None
    ) -> pd.DataFrame:
        """Where a source later offered another figure than the one it gave first, newest finding first.

        `found_at symbol timeframe type source time column stored offered`; the stored figure is the one in use.
        """
        with self._store.read() as connection:
            found = BarRows(connection, self._store.path).disagreements(
                symbol=canonical_symbol(symbol) if symbol else None,
                timeframe=str(parse_timeframe(timeframe)) if timeframe else None,
                source=source,
            )
        names = ["found_at", "symbol", "timeframe", "type", "source", "time", "column", "stored", "offered"]
        table = pd.DataFrame(found, columns=names)
        for name in ("found_at", "time"):
            table[name] = times_of(table[name].to_numpy(dtype="int64"))
        return table.astype({"stored": "float64", "offered": "float64"})

    def source_differences(
        self,
        symbol: str,
        timeframe: Timeframe | str,
        source_a: str,
        source_b: str,
        tolerance_pips: float,
        *,
        start: Moment | None = None,
        end: Moment | None = None,
    ) -> pd.DataFrame:
        """The historical bars both sources keep whose closes lie further apart than the tolerance.

        Index `time`; columns `close_a close_b difference_pips`, the last as b − a. Raises UnknownNameError for
        a source that keeps no such bars, BarsError when the days of the two end at different hours.
        """
        symbol, timeframe = canonical_symbol(symbol), parse_timeframe(timeframe)
        within = _range(start, end)
        with self._store.read() as connection:
            rows = BarRows(connection, self._store.path)
            held = {
                series.key.source: series
                for series in rows.series(symbol)
                if series.key.timeframe is timeframe and series.key.type == "historical"
            }
            for source in (source_a, source_b):
                if source not in held:
                    raise unknown_name(f"source of {symbol} {timeframe} bars", source, held)
            refuse_mixed_days([held[source_a], held[source_b]], timeframe)
            times_a, closes_a = rows.read(held[source_a].key, within, columns=("close",), rows=held[source_a].rows)
            times_b, closes_b = rows.read(held[source_b].key, within, columns=("close",), rows=held[source_b].rows)
        times, at_a, at_b = np.intersect1d(times_a, times_b, assume_unique=True, return_indices=True)
        table = pd.DataFrame(
            {"close_a": closes_a[0][at_a], "close_b": closes_b[0][at_b]},
            index=pd.DatetimeIndex(times_of(times), name="time"),
        )
        table["difference_pips"] = (table["close_b"] - table["close_a"]) / symbol_of(symbol).pip
        # A millionth of a pip is what the subtraction of two prices may add.
        return table[table["difference_pips"].abs() > tolerance_pips + 1e-6]

    def _series(self, symbol: str | None = None) -> list[Series]:
        with self._store.read() as connection:
            return BarRows(connection, self._store.path).series(symbol)


def _enter(
    rows: BarRows, key: SeriesKey, answer: tuple[np.ndarray, np.ndarray], cut: DayCut | None, now: int
) -> tuple[int, int, int]:
    """Enter what is new of some bars and note what differs: (new, same, different)."""
    times, figures = answer
    if not len(times):
        return 0, 0, 0
    before = rows.series_of(key)
    if before and before.cut != cut:
        raise BarsError(
            f"The {key.timeframe} bars of {key.symbol} from {key.source} are kept with days that end at "
            f"{cut_words(key.symbol, before.cut)}; these end at {cut_words(key.symbol, cut)}.",
            "Give them under a source name of their own.",
        )
    first, last = int(times[0]), int(times[-1])
    # Nobody else writes meanwhile, so what is read past this transaction is the same.
    stored_times, stored = rows.read(key, (first, last + 1), rows=before.rows_in((first, last + 1)) if before else 0)
    _, given, kept = np.intersect1d(times, stored_times, assume_unique=True, return_indices=True)
    differ = _differ(stored[:, kept], figures[:, given])
    cells = (
        (
            int(times[given[bar]]),
            FIGURES[figure],
            _or_none(stored[figure, kept[bar]]),
            float(figures[figure, given[bar]]),
        )
        for figure, bar in np.argwhere(differ)
    )
    rows.enter_disagreements(key, cells, now)
    new = np.ones(len(times), dtype=bool)
    new[given] = False
    if new.any():
        rows.insert(key, times[new], figures[:, new], now)
        whole = before or Series(key, first, last, 0, cut)
        count = whole.rows + int(new.sum())
        rows.enter_series(replace(whole, first=min(first, whole.first), last=max(last, whole.last), rows=count), now)
    different = int(differ.any(axis=0).sum())
    return int(new.sum()), len(given) - different, different


def _differ(stored: np.ndarray, offered: np.ndarray) -> np.ndarray:
    """Which figures are not the same; one that is not offered differs from none."""
    differ: np.ndarray = np.abs(offered - stored) > SAME_WITHIN * np.maximum(np.abs(offered), np.abs(stored))
    differ |= np.isnan(stored) & ~np.isnan(offered)
    return differ


def _columns(bars: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """Open times (ms) and a row of figures a column. Raises BarsError for what the tables cannot hold."""
    times = pd.DatetimeIndex(bars.index)
    stamps = times.as_unit("ms")
    if not (stamps == times).all():
        odd = times[int(np.argmin(stamps == times))]
        raise BarsError(f"The bar at {odd} opens within a millisecond.", "Give open times in whole milliseconds.")
    figures = np.array([bars[name] if name in bars else np.full(len(bars), np.nan) for name in FIGURES])
    unfit = ~np.isfinite(figures)
    unfit[-1] &= ~np.isnan(figures[-1])  # a spread may be missing
    if unfit.any():
        figure, bar = np.argwhere(unfit)[0]
        raise BarsError(
            f"The bar at {times[bar]:%Y-%m-%d %H:%M} UTC has {FIGURES[figure]}={figures[figure, bar]:g}.",
            "Drop the row or correct it before it is stored.",
        )
    return stamps.asi8, figures


def _key(symbol: str, timeframe: Timeframe | str, kind: Kind, source: str) -> SeriesKey:
    return SeriesKey(canonical_symbol(symbol), parse_timeframe(timeframe), _known(kind), source)


def _known(kind: Kind) -> Kind:
    if kind not in get_args(Kind):
        raise unknown_name("type of bars", kind, get_args(Kind))
    return kind


def _moment(now: Moment | None) -> pd.Timestamp:
    return utc_timestamp(utc_now() if now is None else now, "now")


def _range(start: Moment | None, end: Moment | None) -> Range:
    """Milliseconds; without a start or an end as far as there are any."""
    first = EVER[0] if start is None else _milliseconds(utc_timestamp(start, "start"))
    after = EVER[1] if end is None else _milliseconds(utc_timestamp(end, "end"))
    return first, after


def _milliseconds(moment: pd.Timestamp) -> int:
    """The first whole millisecond at `moment` or later."""
    return int(-((_EPOCH - moment) // _MILLISECOND))


def _timestamp(milliseconds: int) -> pd.Timestamp:
    return pd.Timestamp(milliseconds, unit="ms", tz="UTC")


def _or_none(figure: float) -> float | None:
    return None if np.isnan(figure) else float(figure)
