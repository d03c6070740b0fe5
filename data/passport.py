"""What a dataset version is, measured: which expected bars it has, where it has none, how it moves.

All of it is small whatever the size of the version: heat maps of at most MOST_CELLS cells, the longest gaps,
histograms. Nothing here is stored, as a version never changes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from data.versions import DatasetVersion
from market.calendar import KNOWN_HOURS, fx_holidays, market_minutes, missing_bars, trading_day
from market.symbols import AssetClass, symbol_of
from market.timeframes import Timeframe, parse_timeframe

MOST_CELLS = 2_000
MOST_GAPS = 200
WEEKDAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_HOURS = tuple(f"{hour:02d}" for hour in range(24))
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_MINUTE = 60_000_000  # microseconds
_HOUR = 60 * _MINUTE
_STEPS = {"day": "D", "week": "W-SUN", "month": "M", "quarter": "Q", "year": "Y"}
_FEWEST_FOR_FIGURES = 30
_BINS = 61
_LINE_POINTS = 1_000

Counts = np.ndarray[Any, np.dtype[np.float64]]


@dataclass(frozen=True)
class Coverage:
    """How many bars there are, and were to be expected, in each cell of a heat map.

    `present` counts those that were to be expected, `besides` those that were not (the market was closed). Where
    the market's hours are not known `expected` is None and every bar is present. `unit` is what is counted: "bars",
    or "hours" that bars longer than an hour cover. `by` is what a row is: "weekday", "day", "week" …
    """

    by: str
    unit: str
    rows: tuple[str, ...]
    columns: tuple[str, ...]
    present: Counts
    expected: Counts | None
    besides: Counts

    @property
    def percent(self) -> Counts:
        """Per cent of the expected that are present; NaN where none are expected."""
        if self.expected is None:
            return np.full(self.present.shape, np.nan)
        with np.errstate(all="ignore"):
            share: Counts = np.where(self.expected > 0, 100 * self.present / self.expected, np.nan)
        return share

    @property
    def total_pct(self) -> float | None:
        """Per cent of all expected bars that are present; None where the market's hours are not known."""
        if self.expected is None or not self.expected.sum():
            return None
        return float(100 * self.present.sum() / self.expected.sum())

    def table(self) -> pd.DataFrame:
        """One row a cell, as it is drawn."""
        cells = [(row, column) for row in self.rows for column in self.columns]
        table = pd.DataFrame(cells, columns=[self.by, "hour (UTC)" if self.columns == _HOURS else "part"])
        table["expected"] = np.nan if self.expected is None else self.expected.ravel()
        table["present"], table["besides"] = self.present.ravel(), self.besides.ravel()
        table["present_pct"] = self.percent.ravel()
        return table


@dataclass(frozen=True)
class Moves:
    """How the closes move from bar to bar, in pips: a histogram, the figures of it, the moves over time.

    `edges` enclose `counts`; `beyond` moves lie outside of them. `deviation`, `skew` and `kurtosis` (the excess over
    that of a normal distribution) are None below 30 moves. `over_time` keeps the extremes of each stretch.
    `ranges` are the mean high − low by hour of the day (UTC), or from D1 on by weekday of the trading day.
    """

    count: int
    edges: np.ndarray[Any, Any]
    counts: np.ndarray[Any, Any]
    beyond: int
    deviation: float | None
    skew: float | None
    kurtosis: float | None
    over_time: pd.Series
    ranges: pd.Series


@dataclass(frozen=True)
class Measured:
    """The passport of one symbol of a version; `gaps` are its longest MOST_GAPS of `gaps_count`, in order of time."""

    symbol: str
    timeframe: Timeframe
    pip: float
    bars: int
    by_hour: Coverage
    over_time: Coverage
    gaps: pd.DataFrame
    gaps_count: int
    missing: int
    moves: Moves


def measure(version: DatasetVersion, symbol: str | None) -> Measured:
    """Everything the passport shows of one symbol of a version; None for bars without a symbol."""
    bars = version.bars(symbol, columns=("open", "high", "low", "close"))
    name, timeframe = symbol or "", parse_timeframe(version.timeframe)
    known = symbol_of(name) if name else None
    asset_class, pip = (known.asset_class, known.pip) if known else (AssetClass.OTHER, 0.01)
    times = pd.DatetimeIndex(bars.index)
    gaps = gaps_of(bars, timeframe, asset_class, pip)
    longest = gaps if len(gaps) <= MOST_GAPS else gaps.loc[gaps["bars"].nlargest(MOST_GAPS).index].sort_index()
    return Measured(
        name,
        timeframe,
        pip,
        len(bars),
        coverage_matrix(times, timeframe, asset_class, over_time=False),
        coverage_matrix(times, timeframe, asset_class, over_time=True),
        longest,
        int((gaps["bars"] > 0).sum()),
        int(gaps["bars"].sum()),
        moves_of(bars, timeframe, asset_class, pip),
    )


