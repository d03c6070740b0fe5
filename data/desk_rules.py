"""What an FX desk checks before it trusts bars: their order and shape, the clock, the calendar, frozen and wild prices.

Each rule takes every series of a dataset and answers with one `RuleResult`; the worst series counts. Rules that
follow time read the bars in order, whatever order they came in. They look at raw columns only.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import combinations, product
from typing import Any

import numpy as np
import pandas as pd

from core.settings import DataSettings
from data.verdicts import LISTED_ROWS, RuleResult, Series, Verdict, by_limits
from market.calendar import (
    KNOWN_HOURS,
    day_clock,
    fx_holidays,
    missing_bars,
    trading_day,
    trading_day_end,
    trading_day_start,
)
from market.symbols import AssetClass
from market.timeframes import Timeframe

Positions = np.ndarray[Any, np.dtype[np.intp]]
Flags = np.ndarray[Any, np.dtype[np.bool_]]
Floats = np.ndarray[Any, np.dtype[np.float64]]

_MINUTE = 60_000_000  # microseconds
_WEEK_MINUTES = 7 * 1440
_FEWEST_ALIKE = 3  # bars; two unmoved hours are a quiet market, not a frozen feed
_ATR_BARS = 14
_BLOCK = 50_000  # bars
_NAMED_DAYS = 6


def desk_rules(series: Sequence[Series], limits: DataSettings, others: Sequence[Series] = ()) -> list[RuleResult]:
    """The findings of every rule of this module, in a fixed order.

    `others` are what other sources say of the same symbols; they are compared with, and not judged themselves.
    """
    return [
        duplicate_times(series),
        unsorted_times(series),
        ohlc_sanity(series),
        gaps(series, limits),
        weekend_bars(series, limits),
        weekly_open(series, limits),
        stale_prices(series, limits),
        spikes(series, limits),
        zero_volume(series, limits),
        source_disagreement(series, limits, others),
    ]


def duplicate_times(series: Sequence[Series]) -> RuleResult:
    """FAIL when a time is there twice; rows list the later one with its position, counted from 0."""
    rows: list[dict[str, Any]] = []
    count = 0
    for each in series:
        if len(each.ordered) == len(each.bars):
            continue
        doubles = np.flatnonzero(each.bars.index.duplicated())
        count += len(doubles)
        rows += [each.row(each.bars.index[at], "time", at) for at in doubles[:LISTED_ROWS].tolist()]
    return RuleResult("duplicate_times", _fail_if(count), count, 0, count, rows[:LISTED_ROWS])


def unsorted_times(series: Sequence[Series]) -> RuleResult:
    """FAIL when a row is earlier than the one before it; rows list it with its position, counted from 0."""
    rows: list[dict[str, Any]] = []
    count = 0
    for each in series:
        early = np.flatnonzero(each.steps < 0) + 1
        count += len(early)
        rows += [each.row(each.bars.index[at], "time", at) for at in early[:LISTED_ROWS].tolist()]
    return RuleResult("unsorted_times", _fail_if(count), count, 0, count, rows[:LISTED_ROWS])


def ohlc_sanity(series: Sequence[Series]) -> RuleResult:
    """FAIL when a high is not the highest of its bar's prices, or a low not the lowest; holes break nothing."""
    rows: list[dict[str, Any]] = []
    count = 0
    for each in series:
        opened, high, low, close = (each.ordered[name].to_numpy() for name in ("open", "high", "low", "close"))
        high_broken, low_broken = (high < opened) | (high < close), (low > opened) | (low > close)
        found = np.flatnonzero(high_broken | low_broken | (high < low))
        count += len(found)
        for at in found[: LISTED_ROWS - len(rows)].tolist():
            name = "low" if low_broken[at] and not high_broken[at] else "high"
            rows.append(each.row(each.times[at], name, each.ordered[name].iloc[at]))
    return RuleResult("ohlc_sanity", _fail_if(count), count, 0, count, rows)


