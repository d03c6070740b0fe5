from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as some

import data.bar_rows
import data.bar_scan
from core.errors import BarsError, InputError, StoreUnusableError, UnknownNameError
from core.store import Store
from data.bar_store import Added, BarStore
from data.bar_tables import MARKET_DATA
from market.bars import check_bars
from market.calendar import NEW_YORK_CLOSE, UTC_MIDNIGHT, DayCut
from market.resample import resample_bars
from market.symbols import AssetClass
from market.timeframes import Timeframe

MadeBars = Callable[..., pd.DataFrame]
RunScript = Callable[..., subprocess.CompletedProcess[str]]
H1, H4, D1, W1, MN1, M1, M5 = (Timeframe[name] for name in ("H1", "H4", "D1", "W1", "MN1", "M1", "M5"))
LONDON = DayCut("Europe/London", 0, skips_weekend=True)
store = BarStore()


def at(text: str) -> pd.Timestamp:
    return pd.Timestamp(text, tz="UTC")


def walk(times: pd.DatetimeIndex, seed: int = 1) -> pd.DataFrame:
    """Bars of a random walk, with fractional volumes, opening at `times`."""
    chance = np.random.default_rng(seed)
    close = 1.1 + chance.normal(0, 1e-4, len(times)).cumsum()
    opened = np.r_[close[:1], close[:-1]]
    columns = {
        "open": opened,
        "high": np.maximum(opened, close) + 1e-4,
        "low": np.minimum(opened, close) - 1e-4,
        "close": close,
        "volume": chance.exponential(10, len(times)),
    }
    return check_bars(pd.DataFrame(columns, index=times.as_unit("us")))


def days(start: str, count: int, cut: DayCut) -> pd.DatetimeIndex:
    """The opens of so many days of Monday to Friday from the date `start` on, as a vendor with that cut stamps them."""
    dates = pd.bdate_range(start, periods=count) - pd.Timedelta(days=1 if cut.hour else 0)
    return (dates + pd.Timedelta(hours=cut.hour)).tz_localize(cut.zone).tz_convert("UTC").as_unit("us")


def assert_same(found: pd.DataFrame, expected: pd.DataFrame) -> None:
    pd.testing.assert_frame_equal(found, expected, check_freq=False, check_exact=True)


def rows_of(query: str) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(Store(MARKET_DATA).path)) as database:
        return database.execute(query).fetchall()


# Adding


def test_what_is_added_is_read_back_as_it_was(sample: pd.DataFrame) -> None:
    assert store.add("EURUSD", H1, "Sample", sample) == Added(new=5000, same=0, different=0)
    found = store.bars("EURUSD", H1)
    assert_same(found, sample)
    assert_same(check_bars(found), found)
    assert found.attrs == {}


def test_a_range_is_read_from_its_start_to_before_its_end(sample: pd.DataFrame) -> None:
    store.add("EURUSD", H1, "Sample", sample)
    found = store.bars("eur/usd", "1h", "2017-05-01 10:00", at("2017-05-01 12:00"))
    assert list(found.index) == [at("2017-05-01 10:00"), at("2017-05-01 11:00")]
    assert store.bars("EURUSD", H1, "2017-05-01 10:00:00.000001", "2017-05-01 12:00").index[0].hour == 11
    assert store.bars("EURUSD", H1, at("2017-05-01 12:00"), at("2017-05-01 12:00")).empty


def test_the_same_again_changes_nothing(sample: pd.DataFrame) -> None:
    store.add("EURUSD", H1, "Sample", sample, now="2024-01-01")
    before = rows_of("SELECT * FROM market_data"), rows_of("SELECT * FROM bar_series")
    assert store.add("EURUSD", H1, "Sample", sample, now="2025-01-01") == Added(new=0, same=5000, different=0)
    assert (rows_of("SELECT * FROM market_data"), rows_of("SELECT * FROM bar_series")) == before
    assert store.disagreements().empty


def test_bars_come_in_any_order_and_the_last_ones_need_not_come_last(sample: pd.DataFrame) -> None:
    for part in (sample.iloc[3000:3500], sample.iloc[:1000], sample.iloc[900:3200], sample.iloc[3400:]):
        store.add("EURUSD", H1, "Sample", part)
    assert_same(store.bars("EURUSD", H1), sample)
    held = store.held().iloc[0]
    assert (held["first"], held["last"], held["rows"]) == (sample.index[0], sample.index[-1], 5000)


def test_a_bar_that_differs_is_kept_as_a_finding_and_the_stored_one_stays(made: MadeBars) -> None:
    bars = made([1.0, 2.0, 3.0])
    store.add("EURUSD", H1, "Sample", bars)
    other = bars.copy()
    other.iloc[1, [3, 4]] = [2.25, 7.0]
    later = at("2024-06-01")
    assert store.add("EURUSD", H1, "Sample", other, now=later) == Added(new=0, same=2, different=1)
    assert_same(store.bars("EURUSD", H1), bars)
    found = store.disagreements("EURUSD")
    assert list(found["column"]) == ["volume", "close"]
    assert found[["stored", "offered"]].to_numpy().tolist() == [[100.0, 7.0], [2.0, 2.25]]
    assert set(found["time"]) == {bars.index[1]}
    assert set(found["found_at"]) == {later}


