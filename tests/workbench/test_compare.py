"""The Compare page: which runs, what tells them apart, and what it says when there is nothing to compare."""

from __future__ import annotations

from collections.abc import Callable

import pandas as pd
import pytest
from streamlit.testing.v1 import AppTest

import workbench
from data.pipeline_controller import controller
from execution.backtest_manager import manager
from execution.costs import Costs

OpenPage = Callable[..., AppTest]
ONE, OTHER = "MA_Crossover_EURUSD_H1_1", "RSI_Bands_EURUSD_H1_1"


def words(app: AppTest) -> str:
    return "\n".join(str(each.value) for kind in ("caption", "markdown", "warning") for each in app.get(kind))


def table_with(app: AppTest, column: str) -> pd.DataFrame:
    [found] = [each.value for each in app.dataframe if column in each.value]
    return found


@pytest.fixture
def two_runs(sample_run: str) -> None:
    version = manager.run(sample_run).dataset_hash
    result = manager.run_backtest(controller.version(version), strategy_name="RSI_Bands", spread_pips=1.5)
    manager.save_result(result=result)


def test_one_run_cannot_be_compared(open_page: OpenPage, sample_run: str) -> None:
    app = open_page(workbench.COMPARE.file)
    assert "needs two stored runs; there is one" in words(app)


def test_the_newest_two_are_compared_until_others_are_chosen(open_page: OpenPage, two_runs: None) -> None:
    app = open_page(workbench.COMPARE.file)
    assert not app.exception
    assert not app.error
    assert app.multiselect(key="compare.runs").value == [OTHER, ONE]
    statistics = table_with(app, "Statistic").set_index("Statistic")
    assert list(statistics.columns) == ["RSI_Bands_1", "MA_Crossover_1"]
    assert statistics.loc["Trades", "MA_Crossover_1"] == "42"
    settings = table_with(app, "Setting").set_index("Setting")
    assert settings.loc["spread pips"].tolist() == ["1.5", "0.6"]
    assert "cash" not in settings.index


def test_a_link_names_the_runs_and_a_deleted_one_is_left_out(open_page: OpenPage, two_runs: None) -> None:
    app = open_page(workbench.COMPARE.file, runs=[ONE, "gone"])
    assert app.multiselect(key="compare.runs").value == [ONE]
    assert "Choose two or more runs" in words(app)


def test_every_trade_of_one_run_has_its_word(open_page: OpenPage, two_runs: None) -> None:
    app = open_page(workbench.COMPARE.file)
    assert "42 in B" in words(app)
    differences = table_with(app, "Difference")
    assert differences["Difference"].str.contains("only in A|only in B|entered|size|ended").all()
    assert not differences["Difference"].str.contains("theirs|ours").any()


def test_runs_of_different_markets_are_not_matched(open_page: OpenPage, two_runs: None) -> None:
    frame = controller.version(manager.run(ONE).dataset_hash).bars("EURUSD")
    manager.save_result("other_market", result=manager.run_backtest(frame, strategy_name="MACD", symbol="GBPUSD"))
    app = open_page(workbench.COMPARE.file)
    assert "are different markets" in words(app)


def test_equal_runs_agree_in_every_trade(open_page: OpenPage, sample_run: str) -> None:
    version = controller.version(manager.run(sample_run).dataset_hash)
    for name, costs in (("ten", Costs(lots=0.1)), ("ten_on_margin", Costs(lots=0.1, stop_out_pct=20))):
        result = manager.run_backtest(version, strategy_name="MACD", costs=costs, margin=1 / 30)
        manager.save_result(name, result=result)
    app = open_page(workbench.COMPARE.file)
    trades = manager.run("ten").trades_count
    assert f"All {trades} trades agree." in words(app)