def coverage_matrix(
    times: pd.DatetimeIndex, timeframe: Timeframe, asset_class: AssetClass, *, over_time: bool
) -> Coverage:
    """Which of the bars that the market's calendar expects between the first and the last of `times` are there.

    Weekday × hour (UTC), or with `over_time` days, weeks, months … × hour, as many as fit into MOST_CELLS. Bars of
    a day and longer are counted by month × day or, where that is too much or they are longer, by year × month.
    """
    if not timeframe.is_intraday:
        return _coverage_of_days(times, timeframe, asset_class, by_day=over_time)
    hours, present, expected = _hours(times, timeframe, asset_class)
    besides = np.zeros(len(hours))
    if expected is not None:
        if timeframe.minutes <= 60:  # a longer bar may well reach into a pause
            besides = np.maximum(present - expected, 0)
        present = np.minimum(present, expected)
    rows, names, by = _stretches(hours, present + besides, expected) if over_time else _weekdays(hours)
    shape, at = (len(names), 24), rows * 24 + hours.hour.to_numpy()

    def summed(values: Counts) -> Counts:
        return np.bincount(at, weights=values, minlength=shape[0] * 24).astype("float64").reshape(shape)

    return Coverage(
        by,
        "bars" if timeframe.minutes <= 60 else "hours",
        names,
        _HOURS,
        summed(present),
        None if expected is None else summed(expected),
        summed(besides),
    )


def gaps_of(bars: pd.DataFrame, timeframe: Timeframe, asset_class: AssetClass, pip: float) -> pd.DataFrame:
    """Where bars are missing: index `time` of the first, `until` the next, `bars`, `holiday_bars`, `move_pips`.

    The move is from the close before the gap to the open after it. Where the market's hours are not known every
    pause is one.
    """
    times = pd.DatetimeIndex(bars.index)
    gaps = missing_bars(times, timeframe, asset_class)
    after = times.searchsorted(pd.DatetimeIndex(gaps["until"]))
    opened, close = bars["open"].to_numpy(), bars["close"].to_numpy()
    return gaps.assign(move_pips=(opened[after] - close[after - 1]) / pip)


def moves_of(bars: pd.DataFrame, timeframe: Timeframe, asset_class: AssetClass, pip: float) -> Moves:
    """The moves from close to close, over pauses of the market too; missing prices are left out."""
    moves = (bars["close"].diff() / pip).dropna()
    values = moves.to_numpy()
    reach = float(np.quantile(np.abs(values), 0.995)) if len(values) else 0.0
    counts, edges = np.histogram(values, bins=_BINS, range=(-(reach or 1.0), reach or 1.0))
    enough = len(values) >= _FEWEST_FOR_FIGURES and float(values.std()) > 0
    times = pd.DatetimeIndex(bars.index)
    by = times.hour if timeframe.is_intraday else trading_day(times, asset_class).day_of_week
    ranges = ((bars["high"] - bars["low"]) / pip).groupby(np.asarray(by)).mean()
    return Moves(
        len(values),
        edges,
        counts,
        len(values) - int(counts.sum()),
        float(moves.std()) if enough else None,
        _figure(moves.skew()) if enough else None,
        _figure(moves.kurt()) if enough else None,
        _extremes(moves),
        ranges,
    )


