from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest

from core.settings import DataSettings
from data.pipeline_controller import controller
from data.validation import RuleResult, validate_frame

MadeBars = Callable[..., pd.DataFrame]
nan = np.nan
DESK_RULES = [
    "duplicate_times",
    "unsorted_times",
    "ohlc_sanity",
    "gaps",
    "weekend_bars",
    "weekly_open",
    "stale_prices",
    "spikes",
    "zero_volume",
    "source_disagreement",
]


def finding(frame: pd.DataFrame, rule: str, others: tuple[pd.DataFrame, ...] = (), **limits: float) -> RuleResult:
    found = {each.rule: each for each in validate_frame(frame, DataSettings(**limits), others)}
    return found[rule]


def told(result: RuleResult) -> tuple[str, Any, int]:
    return str(result.status), result.value, result.count


def times_of(result: RuleResult) -> list[str]:
    return [row["time"][5:16].replace("T", " ") for row in result.rows]


def fx_times(start: str, end: str, freq: str = "h", wrong_zone: str | None = None) -> pd.DatetimeIndex:
    """When FX bars open; with `wrong_zone`, as they look when New York's clock is read as that of another zone."""
    times = pd.date_range(start, end, freq=freq, tz="UTC", unit="us", inclusive="left", name="time")
    wall = times.tz_convert("America/New_York")
    since_sunday = (wall.day_of_week + 1) % 7 * 24 + wall.hour
    times = times[(since_sunday >= 17) & (since_sunday < 5 * 24 + 17)]
    if wrong_zone is None:
        return times
    clock = times.tz_convert("America/New_York").tz_localize(None)
    return clock.tz_localize(wrong_zone, nonexistent="shift_forward", ambiguous=True).tz_convert("UTC")


def bars_at(times: pd.DatetimeIndex, symbol: str = "EURUSD", source: str = "made", seed: int = 5) -> pd.DataFrame:
    """A random walk around 1.1 in steps of some pips, each bar a pip or two beyond its open and close."""
    rng = np.random.default_rng(seed)
    close = 1.1 + rng.normal(0, 2e-4, len(times)).cumsum()
    opened = np.concatenate([close[:1], close[:-1]])
    reach = rng.uniform(5e-5, 2e-4, (2, len(times)))
    prices = {"open": opened, "high": np.maximum(opened, close) + reach[0], "low": np.minimum(opened, close) - reach[1]}
    bars = pd.DataFrame({**prices, "close": close, "volume": rng.integers(50, 500, len(times)) * 1.0}, index=times)
    return bars.assign(symbol=symbol, source=source)


@pytest.fixture
def quarter() -> pd.DataFrame:
    """Hourly EUR/USD of the first quarter of 2024, whole."""
    return bars_at(fx_times("2024-01-02", "2024-04-01"))


def test_whole_bars_pass_every_rule_of_the_desk(quarter: pd.DataFrame, sample: pd.DataFrame) -> None:
    for bars in (quarter, sample.assign(symbol="EURUSD", source="Sample"), sample):
        findings = validate_frame(bars, DataSettings())
        assert [each.rule for each in findings[5:]] == DESK_RULES
        assert {each.rule: str(each.status) for each in findings if each.status != "PASS"} == {}


def test_the_sample_is_told_with_its_figures(sample: pd.DataFrame) -> None:
    frame = sample.assign(symbol="EURUSD", source="Sample")
    gaps = finding(frame, "gaps")
    assert told(gaps) == ("PASS", 0.0, 0)
    assert [(row["time"], row["column"], row["value"]) for row in gaps.rows] == [
        ("2017-12-24T22:00:00.000Z", "holiday", 23),
        ("2017-12-31T22:00:00.000Z", "holiday", 23),
    ]
    assert gaps.note == "Closed for a holiday, which is no gap: 2017-12-25, 2018-01-01."
    weekend = finding(frame, "weekend_bars")
    assert told(weekend) == ("PASS", pytest.approx(0.04), 2)
    assert times_of(weekend) == ["10-06 21:00", "10-20 21:00"]
    assert told(finding(frame, "spikes")) == ("PASS", pytest.approx(3.717, abs=0.001), 0)


