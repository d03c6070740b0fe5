"""The jobs of the training floor: the queue, what a machine has room for, and the training itself.

    JOBS.submit("train", "train", training_arguments(TrainingJob(...)), title)

A job trains in a process of its own, an epoch at a time; each epoch's figures and the job's row are written in
one transaction, after the checkpoint that goes on from there. The model is registered, and the job succeeds, in
one more.
"""

from __future__ import annotations

import os
import platform
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from core.clock import utc_text
from core.errors import InputError, NameTakenError
from core.folders import disk_error
from core.jobs import Job, JobQueue, JobStatus, RunningJob
from core.log import get_logger
from core.plain import plain
from core.settings import current_settings, output_folder
from core.store import Store
from core.version import __version__
from data.pipeline_controller import controller
from data.versions import DatasetVersion
from train import monitor, tables
from train.models import EpochRecord, Trainer, estimate_memory, make_trainer, model_named
from train.registry import enter_model, models_folder
from train.training_job import NOT_CONTENT, TrainingJob

if TYPE_CHECKING:
    from train.windows import Samples

MIB = 2**20
_TRAINED = 0.9  # how much of a job is done when its last epoch is
_GPU_DEVICES = ("auto", "cuda")


class TrainingQueue(JobQueue):
    """The queue of training jobs: named by their job_id, begun where there is room for them."""

    def submit(
        self,
        kind: str,
        arguments: Mapping[str, Any],
        title: str,
        *,
        priority: int = 0,
        firing: tuple[int, str] | None = None,
    ) -> Job | None:
        """As any queue; raises NameTakenError when a job of that job_id was there first."""
        try:
            return super().submit(kind, arguments, title, priority=priority, firing=firing)
        except sa.exc.IntegrityError:
            job_id = arguments["job"]["job_id"]
            raise NameTakenError(f"job_id={job_id!r} is taken.", "Choose another.") from None

    def own_columns(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """What a table of runs shows, from what the job is asked."""
        arguments = values["arguments"]
        asked = TrainingJob(**arguments["job"])
        job_id = asked.job_id
        if values["fire_time"]:  # a schedule queues the same job again and again
            stamp = "".join(filter(str.isalnum, values["fire_time"]))[:15]
            job_id = f"{job_id[:40]}-{values['schedule_id']}-{stamp}"
        return {
            "job_id": job_id,
            "model_name": asked.model_name,
            "symbol": asked.symbol or "",
            "timeframe": arguments["timeframe"],
            "target": asked.target_words,
            "dataset_hash": str(asked.dataset),
            "epochs": asked.epochs,
            "current_epoch": 0,
            "memory_mib": arguments["memory_bytes"] / MIB,
            "seconds": 0.0,
        }

    def waits_for(self, job: Job, running: Sequence[Job]) -> str | None:
        """What a queued job waits for beside those that run: a place, processors, memory, or a GPU's memory.

        Raises InputError when this machine can never give it the memory.
        """
        settings = current_settings().training
        needed = job.arguments["memory_bytes"] / MIB
        host = monitor.read_memory()
        refuse_if_never(needed, host["total_mb"] * settings.memory_share)
        places = min(settings.running, os.cpu_count() or 1)
        if len(running) >= places:
            return f"one of {places} places; {len(running)} jobs run"
        # What running jobs were promised and have not taken yet is not free, though the system says so.
        promised = sum(
            max(0.0, each.arguments["memory_bytes"] / MIB - monitor.memory_used_mb(each.id)) for each in running
        )
        free = max(0.0, host["available_mb"] * settings.memory_share - promised)
        if needed > free:
            return f"{needed:,.0f} MiB of memory; {free:,.0f} MiB are free"
        if running and monitor.cpu_percent() > settings.cpu_limit_pct:
            return f"processors that are less than {settings.cpu_limit_pct:g} % busy"
        return _gpu_wait(job, running, settings.memory_share)


def _gpu_wait(job: Job, running: Sequence[Job], share: float) -> str | None:
    if not _wants_gpu(job):
        return None
    gpus = monitor.read_gpus()
    if not gpus:
        return None  # it trains on the processor, or says at its start that the device is not there
    needed = job.arguments["batch_bytes"] / MIB
    refuse_if_never(needed, max(gpu.memory_total_mb for gpu in gpus) * share, "GPU ")
    promised = sum(each.arguments["batch_bytes"] / MIB for each in running if _wants_gpu(each))
    free = max(gpu.memory_free_mb for gpu in gpus) * share - promised
    return f"{needed:,.0f} MiB of GPU memory; {max(0.0, free):,.0f} MiB are free" if needed > free else None


def _wants_gpu(job: Job) -> bool:
    asked = job.arguments["job"]
    device = str(asked.get("device", "auto")).split(":")[0]
    return device in _GPU_DEVICES and model_named(asked["model_name"]).family == "network"


def refuse_if_never(needed_mib: float, most_mib: float, of: str = "") -> None:
    """Raise InputError for a job that needs more memory than there will ever be."""
    if needed_mib > most_mib:
        raise InputError(
            f"The job needs about {needed_mib:,.0f} MiB of {of}memory; this machine gives a job at most "
            f"{most_mib:,.0f} MiB.",
            "Take a smaller batch, a shorter window, fewer features or a smaller model, or raise "
            "training.memory_share.",
        )


queue = TrainingQueue("train", Store(tables.TRAINING_JOBS), tables.jobs)


def training_arguments(job: TrainingJob) -> dict[str, Any]:
    """What a job of the kind `train` is asked: everything that was left open is settled here, once.

    The dataset becomes a version's hash (a CSV file is entered as one), the features are named, the threads counted.
    Raises what `train.dataset` does for a dataset that cannot be used, and InputError where memory will never do.
    """
    from train.dataset import feature_columns, refuse_unfit, version_of

    version = (
        controller.version(job.dataset or "") if job.dataset_path is None else version_of(job.dataset_path, job.symbol)
    )
    symbol = _symbol_of(version, job.symbol)
    refuse_unfit(version, job.overrides)
    features = job.features or feature_columns(version)
    settled = job.model_copy(
        update={
            "dataset": version.content_hash,
            "dataset_path": None,
            "symbol": symbol,
            "features": tuple(features),
            "threads": job.threads or threads_of_a_job(),
        }
    )
    rows = version.rows // max(1, len(version.symbols))
    kind, shape = model_named(job.model_name), (rows, job.window_length, len(features))
    memory = estimate_memory(kind, job.parameters, shape, job.batch_size)
    least = estimate_memory(kind, job.parameters, (1, job.window_length, len(features)), job.batch_size)
    refuse_if_never(memory / MIB, monitor.read_memory()["total_mb"] * current_settings().training.memory_share)
    return {
        "job": plain(settled.model_dump()),
        "timeframe": version.timeframe,
        "memory_bytes": memory,
        "batch_bytes": least,  # what goes to a GPU: weights, optimizer, a batch; the features stay outside
    }


def content_of(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """What two jobs of one name must have in common to be the same job."""
    return {name: value for name, value in arguments["job"].items() if name not in NOT_CONTENT}


def training_title(job: TrainingJob) -> str:
    """`Train LSTM: train_lstm_1`."""
    return f"Train {job.model_name}: {job.job_id}"


def threads_of_a_job() -> int:
    """The processors of this machine divided by the models that may be trained at once, at least one."""
    return max(1, (os.cpu_count() or 1) // current_settings().training.running)


def job_folder(job_id: str) -> Path:
    """Where a job keeps its checkpoints and its model."""
    return models_folder() / job_id


def train(job: RunningJob) -> None:
    """Train, judge, register. Begun again after a kill it goes on after the last epoch that was stored."""
    with monitor.sampled(job.id):
        _Training(job).run()


class _Training:
    """One training from its dataset to its registration."""

    def __init__(self, job: RunningJob) -> None:
        self.job = job
        self.row = queue.store.rows(sa.select(tables.jobs).where(tables.jobs.c.id == job.id))[0]
        self.asked = TrainingJob(**{**job.arguments["job"], "job_id": self.row["job_id"]})
        self.folder = job_folder(self.row["job_id"])
        self.seconds = float(self.row["seconds"])
        self.parts = 1 + self.asked.folds
        self.log = get_logger(__name__).bind(job=job.id)

    def run(self) -> None:
        """The training; each step is done again, or found done, when the job is begun again."""
        from train.card import Trained, describe_training, judge
        from train.dataset import refuse_unfit
        from train.splits import fit_scaler, split_in_time
        from train.windows import make_samples

        asked = self.asked
        self.job.tell(0.0, "reading the dataset")
        version = controller.version(str(asked.dataset))
        overridden = refuse_unfit(version, asked.overrides)
        samples = make_samples(version, asked.symbol, asked.features, asked.spec, asked.window_length)
        split = split_in_time(samples, asked.validation_split, asked.test_split, asked.embargo)
        scaler = fit_scaler(samples, split)
        trainer = make_trainer(model_named(asked.model_name), asked.settings, samples, split, scaler)
        self._fit(trainer, fold=0)
        self.job.tell(_TRAINED, "judging the model on the test part")
        trained = Trained(trainer, samples, split, scaler)
        judged = judge(trained, asked.seed)
        card = {
            **describe_training(asked, version, trained),
            **judged,
            "folds": self._walk_forward(samples),
            "overridden": list(overridden),
            "override_reason": asked.override_reason if overridden else "",
            "preprocessing": _preprocessing_of(version),
            "seconds": round(self.seconds, 3),
            "attempts": self.job.attempt,
            "code_version": __version__,
            "hardware": hardware(),
            "trained_at": utc_text(),
        }
        self._register(trainer, version, card)

    def _walk_forward(self, samples: Samples) -> list[dict[str, Any]]:
        """The figures of each fold that was asked for; those of folds judged before a kill are remembered."""
        from train.card import Trained, judge_fold
        from train.splits import fit_scaler, walk_forward

        asked, folds = self.asked, list(self.job.checkpoint.get("folds", []))
        splits = walk_forward(samples, asked.folds, asked.validation_split, asked.embargo) if asked.folds else []
        for number, split in enumerate(splits[len(folds) :], start=len(folds) + 1):
            scaler = fit_scaler(samples, split)
            trainer = make_trainer(model_named(asked.model_name), asked.settings, samples, split, scaler)
            self._fit(trainer, fold=number)
            folds.append(judge_fold(Trained(trainer, samples, split, scaler), number))
            self.job.save(folds=folds)
        return folds

    def _fit(self, trainer: Trainer, fold: int) -> None:
        """Train one part to its end; fold 0 is the model itself, the others tell of its stability."""
        checkpoint = self.folder / f"checkpoint-{fold}"
        with _disk_told(checkpoint):
            checkpoint.parent.mkdir(parents=True, exist_ok=True)
        self.job.tell(self._done(fold, 0), "preparing the first epoch")
        for record in trainer.epochs(checkpoint, resume=True):
            self._store(record, fold)

    def _store(self, record: EpochRecord, fold: int) -> None:
        columns = tables.epochs.c
        row = {name: plain(getattr(record, name)) for name in _RECORDED}
        told = f"epoch {record.epoch} of {self.asked.epochs}" + (f", fold {fold} of {self.asked.folds}" if fold else "")
        of_job: dict[str, Any] = {"progress": self._done(fold, record.epoch), "words": told}
        if fold == 0:
            of_job |= {"current_epoch": record.epoch, "metric_name": record.metric_name}
            if record.is_best:
                of_job |= {"best_epoch": record.epoch, "best_metric": plain(record.metric)}
        here = (columns.training_id == self.job.id) & (columns.fold == fold)
        with queue.store.write() as connection:
            # The record of the checkpoint comes again after a kill; one of an epoch beyond it is history that was not.
            known = connection.execute(
                sa.select(columns.epoch).where(here, columns.epoch == record.epoch, columns.attempt < self.job.attempt)
            ).first()
            connection.execute(tables.epochs.delete().where(here, columns.epoch > record.epoch))
            if known is None:
                self.seconds += record.seconds
                connection.execute(tables.epochs.delete().where(here, columns.epoch == record.epoch))
                connection.execute(
                    tables.epochs.insert(),
                    {
                        **row,
                        "training_id": self.job.id,
                        "fold": fold,
                        "attempt": self.job.attempt,
                        "stored_at": utc_text(),
                        "is_best": int(record.is_best),
                    },
                )
            self.job.enter(connection, **of_job, seconds=self.seconds)
        if known is None:
            self.log.info("epoch stored", fold=fold, attempt=self.job.attempt, **row)

    def _done(self, fold: int, epoch: int) -> float:
        return _TRAINED * min(1.0, (fold + epoch / self.asked.epochs) / self.parts)

    def _register(self, trainer: Trainer, version: DatasetVersion, card: Mapping[str, Any]) -> None:
        """Write the files, then enter the model and succeed in one transaction."""
        from train.artifacts import save_model

        self.job.tell(0.98, "saving the model")
        folder = self.folder / f"model-{self.job.attempt}"
        files = save_model(folder, trainer, plain(card))
        test, baseline = card["metrics"]["test"], card["metrics"]["baseline"]
        name = card["metrics"]["headline"]
        with controller.hold(version) as held, queue.store.write() as connection:
            model = enter_model(
                connection,
                {
                    "task": task_of(self.asked, version.timeframe),
                    "job_id": self.row["job_id"],
                    "model_name": self.asked.model_name,
                    "symbol": self.asked.symbol or "",
                    "timeframe": version.timeframe,
                    "target": self.asked.target_words,
                    "dataset_version_id": held.id,
                    "dataset_hash": held.content_hash,
                    "folder": folder.relative_to(output_folder()).as_posix(),
                    "files": files,
                    "metric_name": name,
                    "metric": plain(test.get(name)),
                    "baseline_metric": plain(baseline.get(name)),
                    "card": plain(card),
                },
            )
            figure = "" if model.metric is None else f"{name} {model.metric:.4g} on the test part"
            beside = "" if model.baseline_metric is None else f", baseline {model.baseline_metric:.4g}"
            result = {"model": model.id, "task": model.task, "version": model.version, "metric": model.metric}
            self.job.enter(connection, device=str(card["device"]["device"]))
            self.job.succeed(connection, result, f"{figure}{beside}" or "trained")
        sweep_succeeded()


_RECORDED = (
    "epoch",
    "train_loss",
    "validation_loss",
    "metric",
    "metric_name",
    "learning_rate",
    "seconds",
    "samples_per_second",
)


def sweep_succeeded() -> None:
    """Remove what only jobs that are not done need: checkpoints, and models of attempts that were killed.

    Of all jobs that have succeeded, for one may have been killed between its success and this.
    """
    names = tables.jobs.c.job_id, tables.models.c.folder
    query = sa.select(*names).join(tables.models, tables.models.c.job_id == tables.jobs.c.job_id)
    kept: dict[str, set[str]] = {}
    for row in queue.store.rows(query.where(tables.jobs.c.status == JobStatus.SUCCEEDED)):
        kept.setdefault(row["job_id"], set()).add(Path(row["folder"]).name)
    for folder in models_folder().iterdir():
        for entry in folder.iterdir() if folder.name in kept else ():
            if entry.name not in kept[folder.name]:
                shutil.rmtree(entry, ignore_errors=True)


def task_of(job: TrainingJob, timeframe: str) -> str:
    """`EURUSD H1 direction 5`: what models compete for."""
    barriers = f" at {job.barrier_atr:g} ATR" if job.target == "triple_barrier" else ""
    return f"{job.symbol or 'bars'} {timeframe} {job.target_words}{barriers}"


def hardware() -> dict[str, Any]:
    """The machine, as a model card tells it."""
    return {
        "machine": platform.machine(),
        "system": platform.system(),
        "processors": os.cpu_count(),
        "memory_mib": round(monitor.read_memory()["total_mb"]),
        "gpus": [gpu.name for gpu in monitor.read_gpus()],
        "python": platform.python_version(),
    }


def _symbol_of(version: DatasetVersion, asked: str | None) -> str | None:
    if asked is None and len(version.symbols) > 1:
        raise InputError(f"{version.label} holds several symbols.", f"Name one of {', '.join(version.symbols)}.")
    if asked is not None and version.symbols and asked not in version.symbols:
        raise InputError(f"{version.label} holds no {asked!r}.", f"It holds {', '.join(version.symbols)}.")
    return asked or next(iter(version.symbols), None)


def _preprocessing_of(version: DatasetVersion) -> dict[str, Any] | None:
    row = controller.preprocessing_of(version)
    names = ("settings", "code_version", "columns_added", "fitted", "looks_ahead")
    return None if row is None else {name: row[name] for name in names}


@contextmanager
def _disk_told(where: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise disk_error(error, where) from error
