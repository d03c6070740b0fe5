"""Earlier runs in Chromium: what only a browser shows, clicks in the list, the address, downloads."""

from __future__ import annotations

import re
from typing import Any

import pandas as pd
import pytest
from playwright.sync_api import expect

from data.pipeline_controller import controller
from execution.backtest_manager import manager

pytestmark = [pytest.mark.browser, pytest.mark.standing]
RUNS = "backtest-runs"


@pytest.fixture
def runs(sample_run: str) -> list[str]:
    """Three runs, newest first; sorted by name the newest comes last."""
    version = controller.versions()[0]
    for name, length in (("b_middle", 14), ("z_last", 21)):
        result = manager.run_backtest(version, strategy_name="RSI_Bands", parameters={"length": length})
        manager.save_result(name, result=result)
    return [run.run_id for run in manager.runs()]


def test_a_sorted_and_filtered_list_opens_the_run_that_was_clicked(bench: Any, runs: list[str]) -> None:
    oldest = runs[-1]
    bench.open(f"/backtesting?run={oldest}", "Backtesting")
    grid = bench.page.locator('.st-key-backtest-runs [data-testid="stDataFrame"]')
    expect(bench.cell(RUNS, 2, 0)).to_have_text("z_last")
    grid.click(position={"x": 220, "y": 18})  # the header of Run
    expect(bench.cell(RUNS, 2, 2)).to_have_text("z_last")
    bench.select_row(RUNS, 2)  # where the oldest run stood before
    expect(bench.page).to_have_url(re.compile(r"run=z_last"))
    expect(bench.page.get_by_text("length 21,")).to_be_visible()

    find = bench.page.locator(".st-key-runs-find input")
    find.fill("Z_LAST")
    find.press("Enter")
    expect(bench.page.get_by_text("1 of 3 runs")).to_be_visible()
    expect(bench.page).to_have_url(re.compile(r"runs\.find=Z_LAST"))
    with bench.page.expect_download() as caught:
        bench.press("backtest-runs-csv")
    exported = pd.read_csv(caught.value.path(), encoding="utf-8-sig")
    assert list(exported["Run"]) == ["z_last"]
    assert exported["Net, %"].dtype.kind == "f"

    bench.page.goto(bench.page.url)  # what a colleague opens
    bench.settled("Backtesting")
    expect(bench.page.get_by_text("1 of 3 runs")).to_be_visible()
    expect(bench.page.get_by_text("length 21,")).to_be_visible()


def test_a_run_is_written_to_loaded_and_deleted_once_by_a_double_click(bench: Any, runs: list[str]) -> None:
    bench.open("/backtesting?run=b_middle", "Backtesting")
    bench.page.get_by_role("button", name="Note and tags").click()
    note = bench.page.get_by_label("Note on b_middle")
    note.fill("Holds over the roll.")
    bench.page.get_by_label("Tags, separated by commas").fill("london, night")
    bench.page.get_by_role("button", name="Save note").click()
    expect(bench.page.get_by_text("Note and tags of b_middle are saved.")).to_be_visible()
    expect(note).not_to_be_visible()
    expect(bench.cell(RUNS, 9, 1)).to_have_text("london, night")
    assert manager.run("b_middle").note == "Holds over the roll."

    bench.page.get_by_role("button", name="Load its settings").click()
    expect(bench.page.get_by_label("Length", exact=True)).to_have_value("14")
    expect(note).not_to_be_visible()

    bench.page.get_by_role("button", name="Delete run…").click()
    bench.page.get_by_role("button", name="Delete b_middle").dblclick()
    expect(bench.page.get_by_text("Run b_middle is deleted.")).to_be_visible()
    bench.settled("Backtesting")
    assert [run.run_id for run in manager.runs()] == [run_id for run_id in runs if run_id != "b_middle"]
    expect(bench.page).to_have_url(re.compile(r"run=z_last"))