def test_the_same_disagreement_is_kept_once_and_another_beside_it(made: MadeBars) -> None:
    bars = made([1.0, 2.0])
    store.add("EURUSD", H1, "Sample", bars)
    for volume in (7.0, 7.0, 8.0):
        assert store.add("EURUSD", H1, "Sample", bars.assign(volume=volume)).different == 2
    assert sorted(store.disagreements()["offered"]) == [7.0, 7.0, 8.0, 8.0]


def test_figures_that_differ_by_the_last_bits_of_a_sum_are_the_same(made: MadeBars) -> None:
    bars = made([1.0, 2.0, 3.0])
    store.add("EURUSD", H1, "Sample", bars)
    assert store.add("EURUSD", H1, "Sample", bars.assign(volume=100.0 * (1 + 0.9e-9))).same == 3
    assert store.add("EURUSD", H1, "Sample", bars.assign(volume=100.0 * (1 + 1.1e-9))).different == 3


def test_a_spread_that_is_not_quoted_contradicts_nothing_and_one_that_is_new_is_a_finding(made: MadeBars) -> None:
    bars = made([1.0, 2.0, 3.0])
    quoted = bars.assign(spread_points=[2.0, np.nan, 4.0])
    store.add("EURUSD", H1, "quoted", quoted)
    assert_same(store.bars("EURUSD", H1, sources=["quoted"]), quoted)
    assert store.add("EURUSD", H1, "quoted", bars) == Added(new=0, same=3, different=0)
    assert store.add("EURUSD", H1, "quoted", bars.assign(spread_points=[2.0, 3.0, 4.0])).different == 1
    assert store.disagreements()[["column", "stored", "offered"]].iloc[0].tolist()[::2] == ["spread_points", 3.0]
    assert np.isnan(store.disagreements()["stored"].iloc[0])


def test_the_frame_given_is_not_changed_and_may_be_longer_than_a_statement_takes(sample: pd.DataFrame) -> None:
    before = sample.copy(deep=True)
    store.add("EURUSD", H1, "Sample", sample.iloc[:433])
    assert_same(sample, before)
    assert_same(store.bars("EURUSD", H1), sample.iloc[:433])


def test_a_bar_that_still_forms_is_left_out_until_it_is_closed(made: MadeBars) -> None:
    bars = made([1.0, 2.0, 3.0])
    half_past = bars.index[2] + pd.Timedelta(minutes=30)
    answered = (bars.index[0], bars.index[-1] + pd.Timedelta(hours=1))
    first = store.add("EURUSD", H1, "Sample", bars, covered=answered, now=half_past)
    assert first == Added(new=2, same=0, different=0, forming=1)
    [(start, _)] = store.missing("EURUSD", H1, "Sample", *answered)
    assert start <= bars.index[2]
    bars.iloc[2, 3] = 3.25
    assert store.add("EURUSD", H1, "Sample", bars, covered=answered).new == 1
    assert store.missing("EURUSD", H1, "Sample", *answered) == []
    assert_same(store.bars("EURUSD", H1), bars)


@pytest.mark.parametrize(
    ("timeframe", "now", "settled"),
    [
        (M1, "2024-01-03 10:00:30", "2024-01-03 09:59:30.001"),
        (D1, "2024-01-03 10:00", "2024-01-02 22:00"),
        (D1, "2024-01-03 22:00", "2024-01-03 22:00"),
        (W1, "2024-01-12 23:00", "2024-01-11 22:00"),  # it begins on Sunday, or on the weekend before
        (MN1, "2024-01-12", "2023-12-28 22:00"),
    ],
)
def test_what_may_still_form_is_never_covered(timeframe: Timeframe, now: str, settled: str) -> None:
    nothing = store.bars("EURUSD", timeframe)
    store.add("EURUSD", timeframe, "Sample", nothing, covered=("2023-01-01", "2030-01-01"), now=now)
    [(start, end)] = store.missing("EURUSD", timeframe, "Sample", "2023-01-01", "2030-01-01")
    assert (start, end) == (at(settled), at("2030-01-01"))


def test_an_answer_without_bars_covers_its_range_too(made: MadeBars) -> None:
    nothing = made([]).iloc[:0]
    assert store.add("EURUSD", H1, "Sample", nothing, covered=("2024-01-06", "2024-01-07")) == Added(0, 0, 0)
    assert store.missing("EURUSD", H1, "Sample", "2024-01-06", "2024-01-07") == []
    assert store.missing("EURUSD", H1, "other", "2024-01-06", "2024-01-07") != []
    assert store.held().empty