def test_a_finding_is_returned_and_stored_with_its_note(sample: pd.DataFrame) -> None:
    result, _ = controller.validate(sample.assign(symbol="EURUSD", source="Sample"))
    (row,) = controller.get_pipeline_status()["validation"]
    assert row["rules"] == result["rules"]
    stored = {rule["rule"]: rule for rule in row["rules"]}["gaps"]
    assert stored["note"].startswith("Closed for a holiday")
    assert stored["limit"] == [2.0, 20.0]
    assert stored["rows"][0]["value"] == 23


# Order and shape


def test_a_time_that_is_there_twice_fails(quarter: pd.DataFrame) -> None:
    result = finding(pd.concat([quarter.iloc[:10], quarter.iloc[9:]]), "duplicate_times")
    assert told(result) == ("FAIL", 1, 1)
    assert result.rows[0]["value"] == 10
    assert result.rows[0]["time"] == f"{quarter.index[9]:%Y-%m-%dT%H:%M:%S.000Z}"
    assert told(finding(pd.concat([quarter.iloc[:10], quarter.iloc[9:]]), "unsorted_times"))[0] == "PASS"


def test_rows_out_of_order_fail_and_are_judged_in_order_by_all_others(quarter: pd.DataFrame) -> None:
    swapped = quarter.iloc[[*range(100), 101, 100, *range(102, len(quarter))]]
    result = finding(swapped, "unsorted_times")
    assert told(result) == ("FAIL", 1, 1)
    assert result.rows[0]["value"] == 101
    others = [each for each in validate_frame(swapped, DataSettings()) if each.rule != "unsorted_times"]
    assert {each.rule: str(each.status) for each in others if each.status != "PASS"} == {}
    newest_first = finding(quarter.iloc[::-1], "unsorted_times")
    assert (newest_first.count, len(newest_first.rows)) == (len(quarter) - 1, 20)


def test_a_double_further_on_is_found_in_disorder_too(quarter: pd.DataFrame) -> None:
    mixed = pd.concat([quarter.iloc[50:], quarter.iloc[:51]])
    assert told(finding(mixed, "duplicate_times")) == ("FAIL", 1, 1)
    assert told(finding(mixed, "unsorted_times")) == ("FAIL", 1, 1)
    assert told(finding(mixed, "gaps")) == ("PASS", 0.0, 0)


@pytest.mark.parametrize(
    ("column", "moved", "named"),
    [
        ("high", -0.01, "high"),
        ("low", 0.01, "low"),
        ("open", 0.01, "high"),
        ("close", 0.01, "high"),
        ("open", -0.01, "low"),
        ("close", -0.01, "low"),
    ],
)
def test_a_bar_that_cannot_be_fails(quarter: pd.DataFrame, column: str, moved: float, named: str) -> None:
    quarter.iloc[7, quarter.columns.get_loc(column)] += moved
    result = finding(quarter, "ohlc_sanity")
    assert told(result) == ("FAIL", 1, 1)
    assert (result.rows[0]["column"], result.rows[0]["symbol"]) == (named, "EURUSD")
    assert result.rows[0]["value"] == quarter[named].iloc[7]


def test_a_missing_price_does_not_make_a_bar_impossible(quarter: pd.DataFrame) -> None:
    quarter.iloc[7, quarter.columns.get_loc("high")] = nan
    assert told(finding(quarter, "ohlc_sanity")) == ("PASS", 0, 0)


# Gaps


@pytest.mark.parametrize(("lacking", "status"), [(0, "PASS"), (20, "PASS"), (21, "WARN"), (200, "WARN"), (201, "FAIL")])
def test_gaps_warn_above_two_per_cent_and_fail_above_twenty(lacking: int, status: str) -> None:
    times = fx_times("2024-01-02", "2024-04-01")[:1400]
    times = times[times.tz_convert("America/New_York").hour != 17][:1000]
    left_out = np.linspace(2, 997, lacking).astype(int)
    result = finding(bars_at(times.delete(left_out)), "gaps")
    assert told(result) == (status, pytest.approx(lacking / 10), lacking)
    assert result.limit == [2.0, 20.0]


