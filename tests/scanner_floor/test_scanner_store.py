from __future__ import annotations

import pandas as pd
import pytest

from core.errors import InputError
from data.bar_store import BarStore
from market.timeframes import Timeframe
from scanner import metrics
from scanner.scan import Asked, ScanSettings, SeriesScan, scan_symbol
from scanner.store import enter_scans, known_scans, list_alerts, list_findings, list_scans, list_setups
from scanner.tables import SCANNER

H1, H4 = Timeframe.H1, Timeframe.H4
SETTINGS = {"minimum_score": 4.0}


@pytest.fixture
def filled(sample: pd.DataFrame) -> list[SeriesScan]:
    """Two symbols scanned on two timeframes, and one that failed."""
    scans = []
    for symbol, bars in (("EURUSD", sample), ("GBPUSD", sample.iloc[:3000])):
        BarStore().add(symbol, H1, "Sample", bars)
        scans += scan_symbol(ScanSettings.from_settings(), Asked(symbol, (H1, H4)))
    scans += scan_symbol(ScanSettings.from_settings(), Asked("USDJPY", (H1,)))
    enter_scans(scans, SETTINGS)
    return scans


def test_an_absent_database_reads_as_an_empty_one_and_stays_absent() -> None:
    for table in (list_scans(), list_setups(), list_alerts(), list_findings()):
        assert table.empty
        assert len(table.columns) > 5
    assert known_scans("store", SETTINGS) == {}
    for frame in (metrics.detection_rates, metrics.pattern_distribution, metrics.score_distribution):
        assert frame(list_scans()).empty
    assert metrics.processing_times(list_scans()).empty
    assert metrics.failures(list_scans()).empty


def test_what_is_known_of_a_source_holds_for_just_these_settings(filled: list[SeriesScan]) -> None:
    known = known_scans("store", SETTINGS)
    assert set(known) == {("EURUSD", H1), ("EURUSD", H4), ("GBPUSD", H1), ("GBPUSD", H4)}
    assert known["EURUSD", H1] == filled[0].known
    assert known_scans("store", {"minimum_score": 5.0}) == {}
    assert known_scans("version x", SETTINGS) == {}


def test_setups_are_ranked_and_filtered(filled: list[SeriesScan]) -> None:
    every = list_setups(setups_only=False)
    assert len(every) == sum(len(scan.setups) for scan in filled)
    keys = list(zip(-every["is_setup"], every["status"] != "live", -every["score"], strict=True))
    assert keys == sorted(keys)
    setups = list_setups()
    assert len(setups) == every["is_setup"].sum() > 0
    assert set(list_setups("gbp/usd", "1h", setups_only=False)["symbol"]) == {"GBPUSD"}
    assert set(list_setups(timeframe="H4", setups_only=False)["timeframe"]) == {"H4"}
    assert set(list_setups(direction="bearish", setups_only=False)["direction"]) == {"bearish"}
    assert set(list_setups(statuses=["stopped"], setups_only=False)["status"]) <= {"stopped"}
    assert (list_setups(minimum_score=6.0)["score"] >= 6.0).all()
    assert len(list_setups(setups_only=False, limit=3)) == 3
    middle = every["known_at"].sort_values().iloc[len(every) // 2]
    assert (list_setups(setups_only=False, since=middle)["known_at"] >= middle).all()
    assert list_setups("USDJPY").empty
    with pytest.raises(InputError, match="status='open' is none of a setup"):
        list_setups(statuses=["open"])


def test_times_come_back_as_aware_utc_and_none_as_missing(filled: list[SeriesScan]) -> None:
    setups = list_setups(setups_only=False)
    for name in ("known_at", "formed_at", "ended_at"):
        assert str(setups[name].dtype).endswith("UTC]")
    assert setups["ended_at"].isna().equals(setups["status"] == "live")
    findings = list_findings()
    assert findings["ended_at"].isna().equals(findings["end_reason"] == "")


def test_alerts_are_the_newest_setups_first(filled: list[SeriesScan]) -> None:
    alerts = list_alerts()
    assert (alerts["is_setup"] == 1).all()
    assert alerts["known_at"].is_monotonic_decreasing
    assert len(list_alerts(limit=1)) == 1


def test_findings_are_filtered_by_kind(filled: list[SeriesScan]) -> None:
    assert set(list_findings("EURUSD", "H1", ["fvg", "order_block"])["kind"]) == {"fvg", "order_block"}
    assert len(list_findings(limit=5)) == 5
    assert len(list_findings(limit=100_000)) == sum(len(scan.new) for scan in filled)


def test_a_transaction_that_breaks_stores_nothing(filled: list[SeriesScan]) -> None:
    before = list_scans()

    def broken(_connection: object) -> None:
        raise RuntimeError("the disk went away")

    with pytest.raises(RuntimeError):
        enter_scans(filled, {"minimum_score": 1.0}, commit=broken)
    assert list_scans().equals(before)


def test_metrics_say_rates_distributions_and_times(filled: list[SeriesScan]) -> None:
    scans = list_scans()
    rates = metrics.detection_rates(scans)
    assert rates[["symbol", "timeframe"]].values.tolist() == [
        ["EURUSD", "H1"], ["EURUSD", "H4"], ["GBPUSD", "H1"], ["GBPUSD", "H4"],
    ]  # fmt: skip
    first = rates.iloc[0]
    assert first["bars"] == 5000
    assert first["setups_per_1000_bars"] == pytest.approx(1000 * first["setups"] / 5000)
    kinds = metrics.pattern_distribution(scans)
    assert kinds["findings"].sum() == scans["findings"].sum()
    assert {"fvg", "swing", "bos", "choch", "liquidity_sweep", "order_block"} <= set(kinds["kind"])
    scores = metrics.score_distribution(scans)
    assert scores["candidates"].sum() == scans["candidates"].sum()
    assert scores[scores["timeframe"] == "H1"]["score"].is_monotonic_increasing
    times = metrics.processing_times(scans)
    assert (times[["read_ms", "scan_ms", "ns_per_bar"]] > 0).all(axis=None)
    failed = metrics.failures(scans)
    assert failed["symbol"].tolist() == ["USDJPY"]
    assert failed["failure"].tolist() == ["The store holds no H1 bars of USDJPY."]


def test_the_database_has_a_mark_of_its_own() -> None:
    from data.bar_tables import MARKET_DATA
    from execution.tables import BACKTEST_RESULTS

    marks = {module.application_id for module in (SCANNER, MARKET_DATA, BACKTEST_RESULTS)}
    assert len(marks) == 3
