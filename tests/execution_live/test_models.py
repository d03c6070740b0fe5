"""A champion at work: its predictions are the wish, its probability the confidence, and too old it says nothing."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from desk_bench import CLIENT, START, SYMBOL, Bench

from core.errors import InputError
from core.job_process import run_job
from data.bar_store import BarStore
from data.pipeline_controller import controller
from execution.live.bars import deployment_bars
from execution.live.black_box import decide_again
from execution.live.decisions import list_decisions
from execution.live.runner import Runner
from execution.live.terms import Limits, Sizing
from execution.live.wish import waiting
from execution.trading_desk import desk
from mql5.bridge.signals import SignalStore
from train import monitor, registry
from train.jobs import queue, train
from train.predict import predict
from train.training_manager import TrainingJob, manager
from workbench import JOBS

EVEN = {"long_above": 0.5, "exit_level": 0.5, "short_below": 0.5}


@pytest.fixture
def model(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> registry.ModelVersion:
    """A small model of M5 bars that end at START, which are history too."""
    monkeypatch.setattr(monitor, "cpu_percent", lambda: 10.0)
    rng = np.random.default_rng(4)
    close = 1.1 * np.exp(rng.normal(0, 2e-4, 500).cumsum())
    opened = np.r_[close[:1], close[:-1]]
    times = pd.date_range(end=START - pd.Timedelta("5min"), periods=500, freq="5min", name="time")
    bars = pd.DataFrame(
        {"open": opened, "high": np.maximum(opened, close), "low": np.minimum(opened, close), "close": close,
         "volume": 5.0},
        index=times,
    )  # fmt: skip
    BarStore().add(SYMBOL, "M5", "Test", bars)
    processed, preprocessing = controller.preprocess(
        bars.assign(symbol=SYMBOL, source="test"), settings={"engineer_features": True}
    )
    version = controller.publish(processed, preprocessing_id=preprocessing)
    manager.submit_job(
        TrainingJob(
            job_id="job", model_name="XGBoost", dataset=version.content_hash, window_length=4, epochs=2,
            features=("return_1", "candle_body"),
        )
    )  # fmt: skip
    job = queue.claim(JOBS.kinds["train"], "test")
    assert job
    run_job(train, queue.begin(job.id, job.attempt))
    return registry.list_models()[0]


def pass_bars(bench: Bench, runner: Runner, count: int) -> None:
    rng = np.random.default_rng(9)
    for _ in range(count):
        bench.bars([round(bench.bid * (1 + rng.normal(0, 2e-4)), 5)], runner=runner)


def test_a_champion_trades_what_it_predicts(bench: Bench, model: registry.ModelVersion) -> None:
    with pytest.raises(InputError, match="is no champion"):
        desk.deploy_model(model.id, client=CLIENT)
    registry.promote(model)
    deployment = desk.deploy_model(
        model.id, client=CLIENT, parameters=EVEN, sizing=Sizing(lots=0.1, stop_pips=40),
        limits=Limits(max_entries_a_day=100),
    )  # fmt: skip
    assert (deployment.origin, deployment.model_id, deployment.timeframe) == ("model", model.id, "M5")
    runner = Runner(deployment.id)
    runner.step()
    bench.tick(round(bench.bid, 5))
    pass_bars(bench, runner, 12)
    decided = list_decisions(deployment.id)[::-1]
    assert len(decided) == 12
    said = predict(model, deployment_bars(desk.deployment(deployment.id)), SYMBOL)
    sides = np.select([said["prediction"] > 0.5, said["prediction"] < 0.5], [1, -1], 0).astype(np.int8)
    expected = pd.Series(waiting(sides, said.index.get_loc(START)), said.index)
    for each in decided:
        row = said.loc[pd.Timestamp(each.bar_time)]
        assert each.wanted == expected[pd.Timestamp(each.bar_time)]
        if each.wanted:
            assert each.confidence == pytest.approx(row["probability_up" if each.wanted > 0 else "probability_down"])
    assert {each.wanted for each in decided} >= {-1, 1}
    assert SignalStore().all()
    assert all(decide_again(each.id).is_same for each in decided)


def test_a_champion_that_is_too_old_says_nothing_and_the_decision_says_so(
    bench: Bench, model: registry.ModelVersion, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry.promote(model)
    deployment = desk.deploy_model(model.id, client=CLIENT, parameters=EVEN)
    runner = Runner(deployment.id)
    runner.step()
    monkeypatch.setenv("SEQUENCE_TRAINING__MODEL_AGE_DAYS", "0.001")
    pass_bars(bench, runner, 2)
    [newest, first] = list_decisions(deployment.id)
    assert (newest.state, first.state) == ("refused", "refused")
    assert "too old to predict" in newest.reason
    assert SignalStore().all() == []