def test_a_gap_is_listed_with_its_first_bar_and_its_length(quarter: pd.DataFrame) -> None:
    result = finding(quarter.drop(quarter.index[[30, 31, 32, 500]]), "gaps")
    assert [(row["time"][:16], row["column"], row["value"]) for row in result.rows] == [
        (f"{quarter.index[30]:%Y-%m-%dT%H:%M}", "gap", 3),
        (f"{quarter.index[500]:%Y-%m-%dT%H:%M}", "gap", 1),
    ]


def test_weekends_the_pause_and_holidays_are_no_gaps() -> None:
    times = fx_times("2023-12-11", "2024-01-12", "15min")
    wall = times.tz_convert("America/New_York")
    days = (wall + pd.Timedelta(hours=7)).strftime("%m-%d")
    early = days.isin(["12-22", "12-29"]) & (wall.hour >= 12) & (wall.hour < 17)  # Fridays before Monday holidays
    times = times[(wall.hour != 17) & ~days.isin(["12-25", "01-01"]) & ~early]
    result = finding(bars_at(times), "gaps")
    assert result.count == 2 * 5 * 4  # those early closes are not in the calendar: Christmas Eve was a Sunday
    assert "2023-12-25, 2024-01-01" in result.note
    assert {row["column"] for row in result.rows} == {"gap", "holiday"}


def test_crypto_trades_always() -> None:
    weekdays = bars_at(fx_times("2024-01-02", "2024-03-01"))
    assert finding(weekdays, "gaps").status == "PASS"
    result = finding(weekdays.assign(symbol="BTCUSD"), "gaps")
    assert result.status == "FAIL"
    assert times_of(result)[0] == "01-05 22:00"
    whole = pd.date_range("2024-01-01", periods=2000, freq="h", tz="UTC", unit="us", name="time")
    for rule in ("gaps", "weekend_bars", "weekly_open"):
        assert told(finding(bars_at(whole, "BTCUSD"), rule)) == ("PASS", 0.0, 0)


@pytest.mark.parametrize("symbol", ["AAPL", None])
def test_where_no_calendar_is_known_gaps_are_told_and_not_judged(quarter: pd.DataFrame, symbol: str | None) -> None:
    frame = quarter.assign(symbol=symbol) if symbol else quarter.drop(columns=["symbol", "source"])
    result = finding(frame.drop(frame.index[30:33]), "gaps")
    weekends = 13
    assert told(result) == ("PASS", None, weekends + 1)
    assert f"The hours of {symbol or 'bars without a symbol'} are not known" in result.note


def test_the_symbol_with_the_most_gaps_decides(quarter: pd.DataFrame) -> None:
    holed = bars_at(fx_times("2024-01-02", "2024-04-01").delete(slice(100, 200)), "USDJPY")
    result = finding(pd.concat([quarter, holed]), "gaps")
    assert (str(result.status), result.count) == ("WARN", 96)  # 100 hours less four in the pause after 17:00
    assert {row["symbol"] for row in result.rows} == {"USDJPY"}


# The clock


@pytest.mark.parametrize(("extra", "status"), [(7, "PASS"), (8, "WARN")])
def test_bars_on_weekends_warn_above_half_a_per_cent(quarter: pd.DataFrame, extra: int, status: str) -> None:
    saturdays = pd.DatetimeIndex(pd.date_range("2024-01-06 03:00", periods=extra, freq="W-SAT", tz="UTC", unit="us"))
    frame = pd.concat([quarter, bars_at(saturdays)]).sort_index()
    result = finding(frame, "weekend_bars")
    assert told(result) == (status, pytest.approx(100 * extra / len(frame)), extra)
    assert times_of(result)[0] == "01-06 03:00"


def test_the_hours_next_to_a_weekend_are_told_apart(quarter: pd.DataFrame) -> None:
    # On 2024-01-21 New York is at 17:00 when it is 22:00 UTC.
    edges = pd.to_datetime(["2024-01-19 22:00", "2024-01-21 21:00"], utc=True)
    result = finding(pd.concat([quarter, bars_at(pd.DatetimeIndex(edges))]).sort_index(), "weekend_bars")
    assert times_of(result) == ["01-19 22:00", "01-21 21:00"]