def _hours(
    times: pd.DatetimeIndex, timeframe: Timeframe, asset_class: AssetClass
) -> tuple[pd.DatetimeIndex, Counts, Counts | None]:
    """Every hour from the first bar to the last: how many bars it has and how many it should have.

    Of bars longer than an hour each hour counts that one covers.
    """
    stamps = times.as_unit("us").asi8
    covered = max(1, timeframe.minutes // 60)
    first = int(stamps[0]) // _HOUR
    held = (stamps // _HOUR - first)[:, None] + np.arange(covered)
    hours = np.arange(first, first + int(held[-1, -1]) + 1)
    present: Counts = np.bincount(held.ravel()).astype("float64")
    if covered > 1:
        present = np.minimum(present, 1.0)
    if asset_class not in KNOWN_HOURS:
        return _moments(hours * _HOUR), present, None
    edges = np.append(hours, hours[-1] + 1) * _HOUR
    length = min(60, timeframe.minutes)
    if length < 60:  # the first hour and the last one may be begun and left half way
        edges[[0, -1]] = stamps[0], stamps[-1] + length * _MINUTE
    return _moments(hours * _HOUR), present, np.diff(market_minutes(_moments(edges), asset_class)) / length


def _moments(stamps: np.ndarray[Any, Any]) -> pd.DatetimeIndex:
    return pd.DatetimeIndex(stamps.astype("datetime64[us]"), tz="UTC")


def _weekdays(hours: pd.DatetimeIndex) -> tuple[np.ndarray[Any, Any], tuple[str, ...], str]:
    return hours.day_of_week.to_numpy(), WEEKDAYS, "weekday"


def _stretches(
    hours: pd.DatetimeIndex, there: Counts, expected: Counts | None
) -> tuple[np.ndarray[Any, Any], tuple[str, ...], str]:
    """The shortest stretches of the calendar of which few enough hold or expect a bar, and where each hour falls."""
    naive = hours.tz_localize(None)
    busy = there + (0 if expected is None else expected) > 0
    by = next((each for each in _STEPS if naive[busy].to_period(_STEPS[each]).nunique() * 24 <= MOST_CELLS), "year")
    periods = naive.to_period(_STEPS[by])
    kept = pd.PeriodIndex(periods[busy].unique()).sort_values()
    names = tuple(str(each.start_time.date()) if by in {"day", "week"} else str(each) for each in kept)
    rows = np.maximum(kept.searchsorted(periods, side="right") - 1, 0)  # hours of no row count nothing
    return np.asarray(rows), names, by


def _coverage_of_days(
    times: pd.DatetimeIndex, timeframe: Timeframe, asset_class: AssetClass, *, by_day: bool
) -> Coverage:
    """Bars of a day and longer by month × day, or by year × month."""
    days = trading_day(times, asset_class)
    if timeframe is Timeframe.W1:
        days = days - pd.to_timedelta(days.day_of_week, unit="D")
    elif timeframe is Timeframe.MN1:
        days = days.to_period("M").to_timestamp()
    step = {Timeframe.W1: "W-MON", Timeframe.MN1: "MS"}.get(timeframe, "D")
    expected_days = pd.date_range(days[0], days[-1], freq=step)
    if timeframe is Timeframe.D1 and asset_class is AssetClass.FX:
        expected_days = expected_days[expected_days.day_of_week < 5].difference(fx_holidays(times[0], times[-1]))
    expected_days = expected_days if asset_class in KNOWN_HOURS else days[:0]
    months = (days[-1].year - days[0].year) * 12 + days[-1].month - days[0].month + 1
    by_day = by_day and timeframe is Timeframe.D1 and months * 31 <= MOST_CELLS
    columns = tuple(str(day) for day in range(1, 32)) if by_day else _MONTHS
    first = days[0].year * 12 + days[0].month - 1 if by_day else days[0].year
    names = (
        tuple(f"{month // 12}-{month % 12 + 1:02d}" for month in range(first, first + months))
        if by_day
        else tuple(str(year) for year in range(first, days[-1].year + 1))
    )

    def counted(which: pd.DatetimeIndex) -> Counts:
        row = (which.year * 12 + which.month - 1 if by_day else which.year) - first
        column = (which.day if by_day else which.month) - 1
        at = np.asarray(row) * len(columns) + np.asarray(column)
        return np.bincount(at, minlength=len(names) * len(columns)).reshape(len(names), -1).astype("float64")

    by = "month" if by_day else "year"
    if asset_class not in KNOWN_HOURS:
        return Coverage(by, "bars", names, columns, counted(days), None, 0 * counted(days))
    once = pd.DatetimeIndex(days.unique())
    inside = once.isin(expected_days)
    return Coverage(
        by, "bars", names, columns, counted(once[inside]), counted(expected_days), counted(days) - counted(once[inside])
    )


def _figure(value: Any) -> float:
    return float(value)


def _extremes(moves: pd.Series) -> pd.Series:
    """The largest move, up or down, of each of at most so many stretches; it keeps its time."""
    step = -(-len(moves) // _LINE_POINTS)
    if step <= 1:
        return moves
    size = np.abs(moves.to_numpy())
    starts = np.arange(0, len(moves), step)
    largest = [begin + int(size[begin : begin + step].argmax()) for begin in starts.tolist()]
    return moves.iloc[largest]