def gaps(series: Sequence[Series], limits: DataSettings) -> RuleResult:
    """WARN, then FAIL, as more per cent of the bars that the symbol's calendar expects are missing.

    Weekends, the hour after 17:00 New York and FX holidays are no gaps; holidays are listed under the column
    `holiday`. Rows tell the first missing bar of a gap, the value how many are missing. Where no calendar is
    known, gaps are counted and listed, and nothing is judged: the value is None.
    """
    rows: list[dict[str, Any]] = []
    holidays: list[dict[str, Any]] = []
    closed_days: set[str] = set()
    notes: list[str] = []
    count = 0
    shares: list[float] = []
    for each in series:
        judged = each.asset_class in KNOWN_HOURS
        found = missing_bars(each.times, each.timeframe, each.asset_class)
        missing = int(found["bars"].sum())
        lacking, closed = found[found["bars"] > 0], found[found["holiday_bars"] > 0]
        rows += [each.row(time, "gap", bars) for time, bars in lacking["bars"].head(LISTED_ROWS).items()]
        holidays += [each.row(time, "holiday", bars) for time, bars in closed["holiday_bars"].head(LISTED_ROWS).items()]
        closed_days |= _holidays_of(closed)
        if judged:
            count += missing
            shares.append(100 * missing / max(1, missing + len(each.times)))
        else:
            count += len(lacking)
            notes.append(f"The hours of {each.symbol or 'bars without a symbol'} are not known: gaps are not judged.")
    if days := sorted(closed_days):
        more = f" and {len(days) - _NAMED_DAYS} more" if len(days) > _NAMED_DAYS else ""
        notes.append(f"Closed for a holiday, which is no gap: {', '.join(days[:_NAMED_DAYS])}{more}.")
    value = max(shares) if shares else None
    status = by_limits(value or 0.0, limits.gap_warn_pct, limits.gap_fail_pct)
    limit = [limits.gap_warn_pct, limits.gap_fail_pct]
    return RuleResult("gaps", status, value, limit, count, (rows + holidays)[:LISTED_ROWS], _sentences(notes))


def weekend_bars(series: Sequence[Series], limits: DataSettings) -> RuleResult:
    """WARN when more than so many per cent of the bars of an FX symbol lie between Friday and Sunday 17:00 New York.

    A daily bar counts when another one belongs to the same trading day: Sunday's stub, as days cut in UTC have it.
    """
    rows: list[dict[str, Any]] = []
    count, worst_pct = 0, 0.0
    for each in _fx(series, Timeframe.D1):
        found = _of_the_same_day(each) if each.timeframe is Timeframe.D1 else _on_weekends(each)
        count += len(found)
        worst_pct = max(worst_pct, 100 * len(found) / max(1, len(each.times)))
        rows += each.rows(found, "close", each.ordered["close"].to_numpy()[found[:LISTED_ROWS]].tolist())
    status = _warn_if(worst_pct > limits.weekend_warn_pct)
    return RuleResult("weekend_bars", status, worst_pct, limits.weekend_warn_pct, count, rows[:LISTED_ROWS])


def weekly_open(series: Sequence[Series], limits: DataSettings) -> RuleResult:
    """WARN, then FAIL, as more per cent of the weeks begin and end by the same hours before or after 17:00 New York.

    A clock read by the wrong rule of summer time moves both ends of a week; a late first quote, or an early last
    one, moves only one and is no breach. Looked at are FX bars up to H1. Rows tell the first bar of such a week,
    the value by how many hours it is off.
    """
    rows: list[dict[str, Any]] = []
    notes: list[str] = []
    count, worst_pct = 0, 0.0
    for each in _fx(series, Timeframe.H1):
        opens, hours = _weeks(each)
        off = np.flatnonzero(hours)
        if not len(off):
            continue
        count += len(off)
        worst_pct = max(worst_pct, 100 * len(off) / len(hours))
        rows += [each.row(opens[at], "time", int(hours[at])) for at in off[:LISTED_ROWS].tolist()]
        notes.append(f"{each.symbol}: {len(off)} of {len(hours)} weeks, {_cause(opens, hours)}.")
    status = by_limits(worst_pct, limits.shift_warn_pct, limits.shift_fail_pct)
    limit = [limits.shift_warn_pct, limits.shift_fail_pct]
    return RuleResult("weekly_open", status, worst_pct, limit, count, rows[:LISTED_ROWS], _sentences(notes))


