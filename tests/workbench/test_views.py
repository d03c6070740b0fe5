"""What the Backtesting page shows of a run besides its trades: breakdown, checks, replay; and the broker's terms."""

from __future__ import annotations

from collections.abc import Callable

import pandas as pd
import pytest
from streamlit.testing.v1 import AppTest

import workbench
from core.jobs import Job, JobStatus
from data.pipeline_controller import controller
from execution.backtest_manager import manager
from execution.costs import Costs

OpenPage = Callable[..., AppTest]
PAGE = workbench.BACKTESTING.file


def words(app: AppTest) -> str:
    return "\n".join(str(each.value) for kind in ("caption", "markdown", "warning") for each in app.get(kind))


def table_with(app: AppTest, column: str) -> pd.DataFrame:
    [found] = [each.value for each in app.dataframe if column in each.value]
    return found


def metrics(app: AppTest) -> dict[str, str]:
    return {each.label: each.value for each in app.metric}


def test_costs_are_held_against_the_edge(open_page: OpenPage, sample_run: str) -> None:
    app = open_page(PAGE)
    run = manager.run(sample_run)
    # 42 trades, each 0.6 pip of spread: what is left is the net of the run.
    net_pips = float(words(app).split("Survives up to ")[1].split(" pips")[0])
    trades = manager.trades(run)
    weighted = (trades["pips"] * trades["size"].abs()).sum() / trades["size"].abs().sum()
    assert net_pips == pytest.approx(weighted, abs=0.06)
    assert "Signals are read at a bar's close" in words(app)


def test_the_deflated_sharpe_counts_every_variant_once(open_page: OpenPage, sample_run: str) -> None:
    app = open_page(PAGE)
    [shown] = [each for each in app.metric if each.label == "Beyond luck"]
    assert (shown.value, shown.delta) == ("70.6 %", "variant 1")
    version = controller.version(manager.run(sample_run).dataset_hash)
    for length in (30, 30, 40):
        result = manager.run_backtest(version, strategy_name="MA_Crossover", parameters={"fast_length": length})
        manager.save_result(result=result)
    app = open_page(PAGE, run=sample_run)
    [shown] = [each for each in app.metric if each.label == "Beyond luck"]
    assert shown.delta == "variant 3"


@pytest.mark.parametrize(("by", "groups"), [("Weekday", 5), ("Side", 2), ("Hour, UTC", 24)])
def test_a_breakdown_adds_up_to_the_run(by: str, groups: int, open_page: OpenPage, sample_run: str) -> None:
    app = open_page(PAGE, view="Breakdown", by=by)
    assert not app.exception
    table = table_with(app, "Pips a trade")
    assert len(table) == groups
    assert table["Trades"].sum() == 42
    assert table["Net, USD"].sum() == pytest.approx(manager.trades(manager.run(sample_run))["pnl"].sum())
    assert len(table_with(app, "Depth, %")) == 5


def test_checks_say_what_they_found_when_they_are_asked(open_page: OpenPage, sample_run: str) -> None:
    app = open_page(PAGE, view="Checks")
    assert "prove a fault, never its absence" in words(app)
    for name in ("verify", "look_ahead", "warm_up"):
        app.button(key=f"backtest.check.{name}").click().run()
    said = words(app)
    assert "0.6.6 and Sequence 0.1.0 agree bit for bit" in said
    assert "prefixes replayed" in said
    assert "needs no more than the 149 bars" in said
    assert not app.exception
    assert not app.error


def test_only_one_engine_knows_a_broker_and_the_check_says_so(open_page: OpenPage, sample_run: str) -> None:
    version = controller.version(manager.run(sample_run).dataset_hash)
    result = manager.run_backtest(version, strategy_name="MACD", costs=Costs(lots=0.1), margin=1 / 30)
    manager.save_result(result=result)
    app = open_page(PAGE, view="Checks")
    app.button(key="backtest.check.verify").click().run()
    assert "Only Sequence" in words(app)


def test_replay_steps_from_change_to_change(open_page: OpenPage, sample_run: str) -> None:
    app = open_page(PAGE, view="Replay")
    key = f"backtest.replay.{sample_run}"
    assert app.number_input(key=key).value == 150
    assert metrics(app)["Wants"] == "long"
    assert "an order to buy at the next open" in words(app)
    app.button(key=f"{key}.chevron_right").click().run()
    assert app.number_input(key=key).value == 151
    assert "no order" in words(app)
    app.button(key=f"{key}.skip_next").click().run()
    assert metrics(app)["Wants"] == "short"
    assert metrics(app)["Open"].endswith("pips")
    app.number_input(key=key).set_value(1).run()
    assert metrics(app)["Wants"] == "flat"
    assert app.button(key=f"{key}.chevron_left").disabled
    assert not app.exception


def test_a_run_on_a_brokers_terms_can_be_made_and_loaded_again(open_page: OpenPage, sample_run: str) -> None:
    app = open_page(PAGE)
    app.get_by_key("backtest.costs.sizing").set_value("Lots").run()
    app.number_input(key="backtest.costs.amount").set_value(0.2)
    app.number_input(key="backtest.costs.commission_per_lot").set_value(3.5)
    app.number_input(key="backtest.leverage").set_value(30)
    app.get_by_key("backtest.costs.account_currency").select("EUR")
    app.button(key="backtest.run").click().run()
    assert not app.error
    run = manager.runs()[0]
    assert run.run_settings.costs == Costs(lots=0.2, commission_per_lot=3.5, account_currency="EUR")
    assert run.engine.startswith("Sequence")
    assert "Net, EUR" in metrics(app)
    assert set(manager.trades(run)["size"].abs().round(2)) == {20_000.0}
    again = open_page(PAGE)
    assert again.get_by_key("backtest.costs.sizing").value == "All cash"
    again.button(key="backtest.load").click().run()
    assert again.get_by_key("backtest.costs.sizing").value == "Lots"
    assert again.number_input(key="backtest.costs.amount").value == 0.2
    again.button(key="backtest.run").click().run()
    assert manager.runs()[0].run_settings == run.run_settings


def test_an_account_in_a_currency_without_a_series_is_refused_by_name(open_page: OpenPage, sample_run: str) -> None:
    app = open_page(PAGE)
    app.get_by_key("backtest.costs.account_currency").select("JPY").run()
    app.button(key="backtest.run").click().run()
    assert "USDJPY" in app.error[0].value
    assert len(manager.runs()) == 1


def test_long_data_run_as_a_job(
    open_page: OpenPage, sample_run: str, work_through: Callable[[], list[Job]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("components.panels.backtest._MOST_BARS", 4_999)
    app = open_page(PAGE)
    app.number_input(key="backtest.MA_Crossover.fast_length").set_value(30).run()
    app.button(key="backtest.run").click().run()
    [job] = work_through()
    assert (job.kind, job.status) == ("backtest", JobStatus.SUCCEEDED), job.failure
    app.run()
    assert not app.error
    assert app.session_state["run"] == manager.runs()[0].run_id != sample_run
    assert manager.runs()[0].settings["parameters"]["fast_length"] == 30


def test_the_same_run_again_is_answered_from_the_store_and_says_so(open_page: OpenPage, sample_run: str) -> None:
    app = open_page(PAGE)
    app.button(key="backtest.run").click().run()
    assert [run.run_id for run in manager.runs()] == [sample_run]
    [said] = [each.value for each in app.info]
    assert "is the same run" in said
    app.number_input(key="backtest.spread").set_value(0.7).run()
    app.button(key="backtest.run").click().run()
    assert len(manager.runs()) == 2
    assert not app.info
