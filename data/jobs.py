"""The jobs of the data floor, each run in a process of its own: collections."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from core.jobs import JobQueue, RunningJob
from core.plain import plain
from core.store import Store
from data import tables
from data.config import DataConfig
from data.pipeline_controller import DatasetVersion, controller
from data.sources.uploads import forget_upload

queue = JobQueue("data", Store(tables.DATA_PIPELINE), tables.jobs)


def collection_arguments(config: DataConfig) -> dict[str, Any]:
    """What a job of the kind `collect` is asked; `DataConfig(**arguments["config"])` is `config` again."""
    return {"config": plain(config.model_dump(mode="python"))}


def collection_title(config: DataConfig) -> str:
    """`Collect EURUSD, GBPUSD from YFinance`."""
    return f"Collect {', '.join(config.symbols)} from {', '.join(config.data_sources)}"


def collect(job: RunningJob) -> None:
    """Collect, preprocess, validate and publish; the version and the job's success are one transaction.

    What live sources answered stays in the bar store, so that a job begun again asks for the rest only.
    """
    config = DataConfig(**job.arguments["config"])

    def published(connection: sa.Connection, version: DatasetVersion) -> None:
        words = f"{version.rows:,} rows, {version.verdict or 'not checked'}, version {version.short_hash}"
        job.succeed(connection, {"version": version.content_hash}, words)

    controller.prepare(config, lambda step, words, done: job.tell(done, f"{step}: {words}"), published)
    for file in config.files:
        forget_upload(file)
