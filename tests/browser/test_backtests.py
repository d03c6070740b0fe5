"""A day with backtests in Chromium: run, verify, replay, sweep, compare, export and import."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import expect

from execution.backtest_manager import manager
from execution.sweep_store import list_sweeps

pytestmark = [pytest.mark.browser, pytest.mark.standing, pytest.mark.usefixtures("sample_run")]
RUN = "MA_Crossover_EURUSD_H1_1"


def fill(bench: Any, key: str, value: object) -> None:
    field = bench.page.locator(f'[class*="st-key-{key}"] input').first
    field.fill(str(value))
    field.press("Enter")
    expect(field).to_have_value(str(value))


def test_a_run_is_checked_three_ways(bench: Any) -> None:
    bench.open(f"/backtesting?run={RUN}&view=Checks", "Backtesting")
    for button, said in (
        ("Verify with the other engine", "agree bit for bit"),
        ("Look-ahead check", "prefixes replayed"),
        ("Warm-up check", "needs no more than the 149 bars"),
    ):
        bench.page.get_by_role("button", name=button).click()
        expect(bench.page.get_by_text(said)).to_be_visible()


def test_a_run_is_replayed_bar_by_bar(bench: Any) -> None:
    bench.open(f"/backtesting?run={RUN}&view=Replay", "Backtesting")
    expect(bench.page.get_by_text("an order to buy at the next open")).to_be_visible()
    step = f"backtest-replay-{RUN}"
    bench.press(f"{step}-chevron_right")
    expect(bench.page.get_by_text("no order")).to_be_visible()
    bench.press(f"{step}-skip_next")
    expect(bench.page.get_by_text("an order to sell at the next open")).to_be_visible()


def test_hundreds_of_sets_are_swept_and_the_best_one_is_run(bench: Any) -> None:
    bench.open("/sweep?strategy=MA_Crossover", "Sweep")
    for name, values in {"fast_length": (2, 92, 10), "slow_length": (105, 301, 4)}.items():
        for part, value in zip(("from", "to", "step"), values, strict=True):
            fill(bench, f"sweep-MA_Crossover-{name}-{part}", value)
    expect(bench.page.get_by_text(re.compile("500 combinations"))).to_be_visible()
    bench.press("sweep-start")
    expect(bench.page.get_by_test_id("stMetric").filter(has_text="Sets run")).to_contain_text("500")
    expect(bench.page.get_by_text("variants were tried on this data")).to_be_visible()
    [row] = list_sweeps()
    assert (row.sets, row.status) == (500, "completed")
    bench.press("sweep-run")
    bench.settled("Backtesting")
    expect(bench.page.get_by_test_id("stMetric").filter(has_text="Beyond luck")).to_contain_text("variant 501")


def test_three_runs_are_compared(bench: Any) -> None:
    from data.pipeline_controller import controller

    version = controller.version(manager.run(RUN).dataset_hash)
    for name in ("MACD", "Donchian_Breakout"):
        manager.save_result(result=manager.run_backtest(version, strategy_name=name, spread_pips=0.6))
    runs = [run.run_id for run in manager.runs()]
    bench.open("/compare?" + "&".join(f"runs={run}" for run in runs), "Compare")
    expect(bench.page.get_by_text("3 runs")).to_be_visible()
    for title in ("Statistics", "Settings that differ", "Correlation", "Trade by trade"):
        expect(bench.page.get_by_text(title, exact=True)).to_be_visible()
    expect(bench.page.get_by_text(re.compile("trades agree"))).to_be_visible()


def test_a_run_is_exported_deleted_and_imported_as_it_was(bench: Any, tmp_path: Path) -> None:
    before = manager.run(RUN)
    bench.open(f"/backtesting?run={RUN}", "Backtesting")
    bench.page.get_by_role("button", name="Export").click()
    with bench.page.expect_download() as coming:
        bench.page.get_by_role("button", name="Whole run (JSON)").click()
    file = tmp_path / "run.json"
    coming.value.save_as(file)
    assert json.loads(file.read_text(encoding="utf-8"))["run"]["run_id"] == RUN
    manager.delete_run(RUN)
    bench.open("/backtesting", "Backtesting")
    expect(bench.page.get_by_text("No run yet").first).to_be_visible()
    bench.page.get_by_role("button", name="Import run").click()
    bench.page.locator('[class*="backtest-import-file"] input[type=file]').set_input_files(file)
    bench.page.locator(".st-key-backtest-import-do button").click()
    expect(bench.page.get_by_text(re.compile("is imported"))).to_be_visible()
    again = manager.run(RUN)
    assert (again.metrics, again.content_digest, again.settings) == (
        before.metrics,
        before.content_digest,
        before.settings,
    )


def test_a_tear_sheet_stands_alone(bench: Any, tmp_path: Path) -> None:
    bench.open(f"/backtesting?run={RUN}", "Backtesting")
    bench.page.get_by_role("button", name="Export").click()
    with bench.page.expect_download() as coming:
        bench.page.get_by_role("button", name="Tear sheet (HTML)").click()
    file = tmp_path / "sheet.html"
    coming.value.save_as(file)
    asked: list[str] = []
    bench.page.on("request", lambda request: asked.append(request.url))
    bench.page.goto(file.as_uri())
    expect(bench.page.locator(".main-svg").first).to_be_visible()
    assert [url for url in asked if not url.startswith(("file:", "data:", "blob:"))] == []