def test_a_bar_that_reaches_into_the_week_is_none_of_the_weekend() -> None:
    # H4 bars cut in UTC: the one of Sunday 20:00 holds the open at 22:00.
    times = pd.date_range("2024-01-02", "2024-03-01", freq="4h", tz="UTC", unit="us", name="time")
    wall = times.tz_convert("America/New_York")
    inside = ((wall.day_of_week + 1) % 7 * 24 + wall.hour + 4 > 17) & ~((wall.day_of_week == 4) & (wall.hour >= 17))
    inside &= wall.day_of_week != 5
    frame = bars_at(times[inside])
    assert finding(frame, "weekend_bars").count == 0
    assert "20:00" in {f"{time:%H:%M}" for time in frame.index[frame.index.day_of_week == 6]}


def test_sundays_stub_of_a_day_cut_in_utc_is_a_bar_too_many() -> None:
    days = pd.date_range("2024-01-01", "2024-06-28", freq="D", tz="UTC", unit="us", name="time")
    weekdays = bars_at(days[days.day_of_week < 5])
    assert finding(weekdays, "weekend_bars").count == 0
    stubs = bars_at(days[days.day_of_week != 5])
    result = finding(stubs, "weekend_bars")
    assert (str(result.status), result.count) == ("WARN", (stubs.index.day_of_week == 6).sum())
    assert {pd.Timestamp(row["time"]).day_name() for row in result.rows} == {"Sunday"}


@pytest.mark.parametrize("freq", ["min", "15min", "h"])
def test_weeks_that_begin_and_end_at_seventeen_new_york_are_right(freq: str) -> None:
    times = fx_times("2024-02-19", "2024-04-08", freq)
    wall = times.tz_convert("America/New_York")
    # Quotes begin some minutes late and end some early.
    since_open = ((wall.day_of_week + 1) % 7 * 24 + wall.hour - 17) * 60 + wall.minute
    times = times[(since_open >= 12) & (since_open < 5 * 1440 - 5)] if freq != "h" else times
    assert told(finding(bars_at(times), "weekly_open")) == ("PASS", 0.0, 0)


@pytest.mark.parametrize(
    ("wrong_zone", "span", "hours", "status", "cause"),
    [
        ("Etc/GMT+5", ("2024-01-08", "2024-12-20"), {1}, "FAIL", "of New York's summer"),
        ("Etc/GMT+4", ("2024-01-08", "2024-12-20"), {-1}, "WARN", "of New York's winter"),
        ("America/Chicago", ("2024-01-08", "2024-12-20"), {1}, "FAIL", "the times are of another zone"),
        ("Europe/London", ("2024-01-08", "2024-12-20"), {-5, -4}, "FAIL", ""),
    ],
)
def test_a_clock_read_as_another_zones_is_told_with_its_weeks(
    wrong_zone: str, span: tuple[str, str], hours: set[int], status: str, cause: str
) -> None:
    result = finding(bars_at(fx_times(*span, wrong_zone=wrong_zone)), "weekly_open")
    assert str(result.status) == status
    assert {row["value"] for row in result.rows} == hours
    assert cause in result.note
    assert result.note.startswith(f"EURUSD: {result.count} of ")


def test_the_summer_time_of_europe_is_found_in_the_weeks_in_which_it_differs() -> None:
    # A broker's clock, New York + 7 hours, read as that of Athens.
    times = fx_times("2024-01-08", "2024-12-20")
    clock = times.tz_convert("America/New_York").tz_localize(None) + pd.Timedelta(hours=7)
    read = clock.tz_localize("Europe/Athens", nonexistent="shift_forward", ambiguous=True).tz_convert("UTC")
    result = finding(bars_at(pd.DatetimeIndex(read, name="time")), "weekly_open")
    assert str(result.status) == "WARN"
    assert times_of(result) == ["03-10 22:00", "03-17 22:00", "03-24 22:00", "10-27 22:00"]
    assert {row["value"] for row in result.rows} == {1}
    assert "New York and Europe have not both" in result.note


