"""A file of the user's own, from the upload to the version, in Chromium."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from playwright.sync_api import expect
from waiting import wait_until

from data.pipeline_controller import controller

pytestmark = [pytest.mark.browser, pytest.mark.standing]


def metatrader_export(folder: Path) -> Path:
    """The 120 hours of a week as MetaTrader 5 exports them, in the clock of a broker whose days end in New York."""
    times = pd.date_range("2024-03-04 00:00", periods=120, freq="h")
    lines = ["<DATE>\t<TIME>\t<OPEN>\t<HIGH>\t<LOW>\t<CLOSE>\t<TICKVOL>\t<VOL>\t<SPREAD>"]
    for row, time in enumerate(times):
        price = 1.08 + row / 10_000
        prices = "\t".join(f"{each:.5f}" for each in (price, price + 0.0005, price - 0.0005, price + 0.0001))
        lines.append(f"{time:%Y.%m.%d\t%H:%M:%S}\t{prices}\t{100 + row}\t0\t7")
    file = folder / "EURUSD_H1.csv"
    file.write_text("\n".join(lines), encoding="utf-8")
    return file


def choose(bench: Any, key: str, option: str) -> None:
    bench.page.locator(f'[class*="{key}"] input').first.click()
    bench.page.get_by_role("option", name=option, exact=True).click()


def test_a_metatrader_export_is_previewed_asked_for_its_clock_and_collected(
    bench: Any, home: Path, tmp_path: Path
) -> None:
    bench.open("/data_pipeline", "Data Pipeline")
    choose(bench, "st-key-data-source", "File (CSV, Parquet)")
    bench.page.locator("input[type=file]").set_input_files(metatrader_export(tmp_path))
    expect(bench.page.get_by_text("carry no time zone")).to_be_visible()
    expect(bench.page.locator(".st-key-data-collect")).to_have_count(0)
    assert controller.versions() == []
    choose(bench, "-zone", "America/New_York+7")
    expect(bench.page.get_by_text("As it is understood: bars, times UTC")).to_be_visible()
    bench.press("data-collect")
    expect(bench.page.get_by_test_id("stMetric").filter(has_text="Validated")).to_contain_text("PASS")
    [version] = controller.versions()
    bars = version.bars("EURUSD")
    assert (str(bars.index[0]), len(bars)) == ("2024-03-03 22:00:00+00:00", 120)
    assert bars["spread_points"].unique().tolist() == [7.0]
    wait_until(lambda: not list((home / "output_central" / "uploads").iterdir()), "uploads stay though collected")


def test_a_spreadsheet_renamed_to_csv_is_refused_in_words(bench: Any, tmp_path: Path) -> None:
    file = tmp_path / "prices.csv"
    file.write_bytes(b"PK\x03\x04" + bytes(3000))
    bench.open("/data_pipeline", "Data Pipeline")
    choose(bench, "st-key-data-source", "File (CSV, Parquet)")
    bench.page.locator("input[type=file]").set_input_files(file)
    expect(bench.page.get_by_test_id("stAlert")).to_contain_text("prices.csv is a spreadsheet or zip archive")
    expect(bench.page.get_by_test_id("stAlert")).to_contain_text("Export the prices as CSV text")
    assert controller.versions() == []