def test_ranges_that_touch_are_one_row(made: MadeBars) -> None:
    nothing = made([]).iloc[:0]
    for begin, end in ((1, 2), (3, 4), (2, 3), (6, 7)):
        store.add("EURUSD", H1, "Sample", nothing, covered=(f"2024-01-0{begin}", f"2024-01-0{end}"))
    store.add("EURUSD", H1, "other", nothing, covered=("2024-01-01", "2024-01-09"))
    rows = rows_of("SELECT start / 86400000 - 19722, end / 86400000 - 19722 FROM bar_coverage WHERE source = 'Sample'")
    assert sorted(rows) == [(1, 4), (6, 7)]


def test_an_answer_that_ends_before_anything_is_settled_covers_nothing(made: MadeBars) -> None:
    nothing = made([]).iloc[:0]
    store.add("EURUSD", H1, "Sample", nothing, covered=("2024-01-06", "2024-01-07"), now="2024-01-05")
    assert rows_of("SELECT * FROM bar_coverage") == []


def test_historical_and_live_bars_stand_apart(made: MadeBars) -> None:
    bars = made([1.0, 2.0])
    store.add("EURUSD", H1, "MT5", bars)
    store.add("EURUSD", H1, "MT5", bars + 1, kind="live")
    assert list(store.bars("EURUSD", H1)["close"]) == [1.0, 2.0]
    assert list(store.bars("EURUSD", H1, kind="live")["close"]) == [2.0, 3.0]
    assert list(store.held()["type"]) == ["historical", "live"]
    with pytest.raises(InputError, match="historical bars only"):
        store.add("EURUSD", H1, "MT5", bars, kind="live", covered=("2024-01-01", "2024-01-02"))
    with pytest.raises(UnknownNameError, match="Did you mean 'live'"):
        store.bars("EURUSD", H1, kind="life")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda bars: bars.assign(volume=[1.0, np.nan]), "volume=nan"),
        (lambda bars: bars.assign(volume=[1.0, np.inf]), "volume=inf"),
        (lambda bars: bars.assign(spread_points=[np.nan, np.inf]), "spread_points=inf"),
        (lambda bars: bars.assign(high=0.5), "cannot be one bar"),
        (lambda bars: bars.set_index(bars.index + pd.Timedelta(microseconds=1)), "within a millisecond"),
    ],
)
def test_bars_that_could_not_be_kept_as_they_are_are_refused(
    made: MadeBars, change: Callable[[pd.DataFrame], pd.DataFrame], words: str
) -> None:
    with pytest.raises(BarsError, match=words):
        store.add("EURUSD", H1, "Sample", change(made([1.0, 2.0])), covered=("2024-01-01", "2024-01-02"))
    assert not Store(MARKET_DATA).path.exists()


# Longer bars


@pytest.fixture
def hours() -> pd.DataFrame:
    """Half a year of FX hours, without weekends and without the hours before and after each close."""
    times = pd.date_range("2024-01-01", "2024-07-01", freq="h", tz="UTC", inclusive="left")
    wall = times.tz_convert("America/New_York")
    closed = (wall.day_of_week == 5) | ((wall.day_of_week == 4) & (wall.hour >= 17))
    closed |= ((wall.day_of_week == 6) & (wall.hour < 17)) | wall.hour.isin([16, 17])
    return walk(times[~closed])


@pytest.mark.parametrize("timeframe", [H4, D1, W1, MN1])
def test_longer_bars_are_joined_along_the_markets_days(hours: pd.DataFrame, timeframe: Timeframe) -> None:
    store.add("EURUSD", H1, "Sample", hours)
    assert_same(store.bars("EURUSD", timeframe), resample_bars(hours, timeframe))
    store.add("BTCUSD", H1, "Sample", hours)
    crypto = resample_bars(hours, timeframe, AssetClass.CRYPTO)
    assert_same(store.bars("BTCUSD", timeframe), crypto)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])  # it only reads
@given(
    timeframe=some.sampled_from([H4, D1, W1, MN1]),
    first=some.integers(-10, 190 * 24),
    length=some.integers(1, 60 * 24),
)
def test_a_range_of_joined_bars_is_that_range_of_all(
    joined_from: pd.DataFrame, timeframe: Timeframe, first: int, length: int
) -> None:
    start = at("2024-01-01") + pd.Timedelta(hours=first)
    end = start + pd.Timedelta(hours=length)
    whole = resample_bars(joined_from, timeframe)
    expected = whole[(whole.index >= start) & (whole.index < end)]
    assert_same(store.bars("EURUSD", timeframe, start, end), expected)


@pytest.fixture
def joined_from(hours: pd.DataFrame) -> pd.DataFrame:
    """The hours, in the store."""
    store.add("EURUSD", H1, "Sample", hours)
    return hours


def test_the_longest_shorter_timeframe_is_joined(hours: pd.DataFrame) -> None:
    store.add("EURUSD", M1, "Sample", walk(pd.date_range("2024-01-07 22:00", periods=3000, freq="min", tz="UTC")))
    store.add("EURUSD", H1, "Sample", hours)
    assert_same(store.bars("EURUSD", D1), resample_bars(hours, D1))


