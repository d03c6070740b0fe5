"""Two readers of one workbench who do the same thing at the same moment, or undo what the other looks at."""

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import expect

from data.pipeline_controller import controller
from execution.backtest_manager import manager

pytestmark = [pytest.mark.browser, pytest.mark.standing]
CLICK_AT = "([selector, moment]) => { setTimeout(() => document.querySelector(selector).click(), moment - Date.now()) }"


def press_together(key: str, *benches: Any) -> None:
    """Both browsers click at one moment by the clock of the machine."""
    moment = 1000 * time.time() + 500
    for bench in benches:
        expect(bench.page.locator(f".st-key-{key} button")).to_be_enabled()
        bench.page.evaluate(CLICK_AT, [f".st-key-{key} button", moment])


def expect_no_failure(*benches: Any) -> None:
    for bench in benches:
        expect(bench.page.get_by_test_id("stAlertContentError")).to_have_count(0)


def options(bench: Any, key: str) -> list[str]:
    """What a select box offers."""
    bench.page.locator(f".st-key-{key} input").click()
    found: list[str] = bench.page.get_by_role("option").all_inner_texts()
    bench.page.keyboard.press("Escape")
    return found


def test_both_run_the_sample_workflow_in_an_empty_workbench(bench: Any, other_bench: Any, home: Path) -> None:
    for each in (bench, other_bench):
        each.open("/", "Overview")
    press_together("overview-run_sample", bench, other_bench)
    for each in (bench, other_bench):
        expect(each.page.get_by_role("link", name="Open run MA_Crossover_EURUSD_H1_1")).to_be_visible()
    expect_no_failure(bench, other_bench)

    versions = controller.versions()
    assert len(versions) == 2  # each publication is entered …
    assert len({version.content_hash for version in versions}) == 1  # … and equal content is stored once
    folders = list((home / "output_central" / "datasets").iterdir())
    assert [folder.name for folder in folders] == [versions[0].content_hash]
    assert [run.run_id for run in manager.runs()] == ["MA_Crossover_EURUSD_H1_1"]
    assert [folder.name for folder in (home / "output_central" / "runs").iterdir()] == ["MA_Crossover_EURUSD_H1_1"]
    bench.open("/backtesting", "Backtesting")
    assert len(options(bench, "dataset")) == 1


def test_both_run_the_same_backtest_and_find_one_run(bench: Any, other_bench: Any, sample_run: str) -> None:
    for each in (bench, other_bench):
        each.open("/backtesting?strategy=RSI_Bands", "Backtesting")
        expect(each.page.get_by_role("spinbutton", name="Length", exact=True)).to_have_value("14")
        each.settled("Backtesting")
    press_together("backtest-run", bench, other_bench)
    for each in (bench, other_bench):
        expect(each.page).to_have_url(re.compile("run=RSI_Bands_EURUSD_H1_1"))
        each.settled("Backtesting")
        expect(each.page.get_by_text("length 14,")).to_be_visible()
    expect_no_failure(bench, other_bench)
    runs = manager.runs()
    assert [run.run_id for run in runs] == ["RSI_Bands_EURUSD_H1_1", sample_run]
    assert len(manager.trades(runs[0])) == runs[0].trades_count > 0


def test_who_looks_at_a_run_that_the_other_deletes_is_told(bench: Any, other_bench: Any, sample_run: str) -> None:
    version = controller.versions()[0]
    manager.save_result("short_lived", result=manager.run_backtest(version, strategy_name="RSI_Bands"))
    for each in (bench, other_bench):
        each.open("/backtesting?run=short_lived", "Backtesting")
    bench.page.get_by_role("button", name="Delete run…").click()
    bench.page.get_by_role("button", name="Delete short_lived").click()
    expect(bench.page.get_by_text("Run short_lived is deleted.")).to_be_visible()

    other_bench.page.get_by_role("button", name="Load its settings").click()
    expect(other_bench.page.get_by_text("There is no run 'short_lived'. It was deleted")).to_be_visible()
    expect(other_bench.page).to_have_url(re.compile(f"run={sample_run}"))
    other_bench.settled("Backtesting")
    expect_no_failure(bench, other_bench)
    expect(other_bench.page.get_by_text("fast_length 48")).to_be_visible()
