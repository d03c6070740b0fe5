"""A link that somebody was sent is the first thing that a server of Sequence is asked for."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.sync_api import expect

from data.pipeline_controller import controller
from execution.backtest_manager import manager

pytestmark = pytest.mark.browser


def test_a_deep_link_works_as_the_servers_first_request(sample_run: str, bench: Any) -> None:
    version = controller.versions()[0]
    newer = manager.save_result(result=manager.run_backtest(version, strategy_name="RSI_Bands", spread_pips=0.6))
    bench.open(f"/backtesting?run={sample_run}", "Backtesting")
    expect(bench.page.get_by_text("fast_length 48")).to_be_visible()
    expect(bench.page.get_by_text(newer.run_id).first).not_to_be_visible()
