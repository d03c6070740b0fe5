"""From series to one frame: which of them answer a question, longer bars joined from shorter, gaps filled."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from core.errors import BarsError
from data.bar_days import cut_words
from data.bar_rows import FIGURES, BarRows, Series
from data.coverage import Range, are_covered
from market.bars import RAW_COLUMNS
from market.calendar import bar_end
from market.resample import period_starts, resample_bars
from market.symbols import symbol_of
from market.timeframes import Timeframe


def answering(held: Sequence[Series], timeframe: Timeframe, sources: Sequence[str] | None) -> list[Series]:
    """The series, one a source, that bars of `timeframe` come from, in the order in which they win.

    A source that keeps no such bars answers with its longest shorter ones that can be joined. Without
    `sources`: those that keep them, else those that can join them, as they first appeared. Raises BarsError
    when a named source, or the only one, keeps shorter days that end elsewhere than the market's.
    """
    exact = {series.key.source: series for series in held if series.key.timeframe is timeframe}
    names = sources or list(exact) or list(dict.fromkeys(series.key.source for series in held))
    chosen, refused = [], []
    for name in dict.fromkeys(names):
        shorter = [series for series in held if series.key.source == name and _divides(series.key.timeframe, timeframe)]
        joinable = [series for series in shorter if series.cut is None]
        if name in exact:
            chosen.append(exact[name])
        elif joinable:
            chosen.append(max(joinable, key=lambda series: series.key.timeframe.minutes))
        else:
            refused += shorter
    if refused and (sources or not chosen):
        raise _unjoinable(refused[0], timeframe)
    return chosen


def read_bars(rows: BarRows, series: Series, timeframe: Timeframe, within: Range) -> pd.DataFrame:
    """The bars of `timeframe` opening in `within` (ms), as the series keeps them or joined from its shorter ones."""
    if series.key.timeframe is timeframe:
        return frame_of(*rows.read(series.key, within, rows=series.rows_in(within)))
    return _joined(rows, series, timeframe, within)


def filled(parts: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """One frame: each bar from the first part that has it."""
    parts = [part for part in parts if len(part)] or [frame_of(np.empty(0, "int64"), np.empty((len(FIGURES), 0)))]
    bars = parts[0]
    for later in parts[1:]:
        bars = pd.concat([bars, later[~later.index.isin(bars.index)]]).sort_index()
    return bars[[name for name in FIGURES if name in bars]]


def frame_of(times: np.ndarray, figures: np.ndarray) -> pd.DataFrame:
    """Bars of the contract from open times (ms) and a row of figures a column of FIGURES.

    A spread that was never quoted is left out.
    """
    columns = [*FIGURES] if not np.isnan(figures[-1]).all() else [*RAW_COLUMNS]
    index = pd.DatetimeIndex(times_of(times), name="time")
    return pd.DataFrame(figures[: len(columns)].T, index=index, columns=columns, copy=False)


def times_of(milliseconds: np.ndarray) -> pd.DatetimeIndex:
    """Aware UTC times in the unit that files and samples are read in."""
    return pd.DatetimeIndex(milliseconds.astype("datetime64[ms]").astype("datetime64[us]"), tz="UTC")


def _joined(rows: BarRows, series: Series, timeframe: Timeframe, within: Range) -> pd.DataFrame:
    key, asset_class = series.key, symbol_of(series.key.symbol).asset_class
    start, end = max(within[0], series.first), min(within[1], series.last + 1)
    if start >= end:
        return filled([])
    last_open = period_starts(times_of(np.array([end - 1])), timeframe, asset_class)
    after = int(bar_end(last_open, timeframe, asset_class).as_unit("ms").asi8[0])
    # A row before and one behind: they prove that the first bar and the last are whole.
    before, behind = rows.last_before(key, start), rows.first_from(key, after)
    reach = (start if before is None else before, after if behind is None else behind + 1)
    shorter = frame_of(*rows.read(key, reach, rows=series.rows_in(reach)))
    longer = resample_bars(shorter, timeframe, asset_class, key.timeframe)
    opens = pd.DatetimeIndex(longer.index).as_unit("ms").asi8
    kept = (opens >= within[0]) & (opens < within[1])
    ranges = rows.covered(key) if key.type == "historical" else []
    if ranges:
        # What opens after the last shorter bar of a longer one need not have been asked for.
        length = key.timeframe.minutes * 60_000
        ends = bar_end(pd.DatetimeIndex(longer.index), timeframe, asset_class).as_unit("ms").asi8
        kept &= are_covered(ranges, opens, ends - length + 1)
    return longer[kept]


def _divides(shorter: Timeframe, longer: Timeframe) -> bool:
    """Whether bars of one can be joined into the other: all but weeks into months."""
    return shorter.minutes < longer.minutes and shorter is not Timeframe.W1


def _unjoinable(series: Series, timeframe: Timeframe) -> BarsError:
    key = series.key
    return BarsError(
        f"{timeframe} bars of {key.symbol} are not joined from the {key.timeframe} bars of {key.source}: its days "
        f"end at {cut_words(key.symbol, series.cut)}, the market's at {cut_words(key.symbol, None)}.",
        f"Collect {timeframe} bars, or bars of H1 or shorter.",
    )
