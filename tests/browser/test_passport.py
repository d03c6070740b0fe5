"""The passport of a dataset version in Chromium: from the list to its figures, pinned, compared, taken along."""

from __future__ import annotations

import re
from typing import Any

import pandas as pd
import pytest
from playwright.sync_api import expect

import workbench
from data.pipeline_controller import DataConfig, controller

pytestmark = [pytest.mark.browser, pytest.mark.standing]


def test_a_passport_is_opened_read_pinned_and_taken_along(bench: Any) -> None:
    daily = DataConfig(**workbench.sample_config().model_dump() | {"timeframe": "D1"})
    controller.prepare(daily)
    version = controller.version(workbench.run_sample_workflow().dataset_hash[:8])
    bench.open("/data_pipeline", "Data Pipeline")
    bench.page.get_by_role("link", name="Open passport").click()
    bench.settled("Dataset")
    expect(bench.page).to_have_url(re.compile(f"version={version.short_hash}"))
    expect(bench.page.get_by_text("Coverage").first).to_be_visible()
    expect(
        bench.page.locator(".st-key-passport-coverage-chart .xgrid, .st-key-passport-coverage-chart .hm").first
    ).to_be_attached()
    bench.page.get_by_text("Over time", exact=True).click()
    expect(bench.page).to_have_url(re.compile("coverage=time"))

    bench.page.get_by_role("button", name="Pin").first.click()
    expect(bench.page.get_by_text("is pinned: it cannot be deleted.")).to_be_visible()
    bench.press("passport-delete")
    expect(bench.page.get_by_test_id("stAlert")).to_contain_text("was pinned on")
    assert controller.version(version).pinned_at

    bench.settled("Dataset")
    with bench.page.expect_download() as download:
        bench.page.locator(".st-key-passport-version-parquet button").click()
    pd.testing.assert_frame_equal(pd.read_parquet(download.value.path()), version.frame())

    bench.page.get_by_role("button", name="Backtest this version").click()
    bench.settled("Backtesting")
    expect(bench.page).to_have_url(re.compile(f"dataset={version.short_hash}"))