def test_what_is_kept_is_not_joined_again_and_weeks_never_make_months() -> None:
    weeks = walk(pd.date_range("2024-01-07 22:00", periods=8, freq="7D", tz="UTC"))
    store.add("EURUSD", W1, "Sample", weeks)
    assert_same(store.bars("EURUSD", W1), weeks)
    assert store.bars("EURUSD", MN1).empty
    days_of = walk(days("2024-01-01", 60, NEW_YORK_CLOSE))
    store.add("EURUSD", D1, "Sample", days_of)
    assert_same(store.bars("EURUSD", W1), weeks)
    assert_same(store.bars("EURUSD", MN1), resample_bars(days_of, MN1, source=D1))


def test_a_few_scattered_minutes_are_still_minutes() -> None:
    scattered = pd.DatetimeIndex([at("2024-01-08 08:30"), at("2024-01-08 09:30"), at("2024-01-08 10:30")])
    store.add("EURUSD", M1, "Sample", walk(scattered))
    assert list(store.bars("EURUSD", H1).index) == [at("2024-01-08 09:00")]


def test_a_longer_bar_is_joined_only_where_the_source_was_asked_for_all_of_it(hours: pd.DataFrame) -> None:
    early, late = hours[hours.index < at("2024-02-01 05:00")], hours[hours.index >= at("2024-02-06 11:00")]
    store.add("EURUSD", H1, "Sample", early, covered=("2024-01-01", "2024-02-01 05:00"))
    store.add("EURUSD", H1, "Sample", late, covered=("2024-02-06 11:00", "2024-07-01"))
    found = store.bars("EURUSD", D1)
    whole = resample_bars(hours, D1)
    halves = {at("2024-01-31 22:00"), at("2024-02-05 22:00")}
    never = {at("2024-02-01 22:00"), at("2024-02-04 22:00")}
    assert_same(found, whole[~whole.index.isin(halves | never)])


def test_a_longer_bar_is_there_the_moment_it_ends() -> None:
    opened, close = at("2024-03-05 22:00"), at("2024-03-06 22:00")
    minutes = walk(pd.date_range(opened, close, freq="min"))
    store.add("EURUSD", M1, "Sample", minutes, covered=("2024-01-01", "2025-01-01"), now=close)
    assert list(store.bars("EURUSD", D1, now=close).index) == [opened]


# Sources


def test_the_source_named_first_wins_and_the_others_fill(made: MadeBars) -> None:
    bars = made([1.0, 2.0, 3.0, 4.0])
    store.add("EURUSD", H1, "b", bars.iloc[[0, 2]].assign(volume=2.0))
    store.add("EURUSD", H1, "a", bars.iloc[[1, 2, 3]].assign(volume=1.0))
    assert list(store.bars("EURUSD", H1, sources=["a", "b"])["volume"]) == [2.0, 1.0, 1.0, 1.0]
    assert list(store.bars("EURUSD", H1, sources=["b", "a"])["volume"]) == [2.0, 1.0, 2.0, 1.0]
    assert list(store.bars("EURUSD", H1, sources=["a", "nobody"])["volume"]) == [1.0, 1.0, 1.0]
    assert store.sources_of("EURUSD", H1) == ["b", "a"]
    assert_same(store.bars("EURUSD", H1), store.bars("EURUSD", H1, sources=["b", "a"]))


def test_a_source_without_the_timeframe_fills_with_what_it_can_join(hours: pd.DataFrame) -> None:
    longer = resample_bars(hours, D1)
    store.add("EURUSD", D1, "daily", longer.iloc[:20].assign(volume=1.0))
    store.add("EURUSD", H1, "hourly", hours)
    assert len(store.bars("EURUSD", D1)) == 20  # without a name only those that keep days
    both = store.bars("EURUSD", D1, sources=["daily", "hourly"])
    assert_same(both.iloc[20:], longer.iloc[20:])
    assert set(both["volume"].iloc[:20]) == {1.0}


def test_a_spread_that_one_source_quotes_is_missing_where_the_other_fills(made: MadeBars) -> None:
    bars = made([1.0, 2.0])
    store.add("EURUSD", H1, "plain", bars.iloc[:1])
    store.add("EURUSD", H1, "quoted", bars.assign(spread_points=3.0))
    found = store.bars("EURUSD", H1)
    assert list(found.columns) == ["open", "high", "low", "close", "volume", "spread_points"]
    assert found["spread_points"].isna().tolist() == [True, False]


def test_closes_that_lie_further_apart_than_the_tolerance_are_listed(made: MadeBars) -> None:
    bars = made([1.1000, 1.1000, 1.1000, 1.1000])
    other = bars.copy()
    other["close"] = [1.1001, 1.1005, 1.0995, 1.1006]
    store.add("EURUSD", H1, "a", bars)
    store.add("EURUSD", H1, "b", other.iloc[:3])
    store.add("EURUSD", H1, "b", bars, kind="live")
    found = store.source_differences("EURUSD", H1, "a", "b", tolerance_pips=2)
    assert list(found.index) == list(bars.index[1:3])
    assert found["difference_pips"].round(6).tolist() == [5.0, -5.0]
    assert found[["close_a", "close_b"]].to_numpy().tolist() == [[1.1, 1.1005], [1.1, 1.0995]]
    assert store.source_differences("EURUSD", H1, "a", "b", tolerance_pips=5).empty
    assert len(store.source_differences("EURUSD", H1, "b", "a", 2, end=bars.index[2])) == 1
    with pytest.raises(UnknownNameError, match=r"no source of EURUSD H1 bars 'c'.*Known: a, b"):
        store.source_differences("EURUSD", H1, "a", "c", 2)