def stale_prices(series: Sequence[Series], limits: DataSettings) -> RuleResult:
    """WARN when the price did not move at all for so many minutes (and at least three bars): a frozen feed.

    `value` is the longest stretch of three bars or more, in minutes, `count` the bars in all that break the rule;
    rows tell where each of these begins and how many bars it has.
    """
    unmoved = [(each, _unmoved(each.ordered)) for each in series]
    return _stretches("stale_prices", unmoved, "close", limits.stale_minutes)


def zero_volume(series: Sequence[Series], limits: DataSettings) -> RuleResult:
    """WARN when a series that has volumes has none for so many minutes (and at least three bars).

    Figures as in `stale_prices`.
    """
    notes: list[str] = []
    empty: list[tuple[Series, Flags]] = []
    for each in series:
        flags = each.ordered["volume"].to_numpy() == 0
        if len(flags) and flags.all():
            notes.append(f"{each.symbol or 'The bars'}: the source gives no volume at all.")
            flags = np.zeros(len(flags), dtype=bool)
        empty.append((each, flags))
    return _stretches("zero_volume", empty, "volume", limits.zero_volume_minutes, _sentences(notes))


def spikes(series: Sequence[Series], limits: DataSettings) -> RuleResult:
    """WARN when a bar sticks out of both its neighbours by more than so many average true ranges.

    Beyond the higher high, or below the lower low, of the bars before and after it: what jumps and stays is news,
    what jumps and returns at once is mostly a bad tick. The range is the mean of the 14 true ranges before (J. W.
    Wilder, 1978), or that of all where it is larger, so that a quiet hour makes no spikes. `value` is the furthest.
    """
    rows: list[dict[str, Any]] = []
    count, furthest = 0, 0.0
    for each in series:
        for first, reach, upwards in _reaches(each.ordered):
            furthest = max(furthest, float(reach.max(initial=0.0)))
            wild = np.flatnonzero(reach > limits.spike_atr)
            count += len(wild)
            for at in wild[: LISTED_ROWS - len(rows)].tolist():
                name = "high" if upwards[at] else "low"
                rows.append(each.row(each.times[first + at], name, each.ordered[name].iloc[first + at]))
    return RuleResult("spikes", _warn_if(count > 0), furthest, limits.spike_atr, count, rows)


def source_disagreement(series: Sequence[Series], limits: DataSettings, others: Sequence[Series] = ()) -> RuleResult:
    """WARN, then FAIL, as more per cent of the bars that two sources share differ in their close.

    A close differs when it is further from the other than `source_limit_pct` per cent of it. Rows tell the bars
    that do, their value the difference in per cent. With one source a symbol there is nothing to compare.
    """
    rows: list[dict[str, Any]] = []
    notes: list[str] = []
    count = 0
    shares: list[float] = []
    for one, other in [*combinations(series, 2), *product(series, others)]:
        if one.symbol != other.symbol:
            continue
        names = f"{one.symbol}: {one.source or 'one source'} and {other.source or 'another'}"
        if one.timeframe is not other.timeframe:
            notes.append(f"{names} have other timeframes and are not compared.")
            continue
        both = pd.concat([one.ordered["close"], other.ordered["close"]], axis=1, join="inner", keys=("one", "other"))
        apart = 100 * (both["one"] / both["other"] - 1)
        far = np.flatnonzero(apart.abs() > limits.source_limit_pct)
        notes.append(f"{names} share {len(both):,} bars.")
        count += len(far)
        if len(both):
            shares.append(100 * len(far) / len(both))
        rows += [one.row(apart.index[at], "close", apart.iloc[at]) for at in far[:LISTED_ROWS].tolist()]
    value = max(shares) if shares else None
    status = by_limits(value or 0.0, limits.source_warn_pct, limits.source_fail_pct)
    limit = [limits.source_warn_pct, limits.source_fail_pct]
    return RuleResult("source_disagreement", status, value, limit, count, rows[:LISTED_ROWS], _sentences(notes))


