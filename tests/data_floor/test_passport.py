"""Coverage, gaps and moves against what stands on the calendar; differences of versions; pins."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

from core.errors import InputError, UnknownNameError
from core.store import Store
from data import versions as data_versions
from data.passport import MOST_CELLS, MOST_GAPS, WEEKDAYS, coverage_matrix, gaps_of, measure, moves_of
from data.pipeline_controller import DataConfig, DatasetVersion, controller
from data.version_differences import FIRST_ROWS, diff_versions, settings_that_differ
from market.symbols import AssetClass
from market.timeframes import Timeframe

MadeBars = Callable[..., pd.DataFrame]
FX, CRYPTO, OTHER = AssetClass.FX, AssetClass.CRYPTO, AssetClass.OTHER


def times_of(start: str, end: str, step: str) -> pd.DatetimeIndex:
    return pd.date_range(start, end, freq=step, tz="UTC", name="time", unit="us", inclusive="left")


def fx_hours(start: str, end: str, step: str = "h") -> pd.DatetimeIndex:
    """What FX quotes: no weekend, not the hour after 17:00 New York."""
    times = times_of(start, end, step)
    clock = times.tz_convert("America/New_York").tz_localize(None) + pd.Timedelta(hours=7)
    return times[(clock.day_of_week < 5) & (clock.hour > 0)]


def nobody(version: DatasetVersion) -> list[str]:
    return []


@pytest.mark.parametrize(("step", "timeframe", "per_hour"), [("h", Timeframe.H1, 1), ("5min", Timeframe.M5, 12)])
@pytest.mark.parametrize("over_time", [False, True])
def test_whole_weeks_are_covered_wholly(step: str, timeframe: Timeframe, per_hour: int, over_time: bool) -> None:
    coverage = coverage_matrix(fx_hours("2024-03-04", "2024-04-01", step), timeframe, FX, over_time=over_time)
    assert coverage.expected is not None
    assert coverage.total_pct == 100.0
    assert coverage.besides.sum() == 0
    # 19 and a half trading days of 23 hours from Monday 00:00 UTC, in which the clocks of New York change.
    assert coverage.expected.sum() == len(fx_hours("2024-03-04", "2024-04-01")) * per_hour
    assert coverage.rows == WEEKDAYS if not over_time else coverage.rows[0] == "2024-03-04"


def test_a_missing_bar_is_missed_in_its_cell_only() -> None:
    times = fx_hours("2024-03-04", "2024-03-30")
    wednesday = pd.Timestamp("2024-03-13 14:00", tz="UTC")
    by_hour = coverage_matrix(times.drop([wednesday]), Timeframe.H1, FX, over_time=False)
    over_time = coverage_matrix(times.drop([wednesday]), Timeframe.H1, FX, over_time=True)
    assert by_hour.expected is not None
    assert over_time.expected is not None
    lacking = np.argwhere(by_hour.present < by_hour.expected).tolist()
    assert [(by_hour.rows[row], by_hour.columns[column]) for row, column in lacking] == [("Wed", "14")]
    assert by_hour.percent[2, 14] == 75.0
    lacking = np.argwhere(over_time.present < over_time.expected).tolist()
    assert [(over_time.rows[row], over_time.columns[column]) for row, column in lacking] == [("2024-03-13", "14")]


def test_bars_beside_the_market_hours_do_not_make_good_for_missing_ones() -> None:
    times = fx_hours("2024-03-04", "2024-03-09")
    saturday = pd.Timestamp("2024-03-09 12:00", tz="UTC")
    coverage = coverage_matrix(
        times.drop(times[[10]]).append(pd.DatetimeIndex([saturday])), Timeframe.H1, FX, over_time=False
    )
    assert coverage.besides[5, 12] == coverage.besides.sum() == 1
    assert coverage.present.sum() == len(times) - 1
    assert coverage.total_pct == pytest.approx(100 * (len(times) - 1) / len(times))


def test_a_half_hour_before_the_first_bar_is_not_expected() -> None:
    times = fx_hours("2024-03-05 09:30", "2024-03-05 12:15", "15min")
    coverage = coverage_matrix(times, Timeframe.M15, FX, over_time=False)
    assert coverage.expected is not None
    assert coverage.expected[1, 9:13].tolist() == [2.0, 4.0, 4.0, 1.0]
    assert coverage.total_pct == 100.0


def test_longer_bars_cover_the_hours_they_last() -> None:
    times = times_of("2024-03-04", "2024-03-08", "4h")
    coverage = coverage_matrix(times.drop(times[[8]]), Timeframe.H4, CRYPTO, over_time=True)
    assert coverage.unit == "hours"
    assert coverage.rows == ("2024-03-04", "2024-03-05", "2024-03-06", "2024-03-07")
    assert coverage.present.sum() == 92
    assert coverage.present[1, 8:12].tolist() == [0.0] * 4


def test_christmas_is_not_expected() -> None:
    times = fx_hours("2023-12-18", "2023-12-30")
    closed = (times >= pd.Timestamp("2023-12-24 17:00", tz="UTC")) & (
        times < pd.Timestamp("2023-12-25 22:00", tz="UTC")
    )
    coverage = coverage_matrix(times[~closed], Timeframe.H1, FX, over_time=True)
    assert coverage.total_pct == 100.0


def test_where_the_hours_of_a_market_are_not_known_nothing_is_expected() -> None:
    coverage = coverage_matrix(times_of("2024-03-04", "2024-03-06", "h"), Timeframe.H1, OTHER, over_time=False)
    assert coverage.expected is None
    assert coverage.total_pct is None
    assert np.isnan(coverage.percent).all()
    assert coverage.present.sum() == 48


@pytest.mark.parametrize(
    ("end", "by"), [("2024-03-01", "day"), ("2025-06-01", "week"), ("2028-01-01", "month"), ("2044-01-01", "quarter")]
)
def test_a_heat_map_over_time_never_has_too_many_cells(end: str, by: str) -> None:
    times = fx_hours("2024-01-01", end)
    coverage = coverage_matrix(times, Timeframe.H1, FX, over_time=True)
    assert coverage.by == by
    assert coverage.present.size <= MOST_CELLS
    assert coverage.present.sum() + coverage.besides.sum() == len(times)
    assert len(coverage.table()) == coverage.present.size


def test_days_are_counted_by_month_and_day() -> None:
    days = pd.date_range("2024-02-26", "2024-03-15", freq="B", tz="America/New_York") + pd.Timedelta(hours=12)
    times = pd.DatetimeIndex(days.tz_convert("UTC"), name="time")
    coverage = coverage_matrix(times.drop(times[[3]]), Timeframe.D1, FX, over_time=True)
    assert coverage.rows == ("2024-02", "2024-03")
    assert coverage.expected is not None
    assert coverage.expected.sum() == 15
    lacking = np.argwhere(coverage.present < coverage.expected).tolist()
    assert [(coverage.rows[row], coverage.columns[column]) for row, column in lacking] == [("2024-02", "29")]
    by_month = coverage_matrix(times, Timeframe.D1, FX, over_time=False)
    assert (by_month.rows, by_month.present[0, :3].tolist()) == (("2024",), [0.0, 4.0, 11.0])


@pytest.mark.parametrize("timeframe", [Timeframe.W1, Timeframe.MN1])
def test_weeks_and_months_are_counted_by_year_and_month(timeframe: Timeframe) -> None:
    times = times_of("2022-01-01", "2024-01-01", {"W1": "W-MON", "MN1": "MS"}[timeframe])
    coverage = coverage_matrix(times.drop(times[[5]]), timeframe, CRYPTO, over_time=False)
    assert coverage.rows == ("2022", "2023")
    assert coverage.expected is not None
    assert (coverage.expected.sum(), coverage.present.sum()) == (len(times), len(times) - 1)


def test_gaps_tell_their_bars_and_the_move_over_them(made: MadeBars) -> None:
    bars = made([1.0, 1.1, 1.2, 1.3, 1.4, 1.5], start="2024-03-05")
    gaps = gaps_of(bars.drop(bars.index[[2, 3]]), Timeframe.H1, FX, 0.0001)
    assert list(gaps.index) == [bars.index[2]]
    assert gaps["bars"].tolist() == [2]
    assert gaps["move_pips"].tolist() == pytest.approx([(1.3 - 1.1) / 0.0001])


def test_moves_are_counted_whole(made: MadeBars) -> None:
    steps = np.random.default_rng(3).normal(0, 0.001, 5000)
    moves = moves_of(made(2 + steps.cumsum()), Timeframe.H1, FX, 0.0001)
    assert moves.count == 4999 == moves.counts.sum() + moves.beyond
    assert moves.deviation == pytest.approx(10, rel=0.05)
    assert moves.skew == pytest.approx(0, abs=0.2)
    assert moves.kurtosis == pytest.approx(0, abs=0.3)
    assert len(moves.over_time) <= 1000
    assert moves.over_time.abs().max() == pytest.approx(np.abs(steps[1:]).max() / 0.0001)
    assert list(moves.ranges.index) == list(range(24))


def test_daily_bars_that_open_on_sunday_evening_are_mondays(made: MadeBars) -> None:
    bars = made([1.0, 1.1, 1.2]).set_axis(pd.date_range("2024-03-03 22:00", periods=3, freq="D", tz="UTC", name="time"))
    assert list(moves_of(bars, Timeframe.D1, FX, 0.0001).ranges.index) == [0, 1, 2]


@pytest.mark.parametrize("closes", [[1.0], [1.0, 1.1], [1.0] * 50])
def test_a_handful_of_bars_and_bars_that_do_not_move_have_no_figures(closes: list[float], made: MadeBars) -> None:
    moves = moves_of(made(closes), Timeframe.H1, FX, 0.0001)
    assert (moves.count, moves.deviation, moves.kurtosis) == (len(closes) - 1, None, None)


def test_a_version_is_measured_symbol_by_symbol(made: MadeBars) -> None:
    both = pd.concat([made([1.0, 1.1, 1.2], "EURUSD", "2024-03-05"), made([150.0, 151.0], "USDJPY", "2024-03-05")])
    version = controller.publish(both)
    assert (measure(version, "EURUSD").bars, measure(version, "USDJPY").bars) == (3, 2)
    assert measure(version, "USDJPY").moves.over_time.tolist() == pytest.approx([100.0])


def test_bars_without_a_symbol_are_measured(made: MadeBars) -> None:
    found = measure(controller.publish(made([1.0, 1.1, 1.2])), None)
    assert (found.bars, found.symbol, found.by_hour.expected) == (3, "", None)


def test_of_too_many_gaps_the_longest_are_listed(made: MadeBars) -> None:
    bars = made(np.full(2000, 1.0), "BTCUSD")
    kept = np.arange(2000) % 3 != 1
    kept[1000:1010] = False
    found = measure(controller.publish(bars[kept]), "BTCUSD")
    assert found.gaps_count > MOST_GAPS
    assert len(found.gaps) == MOST_GAPS
    assert found.gaps["bars"].max() >= 10
    assert found.gaps.index.is_monotonic_increasing


def test_versions_differ_by_rows_figures_and_columns(made: MadeBars) -> None:
    before = made(np.linspace(1, 2, 60), "EURUSD").assign(rsi=1.0)
    after = before.drop(before.index[:30]).drop(columns="rsi").assign(mood=2.0)
    after.loc[after.index[2], ["close", "high"]] += 0.1
    after = pd.concat([after, made([5.0, 5.0], "EURUSD", "2024-02-01").assign(mood=2.0)])
    found = diff_versions(controller.publish(before), controller.publish(after))
    assert (found.added, found.removed, found.changed) == (2, 30, 1)
    assert (found.columns_added, found.columns_removed) == (("mood",), ("rsi",))
    assert found.cells_changed == {"high": 1, "close": 1}
    assert len(found.first_removed) == FIRST_ROWS
    assert found.first_removed["time"].tolist() == before.index[:FIRST_ROWS].tolist()
    assert found.first_added["open"].tolist() == [5.0, 5.0]
    changed = found.first_changed.set_index("column").loc["close"]
    assert (changed["time"], changed["symbol"]) == (before.index[32], "EURUSD")
    assert changed["there"] - changed["here"] == pytest.approx(0.1)


def test_equal_content_and_last_bits_are_no_difference(made: MadeBars) -> None:
    bars = made([1.0, 1.1, np.nan, 1.2], "EURUSD")
    first = controller.publish(bars)
    assert diff_versions(first, controller.publish(bars)).changed == 0
    nudged = bars.assign(volume=bars["volume"] * (1 + 1e-13))
    found = diff_versions(first, controller.publish(nudged))
    assert (found.added, found.removed, found.changed, dict(found.cells_changed)) == (0, 0, 0, {})


def test_a_missing_figure_differs_from_one_that_is_there(made: MadeBars) -> None:
    found = diff_versions(
        controller.publish(made([1.0, 1.1], "EURUSD")), controller.publish(made([1.0, np.nan], "EURUSD"))
    )
    assert found.changed == 1


def test_a_symbol_that_only_one_version_has_counts_by_its_rows(made: MadeBars) -> None:
    euro, yen = made([1.0, 1.1], "EURUSD"), made([150.0, 151.0, 152.0], "USDJPY")
    one, both = controller.publish(euro), controller.publish(pd.concat([euro, yen]))
    found = diff_versions(one, both)
    assert (found.added, found.removed, found.changed) == (3, 0, 0)
    assert set(found.first_added["symbol"]) == {"USDJPY"}
    assert diff_versions(both, one).removed == 3


def test_added_columns_that_were_fitted_anew_are_no_changed_rows(sample_config: DataConfig) -> None:
    first = controller.prepare(sample_config.model_copy(update={"preprocessing": {"normalize": True}}))
    half = {"normalize": True, "train_fraction": 0.5}
    second = controller.prepare(sample_config.model_copy(update={"preprocessing": half}))
    found = diff_versions(first, second)
    assert found.changed == 0
    assert found.cells_changed["close_zscore"] == 5000


def test_settings_that_differ_are_named_with_both_values() -> None:
    here = {"timeframe": "H1", "preprocessing": {"normalize": True, "train_fraction": 0.7}}
    there = {"timeframe": "H1", "preprocessing": {"normalize": True, "train_fraction": 0.5}, "zone": "UTC"}
    assert settings_that_differ(here, there) == [
        ("preprocessing.train_fraction", 0.7, 0.5),
        ("zone", None, "UTC"),
    ]


def test_a_pinned_version_is_not_deleted_until_it_is_unpinned(made: MadeBars) -> None:
    version = controller.publish(made([1.0, 1.1], "EURUSD"))
    pinned = controller.pin_version(version)
    assert pinned.pinned_at
    with pytest.raises(InputError, match=r"was pinned on .*Unpin it first"):
        controller.delete_version(version, used_by=nobody)  # the row that was given knows nothing of the pin
    assert controller.version(version).pinned_at == pinned.pinned_at
    assert controller.pin_version(version).pinned_at == pinned.pinned_at  # the moment stays
    assert controller.pin_version(version, False).pinned_at is None
    controller.delete_version(version, used_by=nobody)
    assert controller.versions() == []
    with pytest.raises(UnknownNameError):
        controller.pin_version(version)


def test_a_version_pinned_while_it_is_about_to_be_deleted_stays(
    made: MadeBars, monkeypatch: pytest.MonkeyPatch
) -> None:
    version = controller.publish(made([1.0, 1.1], "EURUSD"))
    find = data_versions.find_version

    def find_then_pinned(store: Store, reference: int | str | DatasetVersion) -> DatasetVersion:
        found = find(store, reference)
        monkeypatch.setattr(data_versions, "find_version", find)
        controller.pin_version(version)
        return found

    monkeypatch.setattr(data_versions, "find_version", find_then_pinned)
    with pytest.raises(InputError, match="was pinned"):
        controller.delete_version(version, used_by=nobody)
    assert controller.versions() != []


def test_a_pin_holds_its_own_row_only(made: MadeBars) -> None:
    bars = made([1.0, 1.1], "EURUSD")
    first, again = controller.publish(bars), controller.publish(bars)
    controller.pin_version(first)
    controller.delete_version(again, used_by=nobody)
    assert [version.id for version in controller.versions()] == [first.id]
    assert first.parquet_file.exists()