# Days that end elsewhere


def test_days_that_end_elsewhere_are_kept_only_when_that_is_said() -> None:
    bars = walk(days("2024-01-01", 10, LONDON))
    with pytest.raises(BarsError, match=r"D1 bar of EURUSD at 2024-01-01 00:00 UTC.*17:00 America/New_York") as refused:
        store.add("EURUSD", D1, "Yahoo", bars)
    assert "cut=DayCut" in refused.value.cure
    store.add("EURUSD", D1, "Yahoo", bars, cut=LONDON)
    assert_same(store.bars("EURUSD", D1), bars)
    assert store.cut_of("EURUSD", D1, "Yahoo") == LONDON
    assert store.cut_of("EURUSD", D1, "other") == NEW_YORK_CLOSE
    with pytest.raises(BarsError, match=r"2024-01-15 22:00 UTC.*00:00 Europe/London"):
        store.add("EURUSD", D1, "Yahoo", walk(days("2024-01-16", 3, NEW_YORK_CLOSE)), cut=LONDON)


def test_hours_have_no_cut_and_the_markets_own_need_not_be_said() -> None:
    store.add("EURUSD", H1, "Yahoo", walk(pd.date_range("2024-01-08", periods=3, freq="h", tz="UTC")), cut=LONDON)
    store.add("EURUSD", D1, "HistData", walk(days("2024-01-01", 3, NEW_YORK_CLOSE)), cut=NEW_YORK_CLOSE)
    store.add("BTCUSD", D1, "Yahoo", walk(days("2024-01-01", 3, UTC_MIDNIGHT)))
    assert rows_of("SELECT DISTINCT cut_zone, cut_hour, cut_skips_weekend FROM bar_series") == [(None, None, None)]
    assert store.cut_of("BTCUSD", D1, "Yahoo") == UTC_MIDNIGHT


@pytest.mark.parametrize(
    ("timeframe", "opens", "cut"),
    [
        (H4, ["2024-01-07 22:00", "2024-01-08 02:00", "2024-07-08 01:00"], None),
        (H4, ["2024-01-08 00:00", "2024-07-08 03:00"], LONDON),  # in summer 03:00 UTC is four in London
        (D1, ["2024-03-08 22:00", "2024-03-10 21:00"], None),
        (W1, ["2024-01-06 22:00", "2024-01-13 22:00"], None),  # MetaTrader stamps weeks with the Sunday
        (MN1, ["2023-12-31 22:00", "2024-05-31 21:00"], None),  # and months with the first, a Saturday too
    ],
)
def test_bars_that_open_with_a_day_are_taken_whichever_day_it_is(
    timeframe: Timeframe, opens: list[str], cut: DayCut | None
) -> None:
    bars = walk(pd.DatetimeIndex([at(each) for each in opens]))
    assert store.add("EURUSD", timeframe, "MT5", bars, cut=cut).new == len(opens)


def test_four_hours_that_do_not_count_from_the_days_begin_are_refused() -> None:
    with pytest.raises(BarsError, match="H4 bar of EURUSD at 2024-01-08 00:00 UTC"):
        store.add("EURUSD", H4, "MT5", walk(pd.DatetimeIndex([at("2024-01-08 00:00")])))


@pytest.fixture
def two_days() -> None:
    """Days of HistData that end in New York, and some of Yahoo that end in London."""
    store.add("EURUSD", D1, "HistData", walk(days("2024-01-01", 20, NEW_YORK_CLOSE)))
    store.add("EURUSD", D1, "Yahoo", walk(days("2024-01-01", 20, LONDON)), cut=LONDON)


@pytest.mark.usefixtures("two_days")
def test_days_that_end_at_different_hours_are_never_mixed() -> None:
    both = r"never mixed: days end HistData's at 17:00 America/New_York, Yahoo's at 00:00 Europe/London"
    for asked in (
        lambda: store.bars("EURUSD", D1),
        lambda: store.source_differences("EURUSD", D1, "HistData", "Yahoo", 1),
    ):
        with pytest.raises(BarsError, match=both):
            asked()
    assert len(store.bars("EURUSD", D1, sources=["Yahoo"])) == 20
    assert store.bars("EURUSD", D1, sources=["HistData"]).index[0] == at("2023-12-31 22:00")