def test_a_market_that_opens_late_or_closes_early_has_no_wrong_clock() -> None:
    times = fx_times("2024-01-08", "2024-06-20")
    wall = times.tz_convert("America/New_York")
    late = times[~((wall.day_of_week == 6) & (wall.hour < 19))]
    assert finding(bars_at(late), "weekly_open").count == 0
    early = times[~((wall.day_of_week == 4) & (wall.hour >= 15))]
    assert finding(bars_at(early), "weekly_open").count == 0


def test_a_day_between_a_hole_and_a_weekend_is_no_week() -> None:
    times = fx_times("2024-01-08", "2024-02-20")
    wall = times.tz_convert("America/New_York")
    days = (wall + pd.Timedelta(hours=7)).strftime("%m-%d")
    friday_morning_alone = times[~((days == "01-25") | ((days == "01-26") & (wall.hour >= 12) & (wall.hour < 17)))]
    assert told(finding(bars_at(friday_morning_alone), "weekly_open")) == ("PASS", 0.0, 0)


def test_longer_bars_and_other_markets_have_no_weekly_open() -> None:
    times = fx_times("2024-01-08", "2024-06-20", "4h", wrong_zone="Europe/London")
    assert told(finding(bars_at(times), "weekly_open")) == ("PASS", 0.0, 0)
    hours = fx_times("2024-01-08", "2024-06-20", wrong_zone="Europe/London")
    assert told(finding(bars_at(hours, "AAPL"), "weekly_open")) == ("PASS", 0.0, 0)


# Frozen and wild prices


def frozen(bars: pd.DataFrame, first: int, count: int) -> pd.DataFrame:
    bars.iloc[first : first + count, :4] = bars["close"].iloc[first - 1]
    return bars


@pytest.mark.parametrize(
    ("freq", "count", "status"),
    [
        ("h", 2, "PASS"),
        ("h", 3, "WARN"),
        ("15min", 3, "PASS"),
        ("15min", 4, "WARN"),
        ("min", 59, "PASS"),
        ("min", 60, "WARN"),
    ],
)
def test_a_price_unmoved_for_an_hour_and_three_bars_warns(freq: str, count: int, status: str) -> None:
    bars = frozen(bars_at(fx_times("2024-01-02", "2024-01-12", freq)), 40, count)
    result = finding(bars, "stale_prices")
    minutes = {"h": 60, "15min": 15, "min": 1}[freq]
    assert told(result) == (status, count * minutes if count > 2 else 0, count if status == "WARN" else 0)
    assert [(row["time"][:16], row["value"]) for row in result.rows] == (
        [(f"{bars.index[40]:%Y-%m-%dT%H:%M}", count)] if status == "WARN" else []
    )


def test_an_hour_without_range_that_moved_is_not_frozen(quarter: pd.DataFrame) -> None:
    bars = frozen(quarter, 40, 10)
    bars.iloc[45:50, :4] += 0.001
    result = finding(bars, "stale_prices")
    assert [row["value"] for row in result.rows] == [5, 4]


def test_a_bar_that_sticks_out_and_returns_is_a_spike(quarter: pd.DataFrame) -> None:
    bars = quarter.copy()
    bars.iloc[100, bars.columns.get_loc("high")] += 0.02
    bars.iloc[200, bars.columns.get_loc("low")] -= 0.02
    result = finding(bars, "spikes")
    assert (str(result.status), result.count) == ("WARN", 2)
    assert [(row["column"], row["value"]) for row in result.rows] == [
        ("high", bars["high"].iloc[100]),
        ("low", bars["low"].iloc[200]),
    ]
    ranges = (quarter["high"] - quarter["low"]).iloc[186:200]
    assert result.value == pytest.approx(0.02 / max(ranges.mean(), (bars["high"] - bars["low"]).mean()), rel=0.1)


