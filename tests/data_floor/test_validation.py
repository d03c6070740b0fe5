from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from core.errors import BarsError, InputError, SettingsError
from data.pipeline_controller import controller
from data.validation import Verdict, worst

MadeBars = Callable[..., pd.DataFrame]
nan = np.nan
RULES = ["minimum_rows", "missing_values", "price_bounds", "volume_bounds", "outliers_3_sigma"]
FAILED_CHECKS = "SELECT * FROM data_validation WHERE status = 'FAIL' ORDER BY created_at DESC"


def judged(frame: pd.DataFrame) -> dict[str, dict[str, Any]]:
    """The findings by rule."""
    return {rule["rule"]: rule for rule in controller.validate(frame)[0]["rules"]}


def holed(bars: pd.DataFrame, cells: int) -> pd.DataFrame:
    """`bars` with their first so many raw cells empty, row by row."""
    values = bars[["open", "high", "low", "close", "volume"]].to_numpy(copy=True)
    values.flat[:cells] = nan
    return bars.assign(**dict(zip(["open", "high", "low", "close", "volume"], values.T, strict=True)))


def with_jumps(made: MadeBars, jumps: int, rows: int = 1000) -> pd.DataFrame:
    """Bars whose returns are ±0.1 % in turn, so many of them 5 % instead, spread evenly."""
    returns = np.where(np.arange(rows) % 2 == 0, 0.001, -0.001)
    returns[10 : 10 + 20 * jumps : 20] = 0.05
    return made(100 * np.cumprod(1 + np.concatenate([[0.0], returns])))


def test_the_sample_passes_every_rule_the_five_first(sample: pd.DataFrame) -> None:
    result, _ = controller.validate(sample)
    assert result["status"] == "PASS"
    assert [rule["rule"] for rule in result["rules"][:5]] == RULES
    assert {rule["status"] for rule in result["rules"]} == {"PASS"}


def test_the_sample_lists_one_point_four_per_cent_of_its_returns(sample: pd.DataFrame) -> None:
    rule = judged(sample)["outliers_3_sigma"]
    assert rule["value"] == pytest.approx(1.38, abs=0.005)
    assert rule["count"] == 69
    assert len(rule["rows"]) == 20
    assert rule["rows"][0] == {
        "time": "2017-04-23T21:00:00.000Z",
        "symbol": "",
        "column": "return_1",
        "value": pytest.approx(0.01596, abs=1e-6),
    }


@pytest.mark.parametrize(("rows", "status", "lacking"), [(100, "PASS", 0), (99, "FAIL", 1), (1, "FAIL", 99)])
def test_a_hundred_rows_are_enough(made: MadeBars, rows: int, status: str, lacking: int) -> None:
    rule = judged(made(np.linspace(1, 2, rows)))["minimum_rows"]
    assert (rule["status"], rule["value"], rule["limit"], rule["count"]) == (status, rows, 100, lacking)
    assert len(rule["rows"]) == (1 if lacking else 0)


def test_no_rows_at_all_are_a_failure_and_no_error(made: MadeBars) -> None:
    result, _ = controller.validate(made([1.0]).iloc[:0])
    assert result["status"] == "FAIL"


@pytest.mark.parametrize(("cells", "status"), [(0, "PASS"), (25, "PASS"), (26, "FAIL")])
def test_five_per_cent_of_cells_may_be_missing(made: MadeBars, cells: int, status: str) -> None:
    rule = judged(holed(made(np.linspace(1, 2, 100)), cells))["missing_values"]  # 500 raw cells
    assert (rule["status"], rule["value"], rule["count"]) == (status, pytest.approx(cells / 5), cells)


def test_missing_cells_are_listed_with_time_symbol_and_column(made: MadeBars) -> None:
    bars = made(np.linspace(1, 2, 100), "EURUSD")
    bars.iloc[3, bars.columns.get_loc("close")] = nan
    bars.iloc[4, bars.columns.get_loc("volume")] = nan
    assert judged(bars)["missing_values"]["rows"] == [
        {"time": "2024-01-01T03:00:00.000Z", "symbol": "EURUSD", "column": "close", "value": None},
        {"time": "2024-01-01T04:00:00.000Z", "symbol": "EURUSD", "column": "volume", "value": None},
    ]


def test_rows_in_which_features_warm_up_are_not_missing_data(sample: pd.DataFrame) -> None:
    frame, _ = controller.preprocess(sample.iloc[:200], None, {"engineer_features": True})
    rule = judged(frame)["missing_values"]
    assert (rule["status"], rule["count"]) == ("PASS", 0)