@pytest.mark.usefixtures("two_days")
def test_weeks_are_not_joined_from_days_that_end_elsewhere() -> None:
    with pytest.raises(BarsError, match=r"W1 bars of EURUSD are not joined from the D1 bars of Yahoo.*Europe/London"):
        store.bars("EURUSD", W1, sources=["Yahoo"])
    assert len(store.bars("EURUSD", W1)) == 4  # of HistData's days
    store.add("EURUSD", H1, "Yahoo", walk(pd.date_range("2024-01-07 22:00", periods=200, freq="h", tz="UTC")))
    assert len(store.bars("EURUSD", W1, sources=["Yahoo"])) == 1  # of its hours


def test_the_only_source_of_days_that_end_elsewhere_is_named_when_they_cannot_be_joined() -> None:
    store.add("EURUSD", D1, "Yahoo", walk(days("2024-01-01", 20, LONDON)), cut=LONDON)
    with pytest.raises(BarsError, match="not joined from the D1 bars of Yahoo"):
        store.bars("EURUSD", MN1)


def test_a_source_keeps_one_kind_of_days() -> None:
    store.add("EURUSD", D1, "Yahoo", walk(days("2024-01-01", 3, LONDON)), cut=LONDON)
    with pytest.raises(BarsError, match=r"kept with days that end at 00:00 Europe/London; these end at 17:00 America"):
        store.add("EURUSD", D1, "Yahoo", walk(days("2024-01-08", 3, NEW_YORK_CLOSE)))
    assert len(store.bars("EURUSD", D1)) == 3


def test_a_vendors_day_is_closed_when_the_vendor_says_so() -> None:
    store.add("EURUSD", D1, "Yahoo", walk(days("2024-01-01", 3, LONDON)), cut=LONDON)
    before, after = at("2024-01-03 23:59:59"), at("2024-01-04 00:00")
    assert len(store.bars("EURUSD", D1, now=before)) == 2
    assert len(store.bars("EURUSD", D1, now=after)) == 3
    assert len(store.bars("EURUSD", D1, now=before, closed_only=False)) == 3


# What there is


def test_an_absent_store_reads_as_an_empty_one_and_is_not_created(home: Path) -> None:
    bars = store.bars("EURUSD", D1)
    assert (len(bars), list(bars.columns), str(bars.index.dtype)) == (
        0,
        ["open", "high", "low", "close", "volume"],
        "datetime64[us, UTC]",
    )
    assert_same(check_bars(bars), bars)
    assert list(store.held().columns) == ["symbol", "timeframe", "source", "type", "first", "last", "rows"]
    assert store.sources_of("EURUSD", D1) == []
    assert len(store.missing("EURUSD", H1, "Sample", "2024-01-01", "2024-01-02")) == 1
    assert str(store.disagreements()["time"].dtype) == "datetime64[us, UTC]"
    assert list(home.iterdir()) == []


def test_what_is_held_is_what_the_tables_hold(made: MadeBars) -> None:
    for symbol, timeframe, source, closes in (("EURUSD", H1, "b", 3), ("EURUSD", H1, "a", 5), ("gbpusd", M5, "a", 2)):
        store.add(symbol, timeframe, source, made(np.arange(closes) + 1.0))
    held = store.held()
    assert held["symbol"].tolist() == ["EURUSD", "EURUSD", "GBPUSD"]
    counted = rows_of(
        "SELECT symbol, timeframe, source, type, min(time), max(time), count(*) FROM market_data "
        "GROUP BY symbol, timeframe, source, type ORDER BY min(id)"
    )
    stamps = {name: held[name].astype("datetime64[ms, UTC]").astype("int64") for name in ("first", "last")}
    assert list(held.assign(**stamps).itertuples(index=False, name=None)) == counted
    assert rows_of("SELECT symbol FROM tradable_pairs ORDER BY id") == [("EURUSD",), ("GBPUSD",)]


def test_disagreements_are_found_by_symbol_timeframe_and_source(made: MadeBars) -> None:
    bars = made([1.0])
    for symbol, timeframe, source in (("EURUSD", H1, "a"), ("EURUSD", M5, "a"), ("GBPUSD", H1, "b")):
        store.add(symbol, timeframe, source, bars)
        store.add(symbol, timeframe, source, bars.assign(volume=1.0))
    assert len(store.disagreements()) == 3
    assert store.disagreements("eur/usd")["timeframe"].tolist() == ["M5", "H1"]
    assert len(store.disagreements(timeframe="1h")) == 2
    assert store.disagreements(source="b")["symbol"].tolist() == ["GBPUSD"]


def test_the_view_writes_times_as_text(made: MadeBars) -> None:
    chance = np.random.default_rng(3)
    stamps = np.sort(chance.choice(16 * 10**11, 500, replace=False))
    times = pd.DatetimeIndex(stamps.view("datetime64[ms]"), tz="UTC", name="time")
    bars = made(chance.uniform(1, 2, 500)).set_axis(times)
    store.add("EURUSD", M1, "Sample", bars)
    found = rows_of("SELECT id, symbol, timeframe, open, high, low, close, volume, time, type FROM market_data_utc")
    assert [row[8] for row in found] == [f"{time:%Y-%m-%dT%H:%M:%S}.{time.microsecond // 1000:03}Z" for time in times]
    assert [row[3:8] for row in found] == list(bars.itertuples(index=False, name=None))


