"""Model versions: what was trained for a task, which one is champion, and the way back.

A task is what a model foresees: symbol, timeframe, target and horizon ("EURUSD H1 direction 5"), whatever the
kind of model. At most one version of a task is champion; the one it replaced is remembered, so that one call
brings it back. Weights are known by their SHA-256, checked before anything is loaded.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import timedelta
from enum import StrEnum
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from core.clock import parse_utc, utc_now, utc_text
from core.errors import InputError, ModelError
from core.log import get_logger
from core.names import unknown_name
from core.remarks import checked_remarks
from core.settings import current_settings, output_folder
from core.store import Store, inserted_id
from train import tables

store = Store(tables.TRAINING_JOBS)


class Stage(StrEnum):
    """Where a model version stands: new ones are candidates, the champion serves, archived ones are kept."""

    CANDIDATE = "candidate"
    CHAMPION = "champion"
    ARCHIVED = "archived"


@dataclass(frozen=True)
class ModelVersion:
    """One row of `model_versions`; `version` counts within the task, `metric` is that of the test part."""

    id: int
    created_at: str
    task: str
    version: int
    stage: Stage
    job_id: str
    model_name: str
    symbol: str
    timeframe: str
    target: str
    dataset_version_id: int
    dataset_hash: str
    folder: str
    files: dict[str, str]
    metric_name: str
    metric: float | None
    baseline_metric: float | None
    card: dict[str, Any]
    promoted_at: str | None
    replaced_id: int | None
    note: str | None

    @property
    def label(self) -> str:
        """`EURUSD H1 direction 5 v3 (LSTM)`."""
        return f"{self.task} v{self.version} ({self.model_name})"

    @property
    def path(self) -> Path:
        """Where its files lie."""
        return output_folder() / self.folder

    @property
    def age_days(self) -> float:
        """Since it was trained."""
        return (utc_now() - parse_utc(self.created_at)) / timedelta(days=1)

    @property
    def is_expired(self) -> bool:
        """Whether it is older than `training.model_age_days` allows."""
        limit = current_settings().training.model_age_days
        return bool(limit) and self.age_days > limit

    def refuse_expired(self) -> None:
        """Raise ModelError when it is too old to be asked."""
        if self.is_expired:
            raise ModelError(
                f"{self.label} was trained {self.age_days:.0f} days ago and is too old to predict: "
                f"training.model_age_days is {current_settings().training.model_age_days:g}.",
                "Train and promote a new one, or raise the limit.",
            )


def models_folder() -> Path:
    """The folder that holds a folder per training job."""
    return output_folder() / "models"


def enter_model(connection: sa.Connection, values: Mapping[str, Any]) -> ModelVersion:
    """Enter a candidate, inside the transaction that commits its job; its version number is the task's next."""
    columns = tables.models.c
    newest = connection.execute(sa.select(sa.func.max(columns.version)).where(columns.task == values["task"])).scalar()
    row = {"created_at": utc_text(), "version": (newest or 0) + 1, "stage": Stage.CANDIDATE, **values}
    key = inserted_id(connection, tables.models, row)
    return _model(dict(connection.execute(sa.select(tables.models).where(columns.id == key)).mappings().one()))


def list_models(
    task: str | None = None, stage: str | None = None, job_id: str | None = None, limit: int | None = None
) -> list[ModelVersion]:
    """Model versions, newest first; of one task, stage or training job where they are named."""
    query = sa.select(tables.models).order_by(tables.models.c.id.desc()).limit(limit)
    for name, value in (("task", task), ("stage", stage), ("job_id", job_id)):
        if value is not None:
            query = query.where(tables.models.c[name] == str(value))
    return [_model(row) for row in store.rows(query)]


def tasks() -> list[str]:
    """What models were trained for, in order of name."""
    columns = tables.models.c
    return [row["task"] for row in store.rows(sa.select(columns.task).distinct().order_by(columns.task))]


def find_model(reference: int | str | ModelVersion) -> ModelVersion:
    """The model of that id, of that training job, or the champion of that task. Raises UnknownNameError, InputError.

    A job has one model; a task without a champion is refused, naming its candidates.
    """
    if isinstance(reference, ModelVersion):
        reference = reference.id
    if isinstance(reference, int) or reference.isdecimal():
        found = [
            _model(row) for row in store.rows(sa.select(tables.models).where(tables.models.c.id == int(reference)))
        ]
    else:
        found = list_models(job_id=reference) or list_models(reference, Stage.CHAMPION)
    if found:
        return found[0]
    candidates = list_models(str(reference))
    if candidates:
        raise InputError(
            f"{reference} has no champion.",
            f"Promote one of its models first: {', '.join(str(each.id) for each in candidates[:5])}.",
        )
    known = [name for each in list_models(limit=50) for name in (each.job_id, each.task)]
    raise unknown_name("model", str(reference), {*known})


def champion(task: str) -> ModelVersion | None:
    """The model that serves for a task; None while none was promoted."""
    found = list_models(task, Stage.CHAMPION)
    return found[0] if found else None


