"""The door: what can be deployed, what is refused and why, and what ends a deployment."""

from __future__ import annotations

from typing import Any

import pandas as pd
import pytest
from desk_bench import CLIENT, START, Bench, deployed, history

from core.errors import InputError, NameTakenError, StrategyError, UnknownNameError
from core.job_process import run_job
from core.jobs import JobStatus
from data.pipeline_controller import controller
from execution.backtest_manager import manager
from execution.costs import Costs
from execution.live.deployments import PAUSED, RUNNING, STOPPED
from execution.live.jobs import deployment
from execution.live.runner import Runner
from execution.live.terms import Limits, Sizing
from execution.trading_desk import desk
from mql5.bridge.signals import SignalStore
from workbench import JOBS


@pytest.fixture
def run_id(bench: Bench) -> str:
    """A stored run of a cross on 200 bars of M5."""
    times = pd.date_range(end=START - pd.Timedelta("5min"), periods=200, freq="5min", name="time")
    closes = [1.1 + 0.001 * ((at // 20) % 3) for at in range(200)]
    bars = pd.DataFrame({"open": closes, "high": closes, "low": closes, "close": closes, "volume": 1.0}, index=times)
    version = controller.enter_bars(bars, "EURUSD", "M5")
    result = manager.run_backtest(
        version, strategy_name="MA_Crossover", parameters={"fast_length": 3, "slow_length": 9},
        costs=Costs(lots=0.2, stop_pips=25),
    )  # fmt: skip
    return manager.save_result("research", result=result).run_id


def test_a_stored_run_is_deployed_with_its_parameters_and_its_size(run_id: str) -> None:
    deployment = desk.deploy_run(run_id, client=CLIENT)
    assert (deployment.origin, deployment.origin_id, deployment.state) == ("run", "research", RUNNING)
    assert deployment.parameters["slow_length"] == 9
    assert (deployment.symbol, deployment.timeframe) == ("EURUSD", "M5")
    assert (deployment.sizing.lots, deployment.sizing.stop_pips) == (0.2, 25)
    [job] = JOBS.open_jobs()
    assert (job.queue, job.kind, job.arguments) == ("trading", "deployment", {"deployment_id": deployment.id})
    assert job.id == deployment.job_id


def test_its_history_is_the_dataset_of_the_run_where_the_store_has_none(run_id: str, bench: Bench) -> None:
    deployment = desk.deploy_run(run_id, client=CLIENT, name="from-a-run")
    runner = Runner(deployment.id)
    runner.step()
    bench.bars([1.1, 1.101], runner=runner)
    newest = desk.decisions(deployment.id)[0]
    assert newest.state == "approved"
    assert newest.inputs["bars"]["count"] == 202
    assert newest.inputs["bars"]["history"].startswith("dataset ")


@pytest.mark.parametrize(
    ("asked", "error", "words"),
    [
        ({"run_id": "reserch"}, UnknownNameError, "Did you mean 'research'"),
        ({"client": "mt5-2"}, UnknownNameError, "No terminal 'mt5-2' was ever heard. Did you mean 'mt5-1'?"),
        ({"name": "no good name"}, InputError, "name='no good name' cannot be used"),
        ({"sizing": {"lots": 0.1, "risk_fraction": 0.01}}, InputError, "give either lots or risk_fraction"),
        ({"limits": {"hours_from": "25:00"}}, InputError, "hours are written as 07:30"),
        ({"limits": {"max_spread": 1}}, InputError, "Did you mean 'max_spread_pips'"),
    ],
)
def test_what_cannot_be_deployed_is_named(
    run_id: str, asked: dict[str, object], error: type[Exception], words: str
) -> None:
    kinds = {"sizing": Sizing, "limits": Limits}

    def deploy(**terms: Any) -> None:
        made = {name: kinds[name](**given) if name in kinds else given for name, given in terms.items()}
        desk.deploy_run(**made)

    with pytest.raises(error, match=f"(?i){words.replace('?', '.')}"):
        deploy(**{"run_id": run_id, "client": CLIENT, **asked})
    assert desk.deployments() == []
    assert JOBS.open_jobs() == []


def test_two_deployments_never_share_a_symbol_on_a_terminal(run_id: str) -> None:
    first = desk.deploy_run(run_id, client=CLIENT, name="one")
    with pytest.raises(InputError, match="'one' trades EURUSD on mt5-1"):
        desk.deploy_run(run_id, client=CLIENT, name="two")
    desk.stop(first.id)
    with pytest.raises(NameTakenError, match="There is a deployment 'one' already"):
        desk.deploy_run(run_id, client=CLIENT, name="one")
    assert desk.deploy_run(run_id, client=CLIENT, name="two").is_open


def test_a_real_account_is_refused_naming_each_switch_that_is_not_set(run_id: str, bench: Bench) -> None:
    bench.trade_mode = "real"
    bench.beat()
    with pytest.raises(InputError, match="real account") as refused:
        desk.deploy_run(run_id, client=CLIENT, limits=Limits(account="real"))
    assert "setting, key, confirmation" in refused.value.cure
    assert desk.deployments() == []


def test_setups_are_deployed_with_parameters_that_are_checked(bench: Bench) -> None:
    with pytest.raises(StrategyError, match="minimum_score"):
        desk.deploy_setups("EURUSD", "H1", client=CLIENT, parameters={"minimum_scor": 3})
    deployment = desk.deploy_setups("EUR/USD", "1h", client=CLIENT, parameters={"minimum_score": 3})
    assert (deployment.strategy_name, deployment.symbol, deployment.timeframe) == ("SMC_Confluence", "EURUSD", "H1")


def test_paused_resumed_and_stopped(run_id: str) -> None:
    deployment = desk.deploy_run(run_id, client=CLIENT)
    assert desk.pause(deployment.id).state == PAUSED
    resumed = desk.resume(deployment.id)
    assert (resumed.state, resumed.job_id) == (RUNNING, deployment.job_id)
    stopped = desk.stop(deployment.id)
    assert stopped.state == STOPPED
    assert JOBS.queues["trading"].job(deployment.job_id or 0).status is JobStatus.CANCELLED
    assert Runner(deployment.id).step().state == STOPPED
    with pytest.raises(InputError, match="was stopped"):
        desk.resume(deployment.id)


def test_a_deployment_whose_job_was_ended_gets_a_new_one_when_it_is_resumed(run_id: str) -> None:
    deployment = desk.deploy_run(run_id, client=CLIENT)
    JOBS.queues["trading"].cancel(deployment.job_id or 0)
    assert desk.resume(deployment.id).job_id != deployment.job_id


def test_stopping_closes_what_is_held_when_it_is_asked_to(bench: Bench) -> None:
    history([1.1] * 12)
    deployment = deployed()
    runner = Runner(deployment.id)
    runner.step()
    bench.bars([1.1, 1.101], runner=runner)
    assert len(bench.positions) == 1
    desk.stop(deployment.id, close=True)
    bench.trade()
    assert bench.positions == []
    assert SignalStore().all()[0]["comment"] == "cross was stopped"


def test_headroom_says_what_each_guard_would_say_now(bench: Bench) -> None:
    deployment = deployed(limits=Limits(max_spread_pips=1.0))
    bench.spread = 0.00012
    bench.tick(1.1)
    verdicts = {verdict.guard: verdict for verdict in desk.headroom(deployment)}
    assert not verdicts["spread"].passed
    assert verdicts["kill switch"].passed
    desk.kill("a test", "to see")
    assert not {verdict.guard: verdict for verdict in desk.headroom(deployment)}["kill switch"].passed


def test_what_ends_its_job_is_told_by_the_deployment_too(run_id: str, monkeypatch: pytest.MonkeyPatch) -> None:
    made = desk.deploy_run(run_id, client=CLIENT)

    def broken(self: Runner) -> None:
        raise StrategyError("The strategy's file is gone.", "Put it back.")

    monkeypatch.setattr(Runner, "step", broken)
    queue = JOBS.queues["trading"]
    job = queue.claim(JOBS.kinds["trading"], "test")
    assert job
    run_job(deployment, queue.begin(job.id, job.attempt))
    assert queue.job(job.id).status is JobStatus.FAILED
    words = desk.deployment(made.id).state_words
    assert words.startswith(f"job {job.id} failed: The strategy's file is gone.")