@pytest.mark.parametrize(
    ("low", "high", "status"),
    [(0.001, 1_000_000.0, "PASS"), (0.000999, 1_000_000.0, "FAIL"), (0.001, 1_000_000.1, "FAIL")],
)
def test_prices_on_the_bounds_pass_and_beyond_them_fail(made: MadeBars, low: float, high: float, status: str) -> None:
    bars = made(np.linspace(1, 2, 100))
    bars.iloc[7, bars.columns.get_loc("low")] = low
    bars.iloc[8, bars.columns.get_loc("high")] = high
    rule = judged(bars)["price_bounds"]
    assert (rule["status"], rule["limit"]) == (status, [0.001, 1_000_000.0])
    assert rule["value"] == [low, high]


def test_a_price_out_of_bounds_is_listed(made: MadeBars) -> None:
    bars = made(np.linspace(1, 2, 100), "EURUSD")
    bars.iloc[7, bars.columns.get_loc("low")] = -3.0
    rule = judged(bars)["price_bounds"]
    assert rule["count"] == 1
    assert rule["rows"] == [{"time": "2024-01-01T07:00:00.000Z", "symbol": "EURUSD", "column": "low", "value": -3.0}]


@pytest.mark.parametrize(
    ("volume", "status"), [(0.0, "PASS"), (1e9, "PASS"), (-1.0, "FAIL"), (1_000_000_001.0, "FAIL")]
)
def test_volumes_on_the_bounds_pass_and_beyond_them_fail(made: MadeBars, volume: float, status: str) -> None:
    bars = made(np.linspace(1, 2, 100))
    bars.iloc[5, bars.columns.get_loc("volume")] = volume
    rule = judged(bars)["volume_bounds"]
    assert (rule["status"], rule["limit"], rule["count"]) == (status, [0.0, 1e9], 0 if status == "PASS" else 1)


@pytest.mark.parametrize(("jumps", "status"), [(0, "PASS"), (20, "PASS"), (21, "WARN"), (40, "WARN")])
def test_outliers_above_two_per_cent_warn_and_never_fail(made: MadeBars, jumps: int, status: str) -> None:
    result, _ = controller.validate(with_jumps(made, jumps))
    rule = result["rules"][4]
    assert (rule["rule"], rule["status"], result["status"]) == ("outliers_3_sigma", status, status)
    assert (rule["count"], rule["value"]) == (jumps, pytest.approx(jumps / 10))


def test_an_outlier_is_listed_with_its_return(made: MadeBars) -> None:
    closes = np.tile([100.0, 100.1], 100)
    closes[150:] *= 1.05
    (row,) = judged(made(closes, "EURUSD"))["outliers_3_sigma"]["rows"]
    assert (row["time"], row["column"], row["symbol"]) == ("2024-01-07T06:00:00.000Z", "return_1", "EURUSD")
    assert row["value"] == pytest.approx(100 * 1.05 / 100.1 - 1)


def test_a_price_of_zero_does_not_hide_the_other_outliers(made: MadeBars) -> None:
    bars = with_jumps(made, 3)
    bars.iloc[500, bars.columns.get_loc("close")] = 0.0
    findings = judged(bars)
    assert findings["price_bounds"]["status"] == "FAIL"
    assert findings["outliers_3_sigma"]["count"] >= 1


def test_only_the_first_twenty_cells_are_listed_but_all_are_counted(made: MadeBars) -> None:
    bars = made(np.linspace(1, 2, 100)).assign(volume=-1.0)
    rule = judged(bars)["volume_bounds"]
    assert rule["count"] == 100
    assert [row["time"][11:13] for row in rule["rows"]] == [f"{hour:02}" for hour in range(20)]


def test_the_poorest_of_two_symbols_decides(made: MadeBars) -> None:
    good, short = made(np.linspace(1, 2, 200), "EURUSD"), made(np.linspace(150, 151, 60), "USDJPY")
    findings = judged(pd.concat([good, holed(short, 30)]))
    assert findings["minimum_rows"]["status"] == "FAIL"
    assert findings["minimum_rows"]["rows"] == [{"time": None, "symbol": "USDJPY", "column": None, "value": 60}]
    assert findings["missing_values"]["status"] == "FAIL"  # 10 % of the one, though 2.3 % of both
    assert findings["missing_values"]["value"] == pytest.approx(10.0)
    assert {row["symbol"] for row in findings["missing_values"]["rows"]} == {"USDJPY"}


