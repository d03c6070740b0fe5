"""The page Live: deploy, watch each bar decided and why, kill and arm, hold a day against its backtest."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from execution_live.desk_bench import CLIENT, START, Bench, deployed, history
from seen import table_with, words
from streamlit.testing.v1 import AppTest

import workbench
from core.errors import StrategyError
from core.jobs import Job, JobStatus
from core.kill_switch import is_killed, killed_by, write_kill
from execution.live.decisions import list_decisions
from execution.live.deployments import PAUSED, RUNNING, STOPPED, find_deployment
from execution.live.runner import Runner
from execution.live.terms import Limits
from execution.trading_desk import desk
from mql5.bridge.signals import SignalStore

OpenPage = Callable[..., AppTest]
PAGE = workbench.LIVE.file
FLAT = [1.1] * 12
UP, DOWN = [1.1, 1.101, 1.102, 1.103], [1.095]


def metrics(app: AppTest) -> dict[str, str]:
    return {each.label: each.value for each in app.metric}


def select(app: AppTest, key: str, row: int = 0) -> AppTest:
    app.session_state[key] = {"selection": {"rows": [row], "columns": [], "cells": []}}
    return app.run()


def form(open_page: OpenPage, **query: str) -> AppTest:
    """The page with its form open, as a link from another page opens it."""
    app = open_page(PAGE)
    for name, value in query.items():
        app.query_params[name] = value
    return app.run()


def ok(app: AppTest) -> AppTest:
    assert not app.exception
    assert not app.error
    return app


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Bench:
    """The clock stands at START, a Tuesday; the terminal was heard, with one tick."""
    made = Bench(monkeypatch)
    made.tick(1.1)
    made.beat()
    return made


@pytest.fixture
def at_work(bench: Bench) -> Bench:
    """A cross that went long on its second bar and holds that position."""
    history(FLAT)
    runner = Runner(deployed().id)
    runner.step()
    bench.bars(UP, runner=runner)
    return bench


def test_an_empty_page_says_what_to_do_first_and_has_the_kill_switch(open_page: OpenPage) -> None:
    app = ok(open_page(PAGE))
    said = words(app)
    assert "Nothing is deployed yet" in said
    assert "A terminal" in said
    assert not app.button(key="live.switch.kill").disabled
    assert ":green-badge[kill switch armed]" in said


def test_a_form_without_a_terminal_leads_to_the_bridge(open_page: OpenPage) -> None:
    app = open_page(PAGE)
    app.button(key="live.deploy.open").click().run()
    assert "No terminal was heard yet" in words(ok(app))
    app.button(key="live.deploy.close").click().run()
    assert "No terminal was heard yet" not in words(ok(app))


@pytest.mark.usefixtures("at_work")
def test_a_deployment_shows_its_state_its_position_and_its_next_bar(open_page: OpenPage) -> None:
    app = ok(open_page(PAGE))
    [row] = table_with(app, "Deployment", "Next bar").to_dict("records")
    assert (row["Deployment"], row["State"], row["Decided"]) == ("cross", "trading", "hold long")
    assert (row["Position"], row["Last bar"]) == ("long 0.10", "03-03 08:15")
    assert row["Pips"] == pytest.approx(20.0)
    assert row["Next bar"] == "4:56"
    shown = metrics(app)
    assert (shown["Deployed, demo"], shown["Open positions"], shown["Entries today"]) == ("1", "1", "1")
    assert shown["Floating"] == "+20.0 pips"
    said = words(app)
    assert ":violet-badge[DEMO]" in said
    assert ":blue-badge[replayed time]" in said
    positions = table_with(app, "Opened, UTC", "Stop")
    assert positions.iloc[0][["Side", "Lots", "Price"]].tolist() == ["long", "0.10", "1.10100"]
    feed = table_with(app, "What", "Now").set_index("What")["Now"]
    assert feed["Missing ticks"] == "0"
    assert len(app.get("plotly_chart")) == 1


@pytest.mark.usefixtures("at_work")
def test_a_signal_of_today_is_shown_with_every_step_and_how_long_it_took(open_page: OpenPage) -> None:
    signals = table_with(ok(open_page(PAGE)), "Leased, s", "Ended, s")
    [row] = signals.to_dict("records")
    assert (row["Signal"], row["Side"], row["State"]) == (1, "buy", "executed")
    assert (row["Asked"], row["Filled"], row["Slip"]) == ("1.10100", "1.10100", 0.0)
    steps = [row[f"{step}, s"] for step in ("Pending", "Leased", "Sent", "Ended")]
    assert sum(steps) == pytest.approx(row["In all, s"])
    assert row["In all, s"] == pytest.approx(0.02)


def test_what_was_refused_is_listed_with_the_guard_and_its_words(bench: Bench, open_page: OpenPage) -> None:
    history(FLAT)
    runner = Runner(deployed(limits=Limits(max_spread_pips=0.5, max_risk_pct=None)).id)
    bench.spread = 0.0002
    runner.step()
    bench.bars(UP[:2], runner=runner)
    app = ok(open_page(PAGE, decisions="Why not"))
    [row] = table_with(app, "Wanted", "Guard").to_dict("records")
    assert (row["Wanted"], row["State"], row["Guard"]) == ("open long", "refused", "spread")
    assert row["Why"] == "spread 2.0 pips, at most 0.5"
    assert "An entry would be refused now by: spread" in words(app)
    assert table_with(open_page(PAGE, decisions="Changes"), "Wanted", "Reason")["State"].tolist() == ["refused"]
    assert len(table_with(open_page(PAGE), "Wanted", "Reason")) == 2


def test_an_opened_decision_shows_inputs_guards_and_steps_and_is_decided_again(
    at_work: Bench, open_page: OpenPage
) -> None:
    entered = next(each for each in list_decisions(1) if each.action == "enter")
    app = ok(open_page(PAGE))
    newest = list_decisions(1)[0]
    select(app, f"live.decisions.1.All.{newest.id}.0", 2)
    assert f"Decision {entered.id}: open long" in words(ok(app))
    inputs = table_with(app, "Input", "Value").set_index("Input")["Value"]
    assert inputs["bars count"] == str(entered.inputs["bars"]["count"])
    verdicts = table_with(app, "Guard", "In words")
    assert verdicts["Says"].tolist() == ["passes"] * 13
    states = table_with(app, "State", "By", "What")["State"].tolist()
    assert states == ["decided", "pending", "leased", "sent", "executed"]
    app.button(key="live.again.do").click().run()
    assert "the same answer from the same inputs" in words(ok(app))
    app.button(key="live.again.close").click().run()
    assert "Decision 2: open long" not in words(ok(app))


@pytest.mark.usefixtures("at_work")
def test_a_link_opens_the_decision_it_names_and_a_strange_one_opens_nothing(open_page: OpenPage) -> None:
    assert "Decision 2: open long" in words(open_page(PAGE, deployment="1", decision="2"))
    assert "Decision 2" not in words(ok(open_page(PAGE, deployment="1", decision="99")))
    assert "There is no deployment" in words(open_page(PAGE, deployment="7"))


@pytest.mark.usefixtures("at_work")
def test_a_deployment_is_paused_resumed_and_stopped_with_its_position(open_page: OpenPage) -> None:
    app = open_page(PAGE)
    table = "live.deployments.1"
    app.button(key=f"{table}.pause").click().run()
    assert find_deployment(1).state == PAUSED
    assert table_with(app, "Deployment", "Next bar")["State"].tolist() == ["paused"]
    app.button(key=f"{table}.pause").click().run()
    assert find_deployment(1).state == RUNNING
    app.button(key=f"{table}.stop").click().run()
    assert "Its position (long 0.10) stays open" in words(ok(app))
    app.button(key="live.stop.no").click().run()
    assert find_deployment(1).state == RUNNING
    app.button(key=f"{table}.stop").click().run()
    app.checkbox(key="live.stop.close").check().run()
    app.button(key="live.stop.yes").click().run()
    assert find_deployment(1).state == STOPPED
    assert [row["signal_type"] for row in SignalStore().pending()] == ["CLOSE"]
    assert table_with(ok(app), "Deployment", "Next bar")["State"].tolist() == ["stopped"]
    assert app.button(key=f"{table}.pause").disabled


@pytest.mark.usefixtures("bench")
def test_a_deployment_whose_job_has_failed_says_why_and_begins_again(
    open_page: OpenPage, work_through: Callable[[], list[Job]], sample_run: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(self: Runner) -> None:
        raise StrategyError("The strategy's file is gone.", "Put it back.")

    monkeypatch.setattr(Runner, "step", broken)
    made = desk.deploy_run(sample_run, client=CLIENT)
    work_through()
    app = ok(open_page(PAGE))
    assert table_with(app, "Deployment", "Next bar")["State"].tolist() == ["failed"]
    assert "The strategy's file is gone. Mend it, then begin again." in words(app)
    again = app.button(key="live.deployments.1.pause")
    assert again.label == f"Begin again {made.name}"
    ok(again.click().run())
    job = find_deployment(made.id).job_id
    assert job is not None
    assert job != made.job_id
    assert workbench.JOBS.queues["trading"].job(job).status is JobStatus.QUEUED


@pytest.mark.usefixtures("at_work")
def test_one_click_kills_and_two_steps_arm(open_page: OpenPage) -> None:
    app = open_page(PAGE)
    assert [each.label for each in app.checkbox] == ["also close 1 position"]
    app.text_input(key="live.switch.reason").set_value("news in five minutes")
    app.button(key="live.switch.kill").click().run()
    killed = killed_by()
    assert killed is not None
    assert (killed["by"], killed["reason"], killed["close_positions"]) == ("page Live", "news in five minutes", False)
    [box] = app.error
    assert "news in five minutes" in box.value
    assert table_with(app, "Deployment", "Next bar")["State"].tolist() == ["killed"]
    assert ":red-badge[every entry stopped]" in words(app)
    app.button(key="live.switch.ask").click().run()
    code = app.session_state["live.switch.code"]
    app.text_input(key="live.switch.typed").set_value("WRONG")
    app.button(key="live.switch.arm").click().run()
    assert is_killed()
    assert len(app.error) == 2
    assert len(app.run().error) == 2  # the page is redrawn every two seconds: the reason stays long enough to be read
    app.text_input(key="live.switch.typed").set_value(code)
    app.button(key="live.switch.arm").click().run()
    assert not is_killed()
    assert table_with(ok(app), "What", "By", "Why")["What"].tolist() == ["armed", "arming", "killed"]


@pytest.mark.usefixtures("at_work")
def test_a_kill_may_close_what_is_open(open_page: OpenPage) -> None:
    app = open_page(PAGE)
    app.checkbox(key="live.switch.close").check().run()
    app.button(key="live.switch.kill").click().run()
    assert "Positions are being closed" in app.error[0].value
    assert [row["signal_type"] for row in SignalStore().pending()] == ["CLOSE"]


def test_a_kill_that_came_by_a_file_is_shown_with_what_the_file_says(open_page: OpenPage, home: Path) -> None:
    write_kill("terminal mt5-1", "its own switch")
    app = open_page(PAGE)
    assert "by terminal mt5-1: its own switch" in words(app)
    (home / "output_central" / "KILL").write_text("stop it", encoding="utf-8")
    assert "by file: stop it" in words(open_page(PAGE))


@pytest.mark.usefixtures("at_work")
def test_the_kill_switch_works_while_the_deployments_cannot_be_read(open_page: OpenPage, home: Path) -> None:
    file = home / "output_central" / "trading.db"
    for beside in (file.with_name(f"{file.name}-wal"), file.with_name(f"{file.name}-shm")):
        beside.unlink(missing_ok=True)
    file.write_bytes(b"this is no database at all" * 100)
    app = open_page(PAGE)
    assert not app.exception
    assert any("trading.db" in each.value.replace("\\", "") for each in app.error)
    app.button(key="live.switch.kill").click().run()
    assert not app.exception
    assert is_killed()


def test_a_run_is_deployed_by_the_form_that_a_link_fills(bench: Bench, open_page: OpenPage, sample_run: str) -> None:
    app = ok(form(open_page, deploy="run", run=sample_run))
    said = words(app)
    assert "On each closed **H1** bar of **EURUSD**, made from the ticks of **mt5-1** (DEMO" in said
    assert "with a stop 30.0 pips away where the strategy gives none" in said
    assert "Real money: 0 of 3 switches are set" in [each.label for each in app.expander]
    app.number_input(key="live.deploy.limits.max_entries_a_day").set_value(4)
    app.text_input(key="live.deploy.name").set_value("first-try").run()
    assert "at most 4 entries a day" in words(app)
    app.button(key="live.deploy.do").click().run()
    [made] = desk.deployments()
    assert (made.name, made.origin_id, made.client) == ("first-try", sample_run, CLIENT)
    assert (made.sizing.lots, made.sizing.stop_pips, made.limits.max_entries_a_day) == (0.01, 30.0, 4)
    assert made.job_id is not None
    assert "live.deploy.do" not in [each.key for each in app.button]
    assert table_with(ok(app), "Deployment", "Next bar")["Deployment"].tolist() == ["first-try"]
    assert "No bar has closed since it was deployed" in words(app)


def test_what_cannot_be_deployed_is_refused_with_its_cure_and_nothing_is_stored(
    bench: Bench, open_page: OpenPage, sample_run: str
) -> None:
    app = form(open_page, deploy="run", run=sample_run)
    app.text_input(key="live.deploy.name").set_value("no spaces here").run()
    app.button(key="live.deploy.do").click().run()
    assert any("cannot be used as a name" in each.value for each in app.error)
    assert desk.deployments() == []
    app.text_input(key="live.deploy.limits.hours_from").set_value("soon").run()
    assert any("written as 07:30" in each.value.replace("\\", "") for each in app.error)


@pytest.mark.usefixtures("bench")
def test_setups_are_deployed_by_symbol_and_timeframe(open_page: OpenPage) -> None:
    app = ok(form(open_page, deploy="setups", symbol="EURUSD", tf="M15"))
    app.button(key="live.deploy.do").click().run()
    [made] = desk.deployments()
    assert (made.origin, made.strategy_name, made.timeframe) == ("setup", "SMC_Confluence", "M15")
    ok(app)


@pytest.mark.usefixtures("bench")
def test_a_form_for_what_is_not_there_says_where_it_comes_from(open_page: OpenPage) -> None:
    assert "No run of a strategy is stored" in words(ok(form(open_page, deploy="run")))
    assert "No model is champion yet" in words(ok(form(open_page, deploy="model")))


def test_real_money_waits_for_three_switches_and_says_which_are_set(
    bench: Bench, open_page: OpenPage, sample_run: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.trade_mode = "real"
    bench.beat()
    app = ok(form(open_page, deploy="run", run=sample_run))
    assert app.button(key="live.deploy.not_yet").disabled
    assert ":orange-badge[REAL MONEY]" in words(app)
    app.text_input(key="live.deploy.confirmation").set_value("REAL MONEY ON 5012345").run()
    assert "Real money: 1 of 3 switches are set" in [each.label for each in app.expander]
    assert app.button(key="live.deploy.not_yet").disabled
    assert app.button(key="live.deploy.not_yet").label == "Deploy with real money"


def test_a_deployment_that_has_not_begun_has_no_day_to_compare(bench: Bench, open_page: OpenPage) -> None:
    history(FLAT)
    made = deployed()
    app = ok(open_page(PAGE))
    assert "It has not begun" in words(app)
    Runner(made.id).step()
    assert "It has not begun" not in words(ok(app.run()))


@pytest.mark.usefixtures("at_work")
def test_a_day_is_reconciled_and_its_differences_are_named(open_page: OpenPage) -> None:
    app = ok(open_page(PAGE, deployment="1"))
    assert "No day was reconciled yet" in words(app)
    app.button(key="live.reconcile.do").click().run()
    shown = metrics(ok(app))
    assert (shown["Backtest"], shown["Terminal"], shown["Parity"]) == ("1", "1", "100.00 %")
    assert "All 1 trades agree" in words(app)
    assert len(desk.parity(1)) == 1
    assert shown["Parity, 5 days"] == "100.00 %"
    assert len(app.get("plotly_chart")) == 2


def test_what_was_closed_today_is_added_up_with_its_costs(at_work: Bench, open_page: OpenPage) -> None:
    assert metrics(ok(open_page(PAGE)))["Closed today"] == "–"
    at_work._report(
        "out",
        "short",
        deal=991,
        position=101,
        price=1.104,
        volume=0.1,
        reason="sl",
        profit=30.0,
        commission=-0.7,
        swap=-0.2,
    )
    assert metrics(ok(open_page(PAGE)))["Closed today"] == "+29.10 USD"


def test_a_trade_by_hand_is_an_extra_one(at_work: Bench, open_page: OpenPage) -> None:
    at_work._report("in", "short", deal=990, position=990, price=1.103, volume=0.5, reason="client")
    at_work.bars([1.103])
    app = open_page(PAGE, deployment="1", day=f"{START:%Y-%m-%d}")
    app.button(key="live.reconcile.all").click().run()
    differences = table_with(ok(app), "Difference", "Reason")
    assert differences["Difference"].tolist() == ["extra"]
    assert differences["Reason"].str.len().min() > 10


@pytest.mark.usefixtures("at_work")
def test_the_overview_says_it_in_one_line(open_page: OpenPage, sample_run: str) -> None:
    said = words(ok(open_page(workbench.OVERVIEW.file)))
    assert "1 of 1 trading · 1 open +20.0 pips · 1 entries today, 0 refused" in said
    write_kill("me", "enough")
    assert ":red[every entry stopped]" in words(open_page(workbench.OVERVIEW.file))


def test_a_terminal_that_was_never_heard_and_one_that_does_not_tell_are_said(
    at_work: Bench, open_page: OpenPage
) -> None:
    at_work.reports = False
    at_work.beat()
    app = ok(open_page(PAGE))
    assert table_with(app, "Deployment", "Next bar")["Position"].tolist() == ["–"]
    assert "does not tell its positions" in words(app)
    assert [each.label for each in app.checkbox] == ["also close open positions"]


def test_demo_and_real_money_never_share_a_table(at_work: Bench, open_page: OpenPage) -> None:
    from mql5.bridge.messages import Heartbeat
    from mql5.bridge.terminals import TerminalStore

    TerminalStore().beat(Heartbeat(client="vault", login="7", trade_mode="real", currency="EUR", open_positions=[]))
    deployed(name="second", client="vault")
    app = ok(open_page(PAGE))
    tables = [each.value for each in app.dataframe if "Next bar" in each.value.columns]
    assert [list(table["Deployment"]) for table in tables] == [["second"], ["cross"]]
    shown = metrics(app)
    assert (shown["Deployed, real"], shown["Deployed, demo"]) == ("1", "1")
    select(app, "live.deployments.1")
    assert app.session_state["deployment"] == "1"
    assert app.query_params["deployment"] in ("1", ["1"])


def test_a_stored_run_leads_to_its_form(open_page: OpenPage, sample_run: str) -> None:
    app = open_page(workbench.BACKTESTING.file)
    app.button(key="backtest.deploy").click().run()
    assert not app.exception
    assert [each.value for each in app.title] == ["Live"]
    asked = {name: app.query_params[name] for name in ("deploy", "run")}
    assert asked in ({"deploy": "run", "run": sample_run}, {"deploy": ["run"], "run": [sample_run]})
    assert "No terminal was heard yet" in words(app)