@pytest.mark.parametrize("table", MARKET_DATA.metadata.sorted_tables, ids=lambda table: table.name)
def test_the_migration_makes_the_table_that_is_declared(table: sa.Table, made: MadeBars) -> None:
    declared = sa.create_engine("sqlite://")
    MARKET_DATA.metadata.create_all(declared)
    store.add("EURUSD", H1, "Sample", made([1.0]))
    shape = f"""
        SELECT name, type, "notnull", dflt_value, pk FROM pragma_table_info('{table.name}')
        UNION ALL SELECT l.name LIKE 'sqlite_%' OR l.name, i.name, l."unique", i.seqno, 0
        FROM pragma_index_list('{table.name}') AS l, pragma_index_info(l.name) AS i
        UNION ALL SELECT name, 'table', strict, 0, 0 FROM pragma_table_list WHERE name = '{table.name}'
    """  # noqa: S608 - a name of ours
    with declared.connect() as connection:
        wanted = [tuple(row) for row in connection.exec_driver_sql(shape)]
    declared.dispose()
    assert len(wanted) > len(table.columns)
    assert rows_of(shape) == wanted


def test_the_table_itself_refuses_a_second_bar_and_another_type(made: MadeBars) -> None:
    store.add("EURUSD", H1, "Sample", made([1.0]))
    copied = "INSERT INTO market_data SELECT NULL, symbol, timeframe, time, open, high, low, close, volume, NULL, {}, "
    for kind, words in (("type", "UNIQUE"), ("'rumour'", "CHECK")):
        with pytest.raises(sqlite3.IntegrityError, match=words):
            rows_of(f"{copied.format(kind)} source, fetched_at FROM market_data")


# The compiled reader


def test_both_readers_give_the_same(sample: pd.DataFrame, monkeypatch: pytest.MonkeyPatch) -> None:
    bars = sample.assign(spread_points=[np.nan, 1.5] * 2500)
    store.add("EURUSD", H1, "Sampleüß", bars)
    ordinary = store.bars("EURUSD", H1, "2017-05-01", "2017-12-01")
    calls: list[object] = []
    compiled = data.bar_scan.scan

    def scanned(*arguments: Any) -> object:
        calls.append(found := compiled(*arguments))
        return found

    monkeypatch.setattr(data.bar_rows, "_ROWS_WORTH_COMPILING", 1)
    monkeypatch.setattr(data.bar_scan, "scan", scanned)
    monkeypatch.setattr(data.bar_scan, "_ROWS_TOGETHER", 1000)
    assert_same(store.bars("EURUSD", H1, "2017-05-01", "2017-12-01"), ordinary)
    assert len(ordinary) > 3000
    assert [call is not None for call in calls] == [sys.platform != "win32"]


