"""Model versions: their stages, the way back, age, and files that are no longer what was registered."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable
from datetime import datetime, timedelta

import pytest

from core.clock import utc_now
from core.errors import InputError, ModelError, UnknownNameError
from train import registry
from train.registry import ModelVersion, Stage

Enter = Callable[..., ModelVersion]
TASK = "EURUSD H1 direction 5"


@pytest.fixture
def enter(home: object) -> Enter:
    """Register a model whose one file holds its job_id."""

    def make(job_id: str, task: str = TASK) -> ModelVersion:
        folder = registry.models_folder() / job_id / "model-1"
        folder.mkdir(parents=True)
        (folder / "model.json").write_text(job_id, encoding="utf-8")
        values = {
            "task": task,
            "job_id": job_id,
            "model_name": "XGBoost",
            "symbol": "EURUSD",
            "timeframe": "H1",
            "target": "direction 5",
            "dataset_version_id": 1,
            "dataset_hash": "0" * 64,
            "folder": f"models/{job_id}/model-1",
            "files": {"model.json": hashlib.sha256(job_id.encode()).hexdigest()},
            "metric_name": "auc",
            "metric": 0.55,
            "baseline_metric": 0.5,
            "card": {},
        }
        with registry.store.write() as connection:
            return registry.enter_model(connection, values)

    return make


@pytest.fixture
def later(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Let so many days pass."""
    now = utc_now()

    def pass_days(days: float) -> None:
        monkeypatch.setattr(registry, "utc_now", lambda: moved(now, days))

    return pass_days


def moved(now: datetime, days: float) -> datetime:
    return now + timedelta(days=days)


def stages() -> dict[str, Stage]:
    return {model.job_id: model.stage for model in registry.list_models(TASK)}


def test_an_absent_database_has_no_models_and_no_champion() -> None:
    assert (registry.list_models(), registry.tasks(), registry.champion(TASK)) == ([], [], None)
    with pytest.raises(UnknownNameError):
        registry.find_model(TASK)


def test_versions_are_counted_within_their_task(enter: Enter) -> None:
    made = [enter("a"), enter("b"), enter("c", "GBPUSD H1 direction 5"), enter("d")]
    assert [model.version for model in made] == [1, 2, 1, 3]
    assert {model.stage for model in made} == {Stage.CANDIDATE}
    assert registry.tasks() == ["EURUSD H1 direction 5", "GBPUSD H1 direction 5"]
    assert [model.job_id for model in registry.list_models(TASK)] == ["d", "b", "a"]


def test_a_model_is_found_by_id_by_job_and_as_champion_of_its_task(enter: Enter) -> None:
    first = enter("a")
    assert registry.find_model(first.id) == registry.find_model(str(first.id)) == registry.find_model("a") == first
    with pytest.raises(InputError, match="has no champion"):
        registry.find_model(TASK)
    registry.promote(first)
    assert registry.find_model(TASK).id == first.id
    with pytest.raises(UnknownNameError, match="Did you mean 'EURUSD H1 direction 5'"):
        registry.find_model("EURUSD H1 direction 4")


def test_the_champion_that_is_replaced_is_archived_and_comes_back_by_one_call(enter: Enter) -> None:
    for name in "abc":
        registry.promote(enter(name))
    assert stages() == {"a": Stage.ARCHIVED, "b": Stage.ARCHIVED, "c": Stage.CHAMPION}
    assert registry.rollback(TASK).job_id == "b"
    assert stages() == {"a": Stage.ARCHIVED, "b": Stage.CHAMPION, "c": Stage.ARCHIVED}
    assert registry.rollback(TASK).job_id == "a"
    with pytest.raises(InputError, match="replaced no other"):
        registry.rollback(TASK)
    assert registry.promote("c").stage is Stage.CHAMPION  # forward again


def test_two_who_promote_at_once_leave_one_champion(enter: Enter) -> None:
    models = [enter(str(name)) for name in "abcdef"]
    together = threading.Barrier(len(models))

    def promote(model: ModelVersion) -> None:
        together.wait()
        registry.promote(model)

    threads = [threading.Thread(target=promote, args=(model,)) for model in models]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(stages().values()) == [*[Stage.ARCHIVED] * 5, Stage.CHAMPION]


def test_an_archived_champion_leaves_its_task_without_one(enter: Enter) -> None:
    registry.promote(enter("a"))
    registry.archive("a")
    assert registry.champion(TASK) is None


def test_a_champion_is_not_deleted_and_another_takes_its_files_along(enter: Enter) -> None:
    first, second = enter("a"), enter("b")
    registry.promote(first)
    registry.promote(second)
    with pytest.raises(InputError, match="is champion"):
        registry.delete_model(second)
    registry.delete_model(first)
    assert not first.path.exists()
    with pytest.raises(InputError, match="replaced no other"):
        registry.rollback(TASK)


@pytest.mark.parametrize("content", [b"swapped", None])
def test_a_damaged_champion_is_refused_by_name_and_the_one_before_serves(enter: Enter, content: bytes | None) -> None:
    first, second = enter("a"), enter("b")
    registry.promote(first)
    registry.promote(second)
    assert registry.serving(TASK) == (registry.find_model(second.id), None)
    file = second.path / "model.json"
    if content is None:
        file.unlink()
    else:
        file.write_bytes(content)
    serves, words = registry.serving(TASK)
    assert serves.id == first.id
    assert words
    assert str(file) in words
    assert "v1" in words
    (first.path / "model.json").write_bytes(b"damaged too")
    with pytest.raises(ModelError, match=r"model\.json"):
        registry.serving(TASK)


def test_a_damaged_candidate_is_not_promoted(enter: Enter) -> None:
    registry.promote(enter("a"))
    second = enter("b")
    (second.path / "model.json").write_bytes(b"swapped")
    with pytest.raises(ModelError, match="damaged or was swapped"):
        registry.promote(second)
    assert stages() == {"a": Stage.CHAMPION, "b": Stage.CANDIDATE}


def test_an_expired_champion_gives_no_predictions_and_says_so(
    enter: Enter, later: Callable[[float], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    registry.promote(enter("a"))
    later(89)
    registry.serving(TASK)
    later(91)
    with pytest.raises(ModelError, match="91 days ago and is too old"):
        registry.serving(TASK)
    with pytest.raises(ModelError, match="too old"):
        registry.promote(enter("b"))
    monkeypatch.setenv("SEQUENCE_TRAINING__MODEL_AGE_DAYS", "0")
    registry.serving(TASK)


def test_a_note_is_kept_and_cleared(enter: Enter) -> None:
    enter("a")
    assert registry.annotate_model("a", "the good one").note == "the good one"
    assert registry.annotate_model("a", "").note is None