@pytest.mark.parametrize("block", [1, 7, 100, 1521, 1536])
def test_spikes_are_found_wherever_the_blocks_are_cut(
    quarter: pd.DataFrame, block: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    for at in (15, 99, 120, 199, len(quarter) - 2):
        quarter.iloc[at, quarter.columns.get_loc("high")] += 0.02 + at / 1e5
    whole = finding(quarter, "spikes")
    assert whole.count == 5
    monkeypatch.setattr("data.desk_rules._BLOCK", block)
    cut = finding(quarter, "spikes")
    assert (cut.count, cut.rows, cut.value) == (whole.count, whole.rows, pytest.approx(whole.value))


def test_a_jump_that_stays_is_no_spike(quarter: pd.DataFrame) -> None:
    quarter.iloc[100:, :4] += 0.05
    quarter.iloc[100, quarter.columns.get_loc("low")] -= 0.05  # the bar of the jump spans it
    assert finding(quarter, "spikes").status == "PASS"


def test_a_move_in_a_frozen_stretch_is_no_spike(quarter: pd.DataFrame) -> None:
    bars = frozen(quarter, 40, 200)
    bars.iloc[100, bars.columns.get_loc("high")] += 2e-4
    assert finding(bars, "spikes").status == "PASS"


@pytest.mark.parametrize("rows", [0, 1, 2, 16, 17])
def test_few_bars_have_no_spikes_and_break_nothing(quarter: pd.DataFrame, rows: int) -> None:
    bars = quarter.iloc[:rows]
    findings = {each.rule: each for each in validate_frame(bars, DataSettings(minimum_rows=1))}
    assert {name for name, each in findings.items() if each.status != "PASS"} <= {"minimum_rows"}


def test_holes_and_prices_that_are_none_break_no_rule(quarter: pd.DataFrame) -> None:
    bars = quarter.copy()
    bars.iloc[50:60, :5] = nan
    bars.iloc[70, 1] = np.inf
    bars.iloc[80, 3] = 0.0
    findings = {each.rule: str(each.status) for each in validate_frame(bars, DataSettings())}
    assert findings["price_bounds"] == findings["ohlc_sanity"] == "FAIL"
    assert findings["gaps"] == "PASS"
    bars.iloc[:, :5] = nan
    assert {each.rule: str(each.status) for each in validate_frame(bars, DataSettings())}["missing_values"] == "FAIL"


@pytest.mark.parametrize(("count", "status"), [(2, "PASS"), (3, "WARN")])
def test_no_volume_for_some_hours_warns(quarter: pd.DataFrame, count: int, status: str) -> None:
    quarter.iloc[40 : 40 + count, quarter.columns.get_loc("volume")] = 0.0
    result = finding(quarter, "zero_volume")
    assert told(result) == (status, 180.0 if count == 3 else 0.0, count if status == "WARN" else 0)


def test_a_source_without_any_volume_is_told_and_not_blamed(quarter: pd.DataFrame) -> None:
    result = finding(quarter.assign(volume=0.0), "zero_volume")
    assert told(result) == ("PASS", 0.0, 0)
    assert result.note == "EURUSD: the source gives no volume at all."


# Two sources


@pytest.mark.parametrize(("apart", "status"), [(14, "PASS"), (15, "WARN"), (298, "WARN"), (299, "FAIL")])
def test_two_sources_may_differ_in_one_close_of_a_hundred(quarter: pd.DataFrame, apart: int, status: str) -> None:
    bars = quarter.iloc[:1490]
    other = bars.assign(source="elsewhere")
    places = np.linspace(0, 1489, apart).astype(int)
    other.iloc[places, other.columns.get_loc("close")] *= 1.0006
    result = finding(bars, "source_disagreement", (other,))
    assert told(result) == (status, pytest.approx(apart / 14.9), apart)
    assert result.rows[0]["value"] == pytest.approx(100 * (1 / 1.0006 - 1))
    assert result.note == "EURUSD: made and elsewhere share 1,490 bars."


def test_a_spread_apart_is_agreement(quarter: pd.DataFrame) -> None:
    other = quarter.assign(source="elsewhere", close=quarter["close"] + 0.0003)
    assert told(finding(quarter, "source_disagreement", (other,))) == ("PASS", 0.0, 0)


def test_only_bars_that_both_sources_have_are_compared(quarter: pd.DataFrame) -> None:
    other = quarter.iloc[100:].assign(source="elsewhere", close=2.0)
    result = finding(quarter.iloc[:110], "source_disagreement", (other,))
    assert told(result) == ("FAIL", 100.0, 10)


def test_other_symbols_and_timeframes_are_not_compared(quarter: pd.DataFrame) -> None:
    yen = quarter.assign(symbol="USDJPY", source="elsewhere", close=150.0)
    assert told(finding(quarter, "source_disagreement", (yen,))) == ("PASS", None, 0)
    daily = bars_at(fx_times("2024-01-02", "2024-04-01", "D"), source="elsewhere")
    result = finding(quarter, "source_disagreement", (daily,))
    assert told(result) == ("PASS", None, 0)
    assert "have other timeframes" in result.note


def test_one_frame_of_two_sources_is_judged_source_by_source(quarter: pd.DataFrame) -> None:
    other = quarter.assign(source="elsewhere", close=quarter["close"] * 1.01).drop(columns=["high", "low"])
    other = other.assign(high=other["close"] * 1.01, low=other["close"] * 0.98)
    findings = {each.rule: each for each in validate_frame(pd.concat([quarter, other]), DataSettings())}
    assert told(findings["duplicate_times"]) == ("PASS", 0, 0)
    assert findings["minimum_rows"].value == len(quarter)
    assert told(findings["source_disagreement"]) == ("FAIL", 100.0, len(quarter))


# Limits


@pytest.mark.parametrize(
    ("rule", "limits", "status"),
    [
        ("gaps", {"gap_warn_pct": 0.0}, "WARN"),
        ("gaps", {"gap_warn_pct": 0.0, "gap_fail_pct": 0.0}, "FAIL"),
        ("weekend_bars", {"weekend_warn_pct": 0.0}, "WARN"),
        ("stale_prices", {"stale_minutes": 181}, "PASS"),
        ("spikes", {"spike_atr": 1000.0}, "PASS"),
        ("zero_volume", {"zero_volume_minutes": 181}, "PASS"),
    ],
)
def test_each_limit_is_a_setting(quarter: pd.DataFrame, rule: str, limits: dict[str, float], status: str) -> None:
    bars = frozen(quarter, 40, 3)
    bars.iloc[60:63, bars.columns.get_loc("volume")] = 0.0
    bars.iloc[100, bars.columns.get_loc("high")] += 0.02
    bars = pd.concat([bars.drop(bars.index[200]), bars_at(pd.DatetimeIndex(["2024-01-06 03:00"]).tz_localize("UTC"))])
    bars = bars.sort_index()
    assert finding(bars, rule).status != status
    assert finding(bars, rule, **limits).status == status


def test_frozen_hours_at_the_limit_warn(quarter: pd.DataFrame) -> None:
    assert finding(frozen(quarter, 40, 3), "stale_prices", stale_minutes=180).status == "WARN"
    assert finding(frozen(quarter, 40, 3), "stale_prices", stale_minutes=181).status == "PASS"


def test_the_limits_of_the_clock_and_of_sources_are_settings(quarter: pd.DataFrame) -> None:
    shifted = bars_at(fx_times("2024-01-08", "2024-12-20", wrong_zone="Etc/GMT+4"))
    assert finding(shifted, "weekly_open", shift_warn_pct=45.0).status == "PASS"
    assert finding(shifted, "weekly_open", shift_fail_pct=10.0).status == "FAIL"
    other = (quarter.assign(source="elsewhere", close=quarter["close"] * 1.001),)
    assert finding(quarter, "source_disagreement", other, source_limit_pct=0.2).status == "PASS"
    assert finding(quarter, "source_disagreement", other, source_fail_pct=100.0).status == "WARN"
    everything = {"source_warn_pct": 100.0, "source_fail_pct": 100.0}
    assert finding(quarter, "source_disagreement", other, **everything).status == "PASS"


def test_a_limit_to_warn_above_the_one_to_fail_is_refused() -> None:
    with pytest.raises(ValueError, match="gap_warn_pct must not be above gap_fail_pct"):
        DataSettings(gap_warn_pct=30.0)


def test_what_is_judged_stays_as_it_was(quarter: pd.DataFrame) -> None:
    before = quarter.copy(deep=True)
    validate_frame(quarter, DataSettings(), (quarter.assign(source="elsewhere"),))
    pd.testing.assert_frame_equal(quarter, before, check_exact=True)