def test_where_the_compiled_reader_cannot_work_the_ordinary_one_does(
    sample: pd.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.add("EURUSD", H1, "Sample", sample)
    monkeypatch.setattr(data.bar_rows, "_ROWS_WORTH_COMPILING", 1)
    monkeypatch.setattr(data.bar_scan, "_library", lambda: None)
    assert_same(store.bars("EURUSD", H1), sample)


def test_without_numba_the_ordinary_reader_does_all(sample: pd.DataFrame, monkeypatch: pytest.MonkeyPatch) -> None:
    store.add("EURUSD", H1, "Sample", sample)
    monkeypatch.setattr(data.bar_rows, "_ROWS_WORTH_COMPILING", 1)
    monkeypatch.setitem(sys.modules, "data.bar_scan", None)
    assert_same(store.bars("EURUSD", H1), sample)


def test_the_compiled_reader_leaves_to_the_other_what_it_cannot_read(home: Path) -> None:
    assert data.bar_scan.scan(home / "absent.db", "SELECT 1, 2.0", (), 1) is None
    (home / "text.db").write_text("no database" * 1000)
    assert data.bar_scan.scan(home / "text.db", "SELECT rowid, 1 FROM sqlite_schema", (), 1) is None


@pytest.mark.parametrize("worth_compiling", [1, 10_000])
def test_damage_among_the_bars_is_told_whoever_reads_them(
    worth_compiling: int, sample: pd.DataFrame, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    store.add("EURUSD", H1, "Sample", sample)
    file = Store(MARKET_DATA).path
    with closing(sqlite3.connect(file)) as database:
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    content = bytearray(file.read_bytes())
    middle = len(content) // 2 // 4096 * 4096
    content[middle : middle + 4096] = b"\x55" * 4096
    monkeypatch.setenv("SEQUENCE_HOME", str(tmp_path / "damaged"))
    damaged = Store(MARKET_DATA).path
    damaged.parent.mkdir(parents=True)
    damaged.write_bytes(content)
    monkeypatch.setattr(data.bar_rows, "_ROWS_WORTH_COMPILING", worth_compiling)
    with pytest.raises(StoreUnusableError, match="is damaged"):
        store.bars("EURUSD", H1)


def test_few_bars_are_read_without_numba(run_script: RunScript, sample: pd.DataFrame) -> None:
    store.add("EURUSD", H1, "Sample", sample)
    script = """
import sys
from data.bar_store import BarStore
print(len(BarStore().bars("EURUSD", "D1")), {"numba", "alembic"} & set(sys.modules))
"""
    assert run_script(script).stdout.endswith("set()\n")


# Faults


KILLED_WHILE_ADDING = """
import os, signal, sys
import pandas as pd
from data import bar_rows
from data.bar_store import BarStore
from data.sources.sample import SampleSource
from market.timeframes import Timeframe

def killed(*_args, **_kwargs):
    os.kill(os.getpid(), getattr(signal, "SIGKILL", signal.SIGTERM))

def killed_after_some(constants, blocks):
    for row, block in enumerate(given(constants, blocks)):
        yield block
        if row == 7:
            killed()

def covered_then_killed(*args, **kwargs):
    cover(*args, **kwargs)
    killed()

start, end = pd.Timestamp("2017-01-01", tz="UTC"), pd.Timestamp("2019-01-01", tz="UTC")
bars = SampleSource().fetch("EURUSD", Timeframe.H1, start, end)
store = BarStore()
store.add("EURUSD", "H1", "Sample", bars.iloc[:1000], covered=(start, bars.index[1000]))
bars.iloc[500, 4] += 1
given, cover = bar_rows._with, bar_rows.BarRows.cover
point = sys.argv[1]
if point == "among the rows":
    bar_rows._with = killed_after_some
elif point == "before the coverage":
    bar_rows.BarRows.cover = killed
elif point == "before the commit":
    bar_rows.BarRows.cover = covered_then_killed
store.add("EURUSD", "H1", "Sample", bars, covered=(start, end))
if point == "after the commit":
    killed()
print("not killed")
"""


@pytest.mark.parametrize("point", ["among the rows", "before the coverage", "before the commit", "after the commit"])
def test_a_process_killed_while_adding_leaves_all_or_nothing(
    point: str, run_script: RunScript, sample: pd.DataFrame
) -> None:
    done = run_script(KILLED_WHILE_ADDING, point)
    assert done.returncode != 0
    assert "not killed" not in done.stdout, done.stderr
    whole = point == "after the commit"
    assert len(store.bars("EURUSD", H1)) == (5000 if whole else 1000)
    assert store.held()["rows"].tolist() == [5000 if whole else 1000]
    assert len(store.disagreements()) == int(whole)
    missing = store.missing("EURUSD", H1, "Sample", "2017-01-01", "2019-01-01")
    assert missing == ([] if whole else [(sample.index[1000], at("2019-01-01"))])
    Store(MARKET_DATA).check()
    added = store.add("EURUSD", H1, "Sample", sample)
    assert added.new + added.same + added.different == 5000
    assert len(store.bars("EURUSD", H1)) == 5000


ADD_AT_ONCE = """
import sys
import pandas as pd
from data.bar_store import BarStore
from data.sources.sample import SampleSource
from market.timeframes import Timeframe
start, end = pd.Timestamp("2017-01-01", tz="UTC"), pd.Timestamp("2019-01-01", tz="UTC")
bars = SampleSource().fetch("EURUSD", Timeframe.H1, start, end)
store = BarStore()
print("ready", flush=True)
sys.stdin.readline()
new = same = 0
for begin in range(0, 5000, 500):
    part = bars.iloc[begin : begin + 1000]
    added = store.add("EURUSD", "H1", "Sample", part, covered=(part.index[0], part.index[-1]))
    assert added.different == 0
    new += added.new
    same += added.same
print(new, same)
"""


@pytest.fixture
def start(home: Path) -> Iterator[Callable[[str], subprocess.Popen[str]]]:
    """Start Python text as a process of its own; what still runs after the test is killed."""
    started: list[subprocess.Popen[str]] = []

    def start_script(script: str) -> subprocess.Popen[str]:
        pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
        environment = {**os.environ, "SEQUENCE_HOME": str(home)}
        started.append(subprocess.Popen([sys.executable, "-c", script], text=True, env=environment, **pipes))
        return started[-1]

    yield start_script
    for process in started:
        process.kill()
        process.communicate()


def test_processes_that_add_the_same_bars_at_once_end_with_them_once(
    start: Callable[[str], subprocess.Popen[str]], sample: pd.DataFrame
) -> None:
    processes = [start(ADD_AT_ONCE) for _ in range(3)]
    for process in processes:
        assert process.stdout
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin
        process.stdin.write("go\n")
        process.stdin.flush()
    counted = []
    for process in processes:
        output, errors = process.communicate(timeout=60)
        assert (process.returncode, errors) == (0, "")  # "database is locked" would be a traceback
        counted.append([int(number) for number in output.split()])
    assert sum(new for new, _ in counted) == 5000
    assert sum(new + same for new, same in counted) == 3 * (5000 + 4500)
    assert_same(store.bars("EURUSD", H1), sample)
    assert store.disagreements().empty
    assert rows_of("SELECT count(*) FROM bar_coverage") == [(1,)]
