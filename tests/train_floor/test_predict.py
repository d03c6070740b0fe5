"""Predictions for new bars: as the trainer itself predicts, known at the close, and out of sample unless asked."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest

from core.errors import InputError, ModelError, UnknownNameError
from core.job_process import run_job
from data.pipeline_controller import controller
from data.versions import DatasetVersion
from execution.backtest_manager import manager as backtests
from train import monitor, registry
from train.jobs import queue, train
from train.predict import OUT_OF_SAMPLE, predict, write_predictions
from train.training_manager import TrainingJob, manager
from workbench import JOBS

Walk = Callable[..., pd.DataFrame]


@pytest.fixture(autouse=True)
def idle_processors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(monitor, "cpu_percent", lambda: 10.0)


def prepared(bars: pd.DataFrame) -> DatasetVersion:
    """Bars with the columns of the standard preprocessing, normalised on their first part."""
    frame = bars.assign(symbol="EURUSD", source="test")
    processed, preprocessing = controller.preprocess(
        frame, settings={"normalize": True, "normalization_method": "zscore", "engineer_features": True}
    )
    return controller.publish(processed, preprocessing_id=preprocessing)


@pytest.fixture
def version(walk: Walk) -> DatasetVersion:
    return prepared(walk(600))


def trained(version: DatasetVersion, **fields: Any) -> registry.ModelVersion:
    asked: dict[str, Any] = {
        "job_id": "job",
        "model_name": "XGBoost",
        "window_length": 8,
        "epochs": 2,
        "features": ("return_1", "close_zscore", "candle_body"),
        **fields,
    }
    manager.submit_job(TrainingJob(dataset=version.content_hash, **asked))
    job = queue.claim(JOBS.kinds["train"], "test")
    assert job
    run_job(train, queue.begin(job.id, job.attempt))
    assert manager.get_job_status(asked["job_id"])["failure"] is None
    return registry.list_models()[0]


def test_new_bars_get_the_answers_that_the_same_bars_had_in_training(version: DatasetVersion, walk: Walk) -> None:
    model = trained(version)
    of_version = predict(model, version)
    of_bars = predict(model, walk(600))  # raw bars: preprocessing is applied as it was stored
    pd.testing.assert_frame_equal(of_version, of_bars)
    test = of_version[of_version["part"] == "test"].dropna()
    assert len(test) >= model.card["parts"]["test"]["samples"]
    truth = np.append(np.diff(walk(600)["close"]), np.nan)
    known = of_version.loc[of_version.index >= pd.Timestamp(model.card["parts"]["test"]["first_prediction"])]
    known = known[known["prediction"].notna()].iloc[:-1]
    direction = truth[of_version.index.get_indexer(known.index)] > 0
    assert pair_share(known["prediction"].to_numpy(), direction) == pytest.approx(model.metric)


def pair_share(scores: np.ndarray[Any, Any], came: np.ndarray[Any, Any]) -> float:
    """The share of pairs ranked right, ties half: the AUC by its definition."""
    higher, lower = scores[came][:, None], scores[~came][None, :]
    return float(((higher > lower) + 0.5 * (higher == lower)).mean())


def test_a_prediction_is_known_at_the_close_and_no_later_bar_changes_it(version: DatasetVersion, walk: Walk) -> None:
    model = trained(version)
    whole = predict(model, walk(600))
    assert (whole["known_at"] == whole.index + pd.Timedelta("1h")).all()
    for rows in (60, 200, 599):
        part = predict(model, walk(600).iloc[:rows])
        pd.testing.assert_frame_equal(part, whole.iloc[:rows])


def test_each_bar_says_what_the_model_had_seen_of_it(version: DatasetVersion, walk: Walk) -> None:
    model = trained(version, horizon=5)
    later = walk(700).iloc[:]
    parts = predict(model, later)["part"]
    assert parts.iloc[0] == "before"  # bars that features need to warm up, before the first window
    assert list(dict.fromkeys(parts)) == ["before", "train", "validation", "test", "new"]
    until = pd.Timestamp(model.card["parts"]["train"]["until"])
    assert (parts[:until].isin(["before", "train"])).all()
    # The last training target reads five bars beyond its window: they count to the training part.
    last = parts[parts == "train"].index[-1]
    assert last == until
    assert (parts[later.index[600] :] == "new").all()


def test_probabilities_and_predictions_fit_the_target(version: DatasetVersion, walk: Walk) -> None:
    direction = predict(trained(version), walk(600)).dropna()
    assert list(direction.columns) == [
        "known_at", "prediction", "probability_down", "probability_up", "part", "model_id",
    ]  # fmt: skip
    assert np.allclose(direction["probability_down"] + direction["probability_up"], 1)
    assert (direction["prediction"] == direction["probability_up"]).all()
    barrier = predict(trained(version, job_id="b", target="triple_barrier", horizon=5), walk(600)).dropna()
    assert (barrier["prediction"] == barrier["probability_up"] - barrier["probability_down"]).all()
    assert "probability_none" in barrier
    value = predict(trained(version, job_id="c", target="volatility", horizon=5), walk(600)).dropna()
    assert [name for name in value if name.startswith("probability")] == []
    assert (value["prediction"].abs() < 0.1).all()


def test_bars_of_another_symbol_or_timeframe_or_without_a_column_are_refused(
    version: DatasetVersion, walk: Walk
) -> None:
    model = trained(version)
    with pytest.raises(InputError, match="trained on EURUSD and is asked for GBPUSD"):
        predict(model, walk(100), symbol="GBPUSD")
    with pytest.raises(InputError, match="asked for H4"):
        predict(model, walk(100).resample("4h").agg(dict.fromkeys(walk(1).columns, "last")))
    news = version.frame().assign(news_tone=np.linspace(-1, 1, 600))
    other = trained(controller.publish(news), job_id="n", features=("return_1", "news_tone"))
    with pytest.raises(InputError, match="reads the column 'news_tone'"):
        predict(other, walk(600))
    assert predict(other, walk(600).assign(news_tone=0.5))["prediction"].notna().any()


def test_too_few_bars_give_no_prediction_rather_than_a_wrong_one(version: DatasetVersion, walk: Walk) -> None:
    assert predict(trained(version), walk(5))["prediction"].isna().all()


def test_an_expired_model_gives_none_and_a_damaged_champion_gives_way(
    version: DatasetVersion, walk: Walk, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = registry.promote(trained(version))
    second = registry.promote(trained(version, job_id="second", seed=5))
    assert set(predict(second.task, walk(200))["model_id"]) == {second.id}
    (second.path / "model.json").write_bytes(b"{}")
    served = predict(second.task, walk(200))
    assert set(served["model_id"]) == {first.id}
    assert str(second.path) in served.attrs["remark"]
    monkeypatch.setattr(registry.ModelVersion, "age_days", 91.0)
    with pytest.raises(ModelError, match="too old"):
        predict(second.task, walk(200))


def test_written_predictions_are_those_of_bars_that_the_model_had_not_seen(version: DatasetVersion, walk: Walk) -> None:
    model = trained(version)
    later = prepared(walk(700))
    written = write_predictions(model, later)
    said = predict(model, later)
    said = said[said["part"].isin(OUT_OF_SAMPLE)]
    bars = written.bars()
    assert bars.index.equals(said.index)
    assert np.array_equal(bars["prediction"], said["prediction"])
    assert np.array_equal(bars["prediction_up"], said["probability_up"])
    assert written.tags == ["predictions"]
    assert model.label in (written.note or "")
    run = backtests.run_backtest(
        written, strategy_name="Predictions", parameters={"long_above": 0.5, "short_below": 0.5, "exit_level": 0.5}
    )
    assert run["# Trades"] > 0


def test_predictions_of_a_model_that_looks_ahead_are_marked(walk: Walk) -> None:
    frame = walk(600).assign(symbol="EURUSD", source="test")
    processed, preprocessing = controller.preprocess(
        frame, settings={"normalize": True, "normalization_method": "zscore", "fit_on": "all"}
    )
    version = controller.publish(processed, preprocessing_id=preprocessing)
    assert version.looks_ahead
    model = trained(
        version, features=("return_1", "close_zscore"), overrides=("looks_ahead",), override_reason="a test"
    )
    written = write_predictions(model, version)
    assert "looks ahead" in written.tags
    assert "know later bars" in (written.note or "")
    with pytest.raises(InputError, match="know later bars"):
        predict(model, walk(100))  # for new bars such columns cannot be made


def test_seen_bars_are_written_only_when_they_are_asked_for_by_name(version: DatasetVersion, walk: Walk) -> None:
    model = trained(version)
    early = prepared(walk(600).iloc[:300])
    with pytest.raises(InputError, match="had seen every bar"):
        write_predictions(model, early)
    with pytest.raises(UnknownNameError, match="Did you mean 'train'"):
        write_predictions(model, early, include=["training"])
    written = write_predictions(model, early, include=["train"])
    assert "in-sample" in written.tags
    assert "no evidence" in (written.note or "")
    with pytest.raises(InputError, match="already"):
        write_predictions(model, early, column="close", include=["train"])
