"""Training in Chromium: submit, watch, kill the worker, see it resume, promote, backtest the predictions."""

from __future__ import annotations

import re
from typing import Any

import psutil
import pytest
from playwright.sync_api import expect

from core.heartbeats import processes
from core.jobs import JobStatus
from data.pipeline_controller import controller
from execution.backtest_manager import manager as backtests
from train.registry import list_models
from train.training_manager import manager

pytestmark = [
    pytest.mark.browser,
    pytest.mark.standing,
    pytest.mark.usefixtures("sample_run"),
]


def fill(bench: Any, key: str, value: object) -> None:
    field = bench.page.locator(f'[class*="st-key-{key}"] input').first
    field.fill(str(value))
    field.press("Enter")
    expect(field).to_have_value(str(value))


def test_a_killed_worker_does_not_end_a_training(bench: Any) -> None:
    bench.open("/training?model=GRU", "Training Hub")
    fill(bench, "train-epochs", 8)
    bench.page.get_by_text("Early stopping", exact=True).click()  # all eight epochs are to be trained
    fill(bench, "train-length", 48)
    bench.press("train-submit")
    expect(bench.page.get_by_text(re.compile(r"epoch [1-7] of 8")).first).to_be_visible()
    [worker] = [process for process in processes("worker") if process.is_alive]
    psutil.Process(worker.pid).kill()
    expect(bench.page.get_by_text("epoch 8 of 8").first).to_be_visible(timeout=60_000)
    expect(bench.page.get_by_test_id("stMetric").filter(has_text="Succeeded")).to_contain_text("1")
    expect(bench.page.get_by_text("No job runs or waits")).to_be_visible()
    [row] = manager.history()
    assert (row["status"], row["attempt"]) == (JobStatus.SUCCEEDED, 2)
    assert [each["epoch"] for each in manager.epochs_of(row["job_id"])] == list(range(1, 9))


def test_a_models_predictions_are_backtested_on_bars_it_had_not_seen(bench: Any) -> None:
    bench.open("/training?model=Random Forest", "Training Hub")
    fill(bench, "train-epochs", 2)
    bench.press("train-submit")
    expect(bench.page.get_by_text("EURUSD H1 direction 5 v1", exact=False).first).to_be_attached()
    expect(bench.page.get_by_test_id("stMetric").filter(has_text="Succeeded")).to_contain_text("1")
    [model] = list_models()
    bench.open(f"/model?model={model.id}", "Model")
    expect(bench.page.get_by_test_id("stMetric").filter(has_text="Baseline")).to_contain_text("0.5000")
    bench.page.get_by_role("button", name="Backtest its predictions").click()
    bench.press("model-predict")
    bench.settled("Backtesting")
    bench.press("backtest-run")
    expect(bench.page.get_by_text("Predictions_EURUSD_H1_1").first).to_be_visible()
    run = backtests.run("Predictions_EURUSD_H1_1")
    assert run.dataset_hash == controller.versions()[0].content_hash
    assert run.first_time > model.card["parts"]["validation"]["until"]