def promote(reference: int | str | ModelVersion, *, even_expired: bool = False) -> ModelVersion:
    """Make a candidate or an archived version the champion of its task; the one before is archived.

    Its files are checked first. Raises ModelError when they are damaged, or it is too old, unless `even_expired`.
    """
    model = find_model(reference)
    if not even_expired:
        model.refuse_expired()
    verify_files(model)
    columns = tables.models.c
    with store.write() as connection:
        before = connection.execute(
            sa.select(columns.id).where(columns.task == model.task, columns.stage == Stage.CHAMPION)
        ).scalar()
        if before == model.id:
            return find_model(model.id)
        _set_stage(connection, before, Stage.ARCHIVED)
        changed = _set_stage(
            connection, model.id, Stage.CHAMPION, promoted_at=utc_text(), replaced_id=before
        )  # refused by the index should two processes promote at once
        if not changed:
            raise unknown_name("model", str(model.id), [])
    get_logger(__name__).info("promoted a model", model=model.label, id=model.id, before=before)
    return find_model(model.id)


def rollback(task: str) -> ModelVersion:
    """Bring back the champion that the present one replaced, and archive the present one.

    Raises InputError when there is none to bring back, ModelError when its files are damaged.
    """
    now = champion(task)
    if now is None:
        raise InputError(f"{task!r} has no champion.", f"Known tasks: {', '.join(tasks()) or 'none yet'}.")
    if now.replaced_id is None:
        raise InputError(f"{now.label} replaced no other champion.", "Promote another version instead.")
    before = find_model(now.replaced_id)
    verify_files(before)
    with store.write() as connection:
        if _set_stage(connection, now.id, Stage.ARCHIVED, only_if=Stage.CHAMPION):
            _set_stage(connection, before.id, Stage.CHAMPION, promoted_at=utc_text())
    get_logger(__name__).info("rolled back a model", task=task, id=before.id, instead_of=now.id)
    return find_model(before.id)


def archive(reference: int | str | ModelVersion) -> ModelVersion:
    """Keep a version without offering it; an archived champion leaves its task without one."""
    model = find_model(reference)
    with store.write() as connection:
        _set_stage(connection, model.id, Stage.ARCHIVED)
    return find_model(model.id)


def delete_model(reference: int | str | ModelVersion) -> None:
    """Remove a version that is not champion, and its files. Raises InputError for a champion."""
    model = find_model(reference)
    columns = tables.models.c
    with store.write() as connection:
        gone = connection.execute(
            tables.models.delete().where(columns.id == model.id, columns.stage != Stage.CHAMPION)
        ).rowcount
        if gone:
            replaced = tables.models.update().where(columns.replaced_id == model.id)
            connection.execute(replaced.values(replaced_id=model.replaced_id))
    if not gone:
        raise InputError(f"{model.label} is champion; it was not deleted.", "Promote another, or archive it first.")
    shutil.rmtree(model.path, ignore_errors=True)


def annotate_model(reference: int | str | ModelVersion, note: str) -> ModelVersion:
    """Write a note of at most 2,000 characters to a version; an empty one clears it."""
    model = find_model(reference)
    store.update(tables.models, tables.models.c.id == model.id, checked_remarks(note, None))
    return find_model(model.id)


def verify_files(model: ModelVersion) -> None:
    """Compare every file of a version with its SHA-256. Raises ModelError naming the first that differs."""
    import hashlib

    for name, digest in model.files.items():
        file = model.path / name
        try:
            with file.open("rb") as content:
                found = hashlib.file_digest(content, "sha256").hexdigest()
        except OSError as error:
            raise ModelError(
                f"{file} of {model.label} cannot be read ({error.strerror or error}).",
                "Put the file back from a backup, or train the model again.",
            ) from error
        if found != digest:
            raise ModelError(
                f"{file} of {model.label} is damaged or was swapped: its SHA-256 is {found[:12]}…, not {digest[:12]}….",
                "Put the file back from a backup, or train the model again.",
            )


def serving(reference: int | str | ModelVersion) -> tuple[ModelVersion, str | None]:
    """The model to ask, and what a reader must be told of it.

    A champion whose file is damaged is refused by name, and the champion before it serves. Raises ModelError when
    the model asked for is too old or damaged and none stands behind it.
    """
    model = find_model(reference)
    model.refuse_expired()
    try:
        verify_files(model)
    except ModelError as error:
        before = _before(model)
        if before is None:
            raise
        before.refuse_expired()
        verify_files(before)
        words = f"{error.what} {before.label} serves instead."
        get_logger(__name__).warning("the champion before serves", what=error.what, instead=before.label)
        return before, words
    return model, None


def _before(model: ModelVersion) -> ModelVersion | None:
    if model.stage is not Stage.CHAMPION or model.replaced_id is None:
        return None
    found = store.rows(sa.select(tables.models).where(tables.models.c.id == model.replaced_id))
    return _model(found[0]) if found else None


def _set_stage(
    connection: sa.Connection, key: int | None, stage: Stage, only_if: Stage | None = None, **values: Any
) -> int:
    which = tables.models.c.id == key
    if only_if is not None:
        which = which & (tables.models.c.stage == only_if)
    return connection.execute(tables.models.update().where(which).values(stage=stage, **values)).rowcount


def _model(row: Mapping[str, Any]) -> ModelVersion:
    names = {field.name for field in fields(ModelVersion)}
    return ModelVersion(
        **{name: value for name, value in row.items() if name in names} | {"stage": Stage(row["stage"])}
    )