def _fx(series: Sequence[Series], longest: Timeframe) -> Iterator[Series]:
    """The series of FX whose bars are no longer than `longest`."""
    for each in series:
        if each.asset_class is AssetClass.FX and each.timeframe.minutes <= longest.minutes and len(each.times):
            yield each


def _holidays_of(closed: pd.DataFrame) -> set[str]:
    """The holiday that each stretch of `missing_bars` fell into, as dates."""
    if closed.empty:
        return set()
    days = fx_holidays(closed.index[0], closed["until"].iloc[-1])
    reached = trading_day_end(days, AssetClass.FX).searchsorted(closed.index, side="right")
    return set(days[np.unique(reached)].strftime("%Y-%m-%d"))


def _on_weekends(each: Series) -> Positions:
    """Bars that lie wholly between Friday and Sunday 17:00 New York."""
    first, last = trading_day(each.times[[0, -1]], AssetClass.FX)
    mondays = pd.date_range(first, last + pd.Timedelta(days=7), freq="W-MON")
    closes = trading_day_end(pd.DatetimeIndex(mondays - pd.Timedelta(days=3)), AssetClass.FX)
    opens = trading_day_start(mondays, AssetClass.FX)
    begin = each.times.searchsorted(closes, side="left")
    end = each.times.searchsorted(opens - each.timeframe.delta, side="right")
    spans = [np.arange(start, stop) for start, stop in zip(begin, end, strict=True) if start < stop]
    return np.concatenate(spans) if spans else np.empty(0, dtype=np.intp)


def _of_the_same_day(each: Series) -> Positions:
    days = trading_day(each.times, AssetClass.FX)
    return np.flatnonzero(days[1:] == days[:-1])


