"""Scans as jobs: only what newer bars add is found again, and one symbol's bad bars never stop the others."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from joblib.externals.loky import get_reusable_executor

import scanner.jobs
import scanner.scan
from core.errors import BarsError, InputError
from core.job_process import run_job
from core.jobs import Job, JobStatus
from data.bar_store import BarStore
from data.pipeline_controller import controller
from market.timeframes import Timeframe
from scanner.jobs import queue, rank, rank_arguments, rank_title, scan, scan_arguments, scan_title
from scanner.multi_timeframe_scanner import MultiTimeframeScanner
from scanner.scan import Asked, ScanSettings, scan_symbol
from scanner.store import list_findings, list_ranks, list_scans, list_setups
from workbench import JOBS

TIMEFRAMES = ["H1", "H4"]


def keep(bars: pd.DataFrame, *symbols: str, timeframe: Timeframe = Timeframe.H1) -> None:
    for symbol in symbols:
        BarStore().add(symbol, timeframe, "Sample", bars)


def done(function: Callable[..., None], arguments: dict[str, Any], kind: str = "scan") -> Job:
    submitted = JOBS.submit("scan", kind, arguments, "a title")
    job = queue.claim(JOBS.kinds["scan"], "test")
    assert job is not None
    assert job.id == submitted.id
    run_job(function, queue.begin(job.id, job.attempt))
    return queue.job(job.id)


def scanned(symbols: list[str] | None = None, **options: Any) -> Job:
    return done(scan, scan_arguments(symbols, TIMEFRAMES, **options))


def without(table: pd.DataFrame, *columns: str) -> pd.DataFrame:
    return table.drop(columns=["id", "scan_id", "job_id", "created_at", *columns], errors="ignore")


def test_a_scan_stores_what_the_scanner_finds_in_the_stored_bars(sample: pd.DataFrame) -> None:
    keep(sample, "EURUSD")
    job = scanned()
    assert (job.status, job.failure) == (JobStatus.SUCCEEDED, None)
    assert job.result is not None
    assert job.result["series"] == 2
    scans = list_scans().set_index("timeframe")
    assert scans.loc["H1", "bars"] == len(sample)
    assert scans.loc["H1", "scanned_until"] == sample.index[-1]
    assert scans["failure"].isna().all()
    candidates = MultiTimeframeScanner(timeframes=TIMEFRAMES).candidates(sample, "EURUSD")
    assert scans.loc["H1", "candidates"] == len(candidates)
    assert scans.loc["H1", "setups"] == candidates.passed.sum()
    newest = candidates.where(candidates.bar > len(sample) - 25).frame().sort_values(["known_at", "direction"])
    stored = list_setups(timeframe="H1", setups_only=False).sort_values(["known_at", "direction"])
    assert stored["known_at"].tolist() == newest["known_at"].tolist()
    assert stored["score"].tolist() == pytest.approx(newest["score"].tolist())
    assert stored["is_setup"].astype(bool).tolist() == newest["is_setup"].tolist()
    for row in stored.itertuples():
        assert sum(part["points"] for part in row.parts) == pytest.approx(row.score)
        assert bool(row.why_not) == (not row.is_setup)


def test_bars_added_in_parts_leave_what_one_scan_of_all_leaves(sample: pd.DataFrame) -> None:
    keep(sample.iloc[:4900], "EURUSD")
    scanned()
    first_findings, first_setups = list_findings("EURUSD"), list_setups(setups_only=False)
    for until in (4901, 4950, 5000):
        keep(sample.iloc[:until], "EURUSD")
        scanned()
    findings, setups = list_findings("EURUSD"), list_setups(setups_only=False)
    # Nothing that was there has gone or changed, but for what ended since.
    kept = findings[findings["id"].isin(first_findings["id"])].sort_values("id")
    same = without(first_findings.sort_values("id"), "ended_at", "end_reason").reset_index(drop=True)
    assert without(kept, "ended_at", "end_reason").reset_index(drop=True).equals(same)
    assert set(first_setups["id"]) <= set(setups["id"])
    candidates = MultiTimeframeScanner(timeframes=TIMEFRAMES).candidates(sample, "EURUSD")
    whole = candidates.where(candidates.bar > 4900 - 25).frame().sort_values(["known_at", "direction"])
    stored = setups[setups["timeframe"] == "H1"].sort_values(["known_at", "direction"])
    assert stored["known_at"].tolist() == whole["known_at"].tolist()
    assert stored["status"].tolist() == whole["status"].tolist()
    assert stored["ended_at"].fillna(pd.Timestamp(0, tz="UTC")).tolist() == (
        whole["ended_at"].fillna(pd.Timestamp(0, tz="UTC")).tolist()
    )
    scanner_ = MultiTimeframeScanner(timeframes=TIMEFRAMES)
    [layer, _] = scanner_.layers(sample, "EURUSD")
    expected = layer.findings.frame(layer.times)
    stored_findings = findings[findings["timeframe"] == "H1"]
    merged = stored_findings.merge(
        expected, on=["kind", "direction", "formed_at", "known_at", "level"], suffixes=("", "_now")
    )
    assert len(merged) == len(stored_findings)
    assert merged["end_reason"].tolist() == merged["end"].tolist()
    assert merged["ended_at"].equals(merged["ended_at_now"].astype(merged["ended_at"].dtype))
    assert not findings.duplicated(["timeframe", "kind", "direction", "formed_at", "known_at", "level"]).any()


def test_what_has_no_newer_bars_is_not_scanned_again(sample: pd.DataFrame, monkeypatch: pytest.MonkeyPatch) -> None:
    keep(sample, "EURUSD", "GBPUSD")
    scanned()
    before = list_scans()
    looked_at: list[str] = []

    def watched(settings: ScanSettings, asked: Asked) -> Any:
        looked_at.append(asked.symbol)
        return scan_symbol(settings, asked)

    monkeypatch.setattr(scanner.jobs, "scan_symbol", watched)
    again = scanned()
    assert (again.status, again.words) == (JobStatus.SUCCEEDED, "no bars newer than the last scan's")
    assert looked_at == []
    assert list_scans().equals(before)
    later = sample.iloc[-1:].set_axis(sample.index[-1:] + pd.Timedelta(hours=1))
    keep(later.rename_axis("time"), "GBPUSD")
    scanned()
    assert looked_at == ["GBPUSD"]
    scanned(anew=True)
    assert looked_at == ["GBPUSD", "EURUSD", "GBPUSD"]


def test_other_settings_begin_a_scan_anew(sample: pd.DataFrame, monkeypatch: pytest.MonkeyPatch) -> None:
    keep(sample, "EURUSD")
    scanned()
    before = list_scans()
    monkeypatch.setenv("SEQUENCE_SCANNER__MINIMUM_SCORE", "9")
    scanned()
    after = list_scans()
    assert len(after) == len(before)
    assert after["setups"].sum() < before["setups"].sum()
    assert not set(after["id"]) & set(before["id"])
    assert set(list_setups(setups_only=False)["scan_id"]) <= set(after["id"])


def test_one_symbols_bad_bars_never_stop_the_others(sample: pd.DataFrame, monkeypatch: pytest.MonkeyPatch) -> None:
    keep(sample, "AUDUSD", "EURUSD", "GBPUSD")
    newest = scanner.scan.newest_bars

    def damaged(symbol: str, timeframe: Timeframe, *asked: Any) -> pd.DataFrame:
        if symbol == "AUDUSD":
            raise BarsError("Row 3 has no price.", "Drop it.")
        if symbol == "EURUSD" and timeframe is Timeframe.H4:
            return newest(symbol, timeframe, *asked).drop(columns="close")
        return newest(symbol, timeframe, *asked)

    monkeypatch.setattr(scanner.scan, "newest_bars", damaged)
    job = scanned()
    assert job.status is JobStatus.SUCCEEDED
    assert "3 series could not be scanned" in job.words
    scans = list_scans().set_index(["symbol", "timeframe"])
    assert scans.loc[("AUDUSD", "H1"), "failure"] == "Row 3 has no price."
    assert scans.loc[("AUDUSD", "H1"), "cure"] == "Drop it."
    assert "stopped with KeyError" in scans.loc[("EURUSD", "H4"), "failure"]
    assert scans["failure"].isna().sum() == 3
    assert set(list_findings()["symbol"]) == {"EURUSD", "GBPUSD"}
    # Mended, the failed series are scanned and the failures are gone.
    monkeypatch.setattr(scanner.scan, "newest_bars", newest)
    scanned()
    assert list_scans()["failure"].isna().all()


def test_a_series_that_fails_later_keeps_what_was_found(
    home: Path, sample: pd.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    keep(sample.iloc[:4000], "EURUSD")
    scanned()
    found = len(list_findings())
    keep(sample, "EURUSD")

    def gone(*_: Any) -> pd.DataFrame:
        raise BarsError("The bars are gone.", "Collect them again.")

    monkeypatch.setattr(scanner.scan, "bars_since", gone)
    job = scanned()
    assert (job.status, job.cure) == (JobStatus.FAILED, "Collect them again.")
    assert job.failure == "None of 2 series could be scanned. The first: The bars are gone."
    assert len(list_findings()) == found
    assert list_scans()["failure"].tolist() == ["The bars are gone."] * 2
    assert (list_scans()["bars"] > 0).all()
    # Once they are back it goes on from where it was.
    before = set(list_findings()["id"])
    monkeypatch.undo()
    monkeypatch.setenv("SEQUENCE_HOME", str(home))
    assert scanned().status is JobStatus.SUCCEEDED
    assert list_scans()["failure"].isna().all()
    assert before < set(list_findings()["id"])


def test_an_unknown_symbol_is_a_failed_row_and_nothing_to_scan_a_failed_job(sample: pd.DataFrame) -> None:
    nothing = scanned()
    assert nothing.status is JobStatus.FAILED
    assert nothing.failure == "There are no bars to scan."
    keep(sample, "EURUSD")
    job = scanned(["EURUSD", "NOSUCH"])
    assert job.status is JobStatus.SUCCEEDED
    failed = list_scans()
    failed = failed[failed["failure"].notna()]
    assert failed["symbol"].tolist() == ["NOSUCH", "NOSUCH"]
    assert failed["failure"].iloc[0] == "The store holds no H1 bars of NOSUCH."


def test_a_dataset_version_is_scanned_on_its_timeframe_and_longer_ones_once(sample: pd.DataFrame) -> None:
    version = controller.enter_bars(sample, "EURUSD", "H1")
    job = done(scan, scan_arguments(None, ["M15", *TIMEFRAMES], versions=[version]))
    assert job.status is JobStatus.SUCCEEDED
    scans = list_scans()
    assert scans["timeframe"].tolist() == TIMEFRAMES
    assert scans["source"].unique().tolist() == [f"version {version.content_hash}"]
    source = f"version {version.content_hash}"
    assert len(list_setups(source=source, setups_only=False)) > 0
    assert list_setups(source="store", setups_only=False).empty
    again = done(scan, scan_arguments(None, ["M15", *TIMEFRAMES], versions=[version]))
    assert again.status is JobStatus.SUCCEEDED
    assert list_scans().equals(scans)


def test_a_job_that_was_killed_half_way_goes_on_with_the_rest(
    sample: pd.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    keep(sample, "AUDUSD", "EURUSD", "GBPUSD")

    class KilledError(BaseException):
        """What a kill leaves undone inside one process."""

    def killed(settings: ScanSettings, asked: Asked) -> Any:
        if asked.symbol == "EURUSD":
            raise KilledError
        return scan_symbol(settings, asked)

    monkeypatch.setattr(scanner.jobs, "scan_symbol", killed)
    submitted = JOBS.submit("scan", "scan", scan_arguments(None, TIMEFRAMES), "a title")
    job = queue.claim(JOBS.kinds["scan"], "test")
    assert job
    with pytest.raises(KilledError):
        run_job(scan, queue.begin(job.id, job.attempt))
    assert set(list_scans()["symbol"]) == {"AUDUSD"}
    there = list_scans()["id"].tolist()
    queue.give_back(job, blameless=False)
    monkeypatch.setattr(scanner.jobs, "scan_symbol", scan_symbol)
    job = queue.claim(JOBS.kinds["scan"], "test")
    assert job
    run_job(scan, queue.begin(job.id, job.attempt))
    assert queue.job(submitted.id).status is JobStatus.SUCCEEDED
    assert set(list_scans()["symbol"]) == {"AUDUSD", "EURUSD", "GBPUSD"}
    assert set(there) <= set(list_scans()["id"])


def test_processes_find_what_one_process_finds(sample: pd.DataFrame, monkeypatch: pytest.MonkeyPatch) -> None:
    keep(sample.iloc[-1500:], "AUDUSD", "EURUSD")
    scanned()
    alone = without(list_setups(setups_only=False)), without(list_scans(), "scanned_at", "read_ms", "scan_ms")
    monkeypatch.setattr(scanner.jobs, "PARALLEL_FROM_BARS", 1)
    monkeypatch.setattr(scanner.jobs, "workers", lambda: 2)
    monkeypatch.setenv("SEQUENCE_PARALLEL__WORKERS", "2")
    get_reusable_executor().shutdown()  # processes of an earlier test would look into its workbench
    scanned(anew=True)
    get_reusable_executor().shutdown()
    order = ["symbol", "timeframe", "known_at", "direction"]
    shared = without(list_setups(setups_only=False))
    assert shared.sort_values(order, ignore_index=True).equals(alone[0].sort_values(order, ignore_index=True))
    table = without(list_scans(), "scanned_at", "read_ms", "scan_ms")
    assert table.sort_values(["symbol", "timeframe"], ignore_index=True).equals(
        alone[1].sort_values(["symbol", "timeframe"], ignore_index=True)
    )


def test_symbols_are_ranked_as_a_job(sample: pd.DataFrame) -> None:
    louder = sample.assign(high=sample["high"] + 0.001, low=sample["low"] - 0.001)
    keep(sample, "EURUSD")
    keep(louder, "GBPUSD")
    job = done(rank, rank_arguments(), "rank")
    assert (job.status, job.words) == (JobStatus.SUCCEEDED, "2 of 2 pairs selected")
    assert list_ranks()["symbol"].tolist() == ["GBPUSD", "EURUSD"]
    assert list_ranks()["job_id"].tolist() == [job.id, job.id]


def test_jobs_say_what_they_will_do() -> None:
    assert scan_title(scan_arguments(["eurusd", "GBP/USD"], "1h")) == "Scan EURUSD, GBPUSD on H1"
    many = scan_arguments(["EURUSD", "GBPUSD", "USDJPY", "AUDUSD", "NZDUSD"], "H1, M15")
    assert scan_title(many) == "Scan EURUSD, GBPUSD, USDJPY and 2 more on M15, H1"
    assert scan_title(scan_arguments()) == "Scan all symbols of the store on M15, H1, H4, D1"
    assert rank_title(rank_arguments()) == "Rank all symbols of the store by their volatility on H1"
    with pytest.raises(InputError, match="There is no symbol to scan"):
        scan_arguments([])
    with pytest.raises(InputError, match="There is no timeframe 'H7'"):
        scan_arguments(["EURUSD"], "H7")
