"""Dataset versions in Chromium: what only a browser shows, clicks in a sorted list, an upload, a double click."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from playwright.sync_api import expect

import workbench
from data.pipeline_controller import DataConfig, DatasetVersion, controller
from execution.backtest_manager import manager

pytestmark = [pytest.mark.browser, pytest.mark.standing]
VERSIONS = "data-versions"


@pytest.fixture
def versions(tmp_path: Path) -> list[DatasetVersion]:
    """Newest first: all of the sample again with another note, 130 bars of a file, all of the sample with a run."""
    sample = controller.prepare(workbench.sample_config())
    manager.save_result("the_run", result=manager.run_backtest(sample, strategy_name="MA_Crossover"))
    times = pd.date_range("2024-03-04", periods=130, freq="h")
    rows = [f"{time:%Y-%m-%d %H:%M},1.1,1.4,1.0,{1.15 + row / 1000:.3f}" for row, time in enumerate(times)]
    file = tmp_path / "my export.csv"
    file.write_text("\n".join(["time,open,high,low,close", *rows]), encoding="utf-8")
    controller.prepare(DataConfig(data_sources=["CSV"], symbols=["GBPUSD"], files=[file], timezone="Asia/Kolkata"))
    again = controller.prepare(workbench.sample_config())
    controller.annotate_version(again, note="Published twice.")
    return controller.versions()


def test_versions_are_opened_from_a_sorted_list_loaded_written_to_and_deleted(
    bench: Any, versions: list[DatasetVersion], tmp_path: Path
) -> None:
    newest, of_file, oldest = versions
    bench.open("/data_pipeline", "Data Pipeline")
    expect(bench.page.get_by_text("Published twice.")).to_be_visible()
    grid = bench.page.locator('.st-key-data-versions [data-testid="stDataFrame"]')
    grid.scroll_into_view_if_needed()
    expect(bench.cell(VERSIONS, 2, 2)).to_have_text(f"{oldest.short_hash}-{oldest.id}")
    grid.click(position={"x": 530, "y": 18})  # the header of Rows: the file's 130 come first
    expect(bench.cell(VERSIONS, 2, 0)).to_have_text(of_file.short_hash)
    bench.select_row(VERSIONS, 0)
    expect(bench.page).to_have_url(re.compile(f"version={of_file.short_hash}"))

    bench.page.get_by_role("button", name="Load its settings").click()
    expect(bench.page.get_by_text("again: the form then holds the settings of")).to_be_visible()
    bench.page.locator("input[type=file]").set_input_files(tmp_path / "my export.csv")
    expect(bench.page.get_by_text("As it is understood: bars, times UTC")).to_be_visible()
    expect(bench.page.get_by_text("2024-03-03 18:30:00").first).to_be_attached()

    bench.open(f"/data_pipeline?version={of_file.short_hash}", "Data Pipeline")
    bench.page.get_by_role("button", name="Note and tags").click()
    note = bench.page.get_by_label(f"Note on {of_file.short_hash}")
    note.fill("Of my broker.")
    bench.page.get_by_role("button", name="Save note").click()
    expect(bench.page.get_by_text(f"Note and tags of {of_file.short_hash} are saved.")).to_be_visible()
    expect(note).not_to_be_visible()
    assert controller.version(of_file).note == "Of my broker."

    bench.page.get_by_role("button", name="Delete version…").click()
    bench.page.get_by_role("button", name=f"Delete {of_file.short_hash}").dblclick()
    expect(bench.page.get_by_text(f"Dataset version {of_file.short_hash} is deleted.")).to_be_visible()
    bench.settled("Data Pipeline")
    assert controller.versions() == [newest, oldest]
    bench.page.get_by_role("button", name="Delete version…").click()
    expect(bench.page.get_by_test_id("stAlert")).to_contain_text("is in use by run the_run")
    assert controller.versions() == [newest, oldest]
