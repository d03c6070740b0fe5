from __future__ import annotations

from collections.abc import Callable

import pandas as pd

from data.pipeline_controller import controller

MadeBars = Callable[..., pd.DataFrame]
STEPS = ["collections", "preprocessing", "validation", "versions"]


def test_an_empty_workbench_has_an_empty_status() -> None:
    assert controller.get_pipeline_status() == {step: [] for step in [*STEPS, "running"]}


def test_the_status_lists_the_rows_of_each_step(sample: pd.DataFrame) -> None:
    frame, preprocessing_id = controller.preprocess(sample, None, {"normalize": True})
    _, validation_id = controller.validate(frame)
    version = controller.publish(frame, None, preprocessing_id, validation_id)
    status = controller.get_pipeline_status()
    assert list(status) == [*STEPS, "running"]
    assert status["collections"] == []
    assert [row["id"] for row in status["preprocessing"]] == [preprocessing_id]
    assert [row["id"] for row in status["validation"]] == [validation_id]
    assert status["versions"][0]["content_hash"] == version.content_hash
    assert status["versions"][0]["symbols"] == []
    assert status["running"] == []


def test_only_the_newest_twenty_are_listed_newest_first(made: MadeBars) -> None:
    bars = made([1.0, 2.0])
    ids = [controller.validate(bars)[1] for _ in range(23)]
    assert [row["id"] for row in controller.get_pipeline_status()["validation"]] == ids[:2:-1]


def test_the_number_of_versions_listed_can_be_limited(made: MadeBars) -> None:
    for close in (1.0, 2.0, 3.0):
        controller.publish(made([close, close]))
    assert [version.rows for version in controller.versions(limit=2)] == [2, 2]
    assert len(controller.versions()) == 3
