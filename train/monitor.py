"""The machine that trains: processors, memory and GPUs, read now and sampled while a job runs.

Devices are NVIDIA's by NVML, known by their UUID: NVML counts them in another order than torch. What torch has
allocated only the training process knows; it samples that, and the workbench reads it from `gpu_stats`.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from datetime import timedelta
from typing import Any

import sqlalchemy as sa

from core.clock import utc_now, utc_text
from core.errors import SequenceError
from core.log import get_logger
from core.settings import current_settings
from core.store import Store
from train import tables

MIB = 2**20
_FRESH_SECONDS = 10.0  # a sample older than this says nothing of a running job
_PRUNED_EVERY = 100  # samples

store = Store(tables.TRAINING_JOBS)


@dataclass(frozen=True)
class Gpu:
    """One device as NVML sees it, all processes together; memory in MiB. What a driver does not tell is None."""

    gpu_id: int
    gpu_uuid: str
    name: str
    memory_total_mb: float
    memory_used_mb: float
    utilization_percent: float | None
    temperature_celsius: float | None
    power_watts: float | None

    @property
    def memory_free_mb(self) -> float:
        """What no process holds."""
        return self.memory_total_mb - self.memory_used_mb


def read_gpus() -> list[Gpu]:
    """The NVIDIA devices of this machine; none where there is no driver, which is no failure."""
    import pynvml

    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        return []
    try:
        return [_gpu(pynvml, number) for number in range(pynvml.nvmlDeviceGetCount())]
    except pynvml.NVMLError as error:
        get_logger(__name__).warning("GPUs could not be read", reason=str(error))
        return []
    finally:
        with suppress(pynvml.NVMLError):
            pynvml.nvmlShutdown()


def _gpu(nvml: Any, number: int) -> Gpu:
    device = nvml.nvmlDeviceGetHandleByIndex(number)

    def told(read: Any) -> float | None:
        try:
            return float(read())
        except nvml.NVMLError:  # not supported under MIG, WSL or on some boards
            return None

    memory = nvml.nvmlDeviceGetMemoryInfo(device)
    name, uuid = nvml.nvmlDeviceGetName(device), nvml.nvmlDeviceGetUUID(device)
    milliwatts = told(lambda: nvml.nvmlDeviceGetPowerUsage(device))
    return Gpu(
        gpu_id=number,
        gpu_uuid=uuid if isinstance(uuid, str) else uuid.decode(),
        name=name if isinstance(name, str) else name.decode(),
        memory_total_mb=memory.total / MIB,
        memory_used_mb=memory.used / MIB,
        utilization_percent=told(lambda: nvml.nvmlDeviceGetUtilizationRates(device).gpu),
        temperature_celsius=told(lambda: nvml.nvmlDeviceGetTemperature(device, nvml.NVML_TEMPERATURE_GPU)),
        power_watts=None if milliwatts is None else milliwatts / 1000,
    )


def read_memory() -> dict[str, float]:
    """`memory_percent` in use, `available_mb` for new programs, `total_mb`; memory in MiB."""
    import psutil

    memory = psutil.virtual_memory()
    return {
        "memory_percent": memory.percent,
        "available_mb": memory.available / MIB,
        "total_mb": memory.total / MIB,
    }


_asked_before = False


def cpu_percent() -> float:
    """How busy the processors were since the last call of this process, in per cent; the first looks for 0.1 s."""
    import psutil

    global _asked_before  # noqa: PLW0603  # psutil keeps the times of the last call in this very way
    found = psutil.cpu_percent(None if _asked_before else 0.1)
    _asked_before = True
    return found


class GpuMonitor:
    """What the machine does now and did while models were trained."""

    def get_status(self) -> dict[str, Any]:
        """The structure that the specification prints; without a GPU `devices` is empty and `has_gpu` False.

        `memory_allocated_mb` and `memory_reserved_mb` are torch's, of all running jobs together;
        `memory_used_mb` is the whole device's, other programs included.
        """
        gpus, torchs = read_gpus(), _torch_memory()
        devices = [
            {
                **asdict(gpu),
                "memory_allocated_mb": torchs.get(gpu.gpu_uuid, (0.0, 0.0))[0],
                "memory_reserved_mb": torchs.get(gpu.gpu_uuid, (0.0, 0.0))[1],
                "utilization_percent": gpu.utilization_percent or 0.0,
            }
            for gpu in gpus
        ]
        return {
            "has_gpu": bool(gpus),
            "device_count": len(gpus),
            "devices": devices,
            "cpu_percent": cpu_percent(),
            "memory_percent": read_memory()["memory_percent"],
        }

    def history(self, minutes: float = 60.0, training_id: int | None = None) -> list[dict[str, Any]]:
        """The samples of the last minutes, oldest first; of one job only where its number is given."""
        columns = tables.gpu_stats.c
        query = sa.select(tables.gpu_stats).order_by(columns.id)
        query = query.where(columns.timestamp >= utc_text(utc_now() - timedelta(minutes=minutes)))
        return store.rows(query if training_id is None else query.where(columns.training_id == training_id))


def memory_used_mb(training_id: int) -> float:
    """What the process of a job held when it was last sampled; 0 when it was not of late."""
    columns = tables.gpu_stats.c
    query = sa.select(columns.process_memory_mb).where(
        columns.training_id == training_id, columns.timestamp >= _fresh_since()
    )
    found = store.rows(query.order_by(columns.id.desc()).limit(1))
    return float(found[0]["process_memory_mb"] or 0.0) if found else 0.0


@contextmanager
def sampled(training_id: int) -> Iterator[None]:
    """Sample the machine into `gpu_stats` while the block runs, in a thread of its own."""
    done = threading.Event()
    thread = threading.Thread(target=_sample_until, args=(done, training_id), name="monitor", daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join(5.0)


def sample(training_id: int | None = None) -> list[dict[str, Any]]:
    """One row a device, or one without a device where there is none, as `gpu_stats` keeps them."""
    import psutil

    common = {
        "timestamp": utc_text(),
        "training_id": training_id,
        "cpu_percent": cpu_percent(),
        "memory_percent": read_memory()["memory_percent"],
        "process_memory_mb": psutil.Process().memory_info().rss / MIB,
    }
    own = _own_torch_memory()
    blank = dict.fromkeys(column.name for column in tables.gpu_stats.columns if column.name not in {"id", *common})
    rows = []
    for gpu in read_gpus():
        allocated, reserved = own.get(gpu.gpu_uuid, (None, None))
        rows.append({**common, **asdict(gpu), "memory_allocated_mb": allocated, "memory_reserved_mb": reserved})
    return rows or [{**blank, **common}]


def _sample_until(done: threading.Event, training_id: int) -> None:
    taken = 0
    while not done.is_set():
        try:
            rows = sample(training_id)
            with store.write() as connection:
                connection.execute(tables.gpu_stats.insert(), rows)
                if taken % _PRUNED_EVERY == 0:
                    _prune(connection)
        except SequenceError as error:  # a locked database or full disk: the training itself says so where it matters
            get_logger(__name__).warning("machine not sampled", what=error.what)
        taken += 1
        done.wait(current_settings().training.sample_seconds)


def _prune(connection: sa.Connection) -> None:
    columns = tables.gpu_stats.c
    newest = sa.select(columns.id).order_by(columns.id.desc()).limit(1).offset(current_settings().training.keep_samples)
    last = connection.execute(newest).scalar()
    if last is not None:
        connection.execute(tables.gpu_stats.delete().where(columns.id <= last))


def _own_torch_memory() -> dict[str, tuple[float, float]]:
    """What torch has allocated and reserved in this process, MiB by the device's UUID; empty without torch on CUDA."""
    torch = sys.modules.get("torch")  # the process that trains has imported it, or is about to; no other should
    try:
        if torch is None or not torch.cuda.is_available() or not torch.cuda.is_initialized():
            return {}
    except AttributeError:  # its main thread is in the middle of the import
        return {}
    from train.devices import gpu_uuid

    return {
        gpu_uuid(f"cuda:{number}") or str(number): (
            torch.cuda.memory_allocated(number) / MIB,
            torch.cuda.memory_reserved(number) / MIB,
        )
        for number in range(torch.cuda.device_count())
    }


def _torch_memory() -> dict[str, tuple[float, float]]:
    """The same of all jobs that were sampled of late, together."""
    columns = tables.gpu_stats.c
    newest = (
        sa.select(sa.func.max(columns.id))
        .where(columns.timestamp >= _fresh_since(), columns.gpu_uuid.is_not(None))
        .group_by(columns.training_id, columns.gpu_uuid)
    )
    found: dict[str, tuple[float, float]] = {}
    for row in store.rows(sa.select(tables.gpu_stats).where(columns.id.in_(newest))):
        allocated, reserved = found.get(row["gpu_uuid"], (0.0, 0.0))
        found[row["gpu_uuid"]] = (
            allocated + (row["memory_allocated_mb"] or 0.0),
            reserved + (row["memory_reserved_mb"] or 0.0),
        )
    return found


def _fresh_since() -> str:
    seconds = max(_FRESH_SECONDS, 3 * current_settings().training.sample_seconds)
    return utc_text(utc_now() - timedelta(seconds=seconds))