def test_the_step_from_one_symbol_to_the_next_is_no_outlier(made: MadeBars) -> None:
    walk = np.tile([1.0, 1.001], 100)
    frame = pd.concat([made(walk, "EURUSD"), made(150 * walk, "USDJPY")])
    assert judged(frame)["outliers_3_sigma"]["count"] == 0


def test_the_worst_verdict_is_the_status_of_the_whole(made: MadeBars) -> None:
    assert worst([Verdict.PASS, Verdict.WARN, Verdict.PASS]) is Verdict.WARN
    assert worst([Verdict.WARN, Verdict.FAIL, Verdict.PASS]) is Verdict.FAIL
    assert worst([Verdict.PASS]) is Verdict.PASS
    bars = with_jumps(made, 40)
    bars.iloc[5, bars.columns.get_loc("volume")] = -1.0
    assert controller.validate(bars)[0]["status"] == "FAIL"


@pytest.mark.parametrize(
    ("limit", "rule", "status"),
    [
        ("MINIMUM_ROWS=5001", "minimum_rows", "FAIL"),
        ("MISSING_LIMIT_PCT=0.01", "missing_values", "FAIL"),
        ("PRICE_LOW=1.2", "price_bounds", "FAIL"),
        ("PRICE_HIGH=1.2", "price_bounds", "FAIL"),
        ("VOLUME_LOW=10", "volume_bounds", "FAIL"),
        ("VOLUME_HIGH=1000", "volume_bounds", "FAIL"),
        ("OUTLIER_WARN_PCT=1.3", "outliers_3_sigma", "WARN"),
        ("OUTLIER_SIGMAS=2", "outliers_3_sigma", "WARN"),
    ],
)
def test_the_limits_come_from_the_settings(
    sample: pd.DataFrame, monkeypatch: pytest.MonkeyPatch, limit: str, rule: str, status: str
) -> None:
    sample.iloc[100:103, 3] = nan
    assert judged(sample)[rule]["status"] == "PASS"
    key, value = limit.split("=")
    monkeypatch.setenv(f"SEQUENCE_DATA__{key}", value)
    assert judged(sample)[rule]["status"] == status


def test_a_limit_that_is_no_number_is_named(sample: pd.DataFrame, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEQUENCE_DATA__MINIMUM_ROWS", "many")
    with pytest.raises(SettingsError, match="SEQUENCE_DATA__MINIMUM_ROWS"):
        controller.validate(sample)


def test_the_printed_query_finds_the_checks_that_failed_newest_first(made: MadeBars, home: Path) -> None:
    controller.validate(made(np.linspace(1, 2, 200)))
    _, first = controller.validate(made([1.0, 2.0]))
    _, second = controller.validate(made([1.0, 2.0, 3.0]))
    with closing(sqlite3.connect(home / "output_central" / "data_pipeline.db")) as database:
        database.row_factory = sqlite3.Row
        rows = database.execute(FAILED_CHECKS).fetchall()
    assert {row["id"] for row in rows} == {first, second}
    stamps = [row["created_at"] for row in rows]
    assert stamps == sorted(stamps, reverse=True)
    assert {row["rows"] for row in rows} == {2, 3}


def test_one_row_a_call_holds_the_findings_as_they_were_returned(sample: pd.DataFrame) -> None:
    result, validation_id = controller.validate(sample)
    (row,) = controller.get_pipeline_status()["validation"]
    assert row["id"] == validation_id
    assert (row["status"], row["rows"], row["rules"]) == (result["status"], 5000, result["rules"])


def test_validation_leaves_the_frame_as_it_was(sample: pd.DataFrame) -> None:
    before = sample.copy(deep=True)
    controller.validate(sample)
    pd.testing.assert_frame_equal(sample, before, check_exact=True)


def test_a_frame_that_is_no_bars_is_refused_and_leaves_no_row(sample: pd.DataFrame, home: Path) -> None:
    with pytest.raises(BarsError, match="The column 'close' is missing"):
        controller.validate(sample.drop(columns="close"))
    assert list(home.iterdir()) == []


def test_a_collection_that_does_not_exist_is_refused(sample: pd.DataFrame) -> None:
    with pytest.raises(InputError, match="data_collections has no row 17"):
        controller.validate(sample, 17)