def _weeks(each: Series) -> tuple[pd.DatetimeIndex, np.ndarray[Any, np.dtype[np.int64]]]:
    """The first bar of each week between two weekends, and by how many hours that week is off; 0 is right."""
    before = np.flatnonzero(np.diff(each.times.asi8) > 1440 * _MINUTE)
    opens = each.times[before[:-1] + 1]
    closes = each.times[before[1:]] + each.timeframe.delta
    late_open = (_week_minute(opens) + _WEEK_MINUTES // 2) % _WEEK_MINUTES - _WEEK_MINUTES // 2
    late_close = _week_minute(closes) - 5 * 1440
    # Further off is a holiday beside the weekend, or a hole in the data.
    usual = (np.abs(late_open) <= 720) & (np.abs(late_close) <= 720)
    opens, late_open, late_close = opens[usual], late_open[usual], late_close[usual]
    later, earlier = np.minimum(late_open, late_close), np.maximum(late_open, late_close)
    moved = np.where(later > 0, later, np.where(earlier < 0, earlier, 0))
    return opens, np.rint(moved / 60).astype("int64")


def _week_minute(times: pd.DatetimeIndex) -> np.ndarray[Any, np.dtype[np.int64]]:
    """Minutes since the trading week began, on the clock of New York."""
    minutes = day_clock(times, AssetClass.FX).as_unit("us").asi8 // _MINUTE
    return (minutes - 4 * 1440) % _WEEK_MINUTES


def _cause(opens: pd.DatetimeIndex, hours: np.ndarray[Any, np.dtype[np.int64]]) -> str:
    """By how much the weeks are off, and which rule of summer time would explain it."""
    off = hours != 0
    new_york, europe = (_is_summer(opens, zone) for zone in ("America/New_York", "Europe/London"))
    sizes = " and ".join(f"{size:+d} h" for size in sorted(set(hours[off].tolist())))
    explained = {
        "in all of them: the times are of another zone": np.ones(len(opens), dtype=bool),
        "those in which New York and Europe have not both summer or winter time: the wrong one was followed": (
            new_york != europe
        ),
        "those of New York's summer: summer time was left out, or followed where there is none": new_york,
        "those of New York's winter: summer time was left out, or followed where there is none": ~new_york,
    }
    fits = [words for words, weeks in explained.items() if np.array_equal(weeks, off)]
    return f"{sizes}, {fits[0]}" if fits else f"{sizes}, by no rule of summer time that is known here"


def _is_summer(times: pd.DatetimeIndex, zone: str) -> Flags:
    return np.array([bool(moment.dst()) for moment in times.tz_convert(zone)], dtype=bool)


def _unmoved(bars: pd.DataFrame) -> Flags:
    """Bars without a range whose close is the close before."""
    close = bars["close"].to_numpy()
    flags: Flags = np.asarray(bars["high"].to_numpy() == bars["low"].to_numpy())
    flags[:1] = False
    flags[1:] &= close[1:] == close[:-1]
    return flags


def _stretches(
    rule: str, flagged: Sequence[tuple[Series, Flags]], column: str, least_minutes: float, note: str = ""
) -> RuleResult:
    """WARN when flagged bars follow each other for `least_minutes`."""
    rows: list[dict[str, Any]] = []
    count, longest = 0, 0.0
    for each, flags in flagged:
        if not flags.any():
            continue
        edges = np.flatnonzero(np.diff(flags, prepend=False, append=False))
        begins, lengths = edges[::2], edges[1::2] - edges[::2]
        begins, lengths = begins[lengths >= _FEWEST_ALIKE], lengths[lengths >= _FEWEST_ALIKE]
        long = lengths * each.timeframe.minutes >= least_minutes
        count += int(lengths[long].sum())
        longest = max(longest, float(lengths.max(initial=0)) * each.timeframe.minutes)
        rows += each.rows(begins[long], column, lengths[long].tolist())
    return RuleResult(rule, _warn_if(count > 0), longest, least_minutes, count, rows[:LISTED_ROWS], note)


def _reaches(bars: pd.DataFrame) -> Iterator[tuple[int, Floats, Flags]]:
    """By how many average true ranges bars stick out of both their neighbours, and whether upwards.

    In blocks that fit into a processor's cache, each with the position of its first bar; where a bar does not stick
    out, or a price is missing, that is 0.
    """
    high, low, close = (bars[name].to_numpy() for name in ("high", "low", "close"))

    def true_ranges(start: int, stop: int) -> Floats:
        """Those of the bars from `start`, which must have one before it, to `stop`."""
        ranges: Floats = np.fmax(high[start:stop], close[start - 1 : stop - 1])
        ranges -= np.fmin(low[start:stop], close[start - 1 : stop - 1])
        return ranges

    total, known = 0.0, 0
    for start in range(1, len(bars), _BLOCK):
        ranges = true_ranges(start, min(start + _BLOCK, len(bars)))
        total, known = total + float(np.nansum(ranges)), known + int(np.count_nonzero(~np.isnan(ranges)))
    mean = total / max(1, known)
    first = _ATR_BARS + 1  # the first bar with so many true ranges before it
    if not 0 < mean < np.inf:
        return
    for start in range(first, len(bars) - 1, _BLOCK):
        stop = min(start + _BLOCK, len(bars) - 1)
        before = np.nan_to_num(true_ranges(start - _ATR_BARS, stop - 1), copy=False, nan=mean)
        usual = np.convolve(before, np.full(_ATR_BARS, 1 / _ATR_BARS), mode="valid")
        above = high[start:stop] - np.maximum(high[start - 1 : stop - 1], high[start + 1 : stop + 1])
        below = np.minimum(low[start - 1 : stop - 1], low[start + 1 : stop + 1]) - low[start:stop]
        reach = np.fmax(above, below) / np.maximum(usual, mean)
        yield start, np.nan_to_num(reach, copy=False, nan=0.0).clip(min=0.0), np.asarray(above > below)


def _sentences(notes: list[str]) -> str:
    return " ".join(dict.fromkeys(notes))


def _fail_if(count: int) -> Verdict:
    return Verdict.FAIL if count else Verdict.PASS


def _warn_if(broken: bool) -> Verdict:
    return Verdict.WARN if broken else Verdict.PASS
