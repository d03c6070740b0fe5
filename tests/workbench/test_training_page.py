"""The Training Hub and the model card: from the form over the job to a backtest of predictions."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from streamlit.testing.v1 import AppTest

import workbench
from core.jobs import Job, JobStatus
from data.pipeline_controller import controller
from train.registry import Stage, list_models
from train.training_manager import manager

OpenPage = Callable[..., AppTest]
WorkThrough = Callable[[], list[Job]]


def words(app: AppTest) -> str:
    return "\n".join(str(each.value) for kind in ("caption", "markdown", "warning") for each in app.get(kind))


def metrics(app: AppTest) -> dict[str, str]:
    return {each.label: each.value for each in app.metric}


@pytest.fixture
def form(open_page: OpenPage, sample_run: str) -> AppTest:
    """The form with a small forest in it."""
    app = open_page(workbench.TRAINING.file)
    app.get_by_key("model").select("Random Forest").run()
    app.number_input(key="train.epochs").set_value(2)
    app.number_input(key="train.Random Forest.trees_per_epoch").set_value(3)
    return app.run()


@pytest.fixture
def trained(form: AppTest, work_through: WorkThrough) -> AppTest:
    form.button(key="train.submit").click().run()
    [job] = work_through()
    assert job.status is JobStatus.SUCCEEDED, job.failure
    form.run()
    assert not form.exception
    assert not form.error
    return form


def test_a_form_made_of_the_models_declaration_queues_a_job(form: AppTest) -> None:
    assert "needs about" in words(form)
    form.button(key="train.submit").click().run()
    [row] = manager.history()
    assert (row["model_name"], row["epochs"], row["status"]) == ("Random Forest", 2, "QUEUED")
    assert "main.py --mode worker" in row["waiting_reason"]
    [queue] = [each.value for each in form.dataframe if "Epoch" in each.value]
    assert queue["Why"].tolist() == [row["waiting_reason"]]


def test_a_trained_job_shows_its_curves_and_its_model_beside_the_baseline(trained: AppTest) -> None:
    assert metrics(trained)["Succeeded"] == "1"
    [registry] = [each.value for each in trained.dataframe if "Beyond shuffled" in each.value]
    assert registry["Stage"].tolist() == ["candidate"]
    assert registry["Baseline"].tolist() == [0.5]
    assert "best epoch" in words(trained)


def test_a_card_says_what_a_model_is_worth_and_what_made_it(trained: AppTest, open_page: OpenPage) -> None:
    app = open_page(workbench.MODEL.file)
    assert not app.exception
    assert not app.error
    [figures] = [each.value for each in app.dataframe if "Better is" in each.value]
    assert figures["Figure"].tolist()[:3] == ["AUC", "Log loss", "Brier score"]
    assert "permuted labels reach in 95 of 100 rounds" in words(app)
    assert metrics(app)["Baseline"] == "0.5000"


def test_predictions_of_unseen_bars_become_a_dataset(trained: AppTest, open_page: OpenPage) -> None:
    [model] = list_models()
    app = open_page(workbench.MODEL.file)
    app.button(key="model.predict").click().run()
    written = controller.versions()[0]
    assert "prediction" in written.columns
    assert "predictions" in written.tags
    assert "in-sample" not in written.tags
    assert written.rows < model.card["dataset"]["rows"] / 3


def test_a_selected_model_is_promoted_and_archived(trained: AppTest) -> None:
    select = {"selection": {"rows": [0], "columns": [], "cells": []}}
    trained.session_state["models.table"] = select
    trained.run()
    trained.button(key="models.promote").click().run()
    assert [each.stage for each in list_models()] == [Stage.CHAMPION]
    trained.session_state["models.table"] = select
    trained.run()
    trained.button(key="models.archive").click().run()
    assert [each.stage for each in list_models()] == [Stage.ARCHIVED]


def test_a_selected_job_is_cancelled_and_begun_anew(form: AppTest) -> None:
    form.button(key="train.submit").click().run()
    form.session_state["train.queue"] = {"selection": {"rows": [0], "columns": [], "cells": []}}
    form.run()
    form.button(key="train.act.cancel").click().run()
    assert manager.history()[0]["status"] == "CANCELLED"
    form.session_state["train.queue"] = {"selection": {"rows": [0], "columns": [], "cells": []}}
    form.run()
    form.button(key="train.act.retry").click().run()
    assert manager.history()[0]["status"] == "QUEUED"


def test_a_failed_dataset_is_trained_on_only_when_it_is_named(open_page: OpenPage, sample_run: str) -> None:
    bars = controller.versions()[0].bars("EURUSD").iloc[:50]
    result, validation_id = controller.validate(bars.assign(symbol="EURUSD", source="test"))
    assert result["status"] == "FAIL"
    controller.publish(bars.assign(symbol="EURUSD", source="test"), validation_id=validation_id)
    app = open_page(workbench.TRAINING.file)
    assert "not fit to train on: it failed its validation" in words(app)
