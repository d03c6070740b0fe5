"""The machine: a GPU is told by its UUID, no GPU is a clean state, samples are taken, matched and pruned."""

from __future__ import annotations

import sys
import time
import types
from typing import Any

import pytest
import sqlalchemy as sa

from core.clock import utc_text
from core.errors import StoreLockedError
from train import monitor, tables
from train.monitor import GpuMonitor


class NvmlError(Exception):
    """As NVML's own."""


def nvml(**functions: Any) -> types.ModuleType:
    """NVML with two devices, the second of which tells little."""
    made = types.ModuleType("pynvml")
    told = {
        "NVMLError": NvmlError,
        "NVML_TEMPERATURE_GPU": 0,
        "nvmlInit": lambda: None,
        "nvmlShutdown": lambda: None,
        "nvmlDeviceGetCount": lambda: 2,
        "nvmlDeviceGetHandleByIndex": lambda number: number,
        "nvmlDeviceGetMemoryInfo": lambda _: types.SimpleNamespace(total=8192 * 2**20, used=1024 * 2**20),
        "nvmlDeviceGetName": lambda number: f"Board {number}",
        "nvmlDeviceGetUUID": lambda number: f"GPU-{number}".encode(),
        "nvmlDeviceGetUtilizationRates": unsupported_by_the_second(types.SimpleNamespace(gpu=50)),
        "nvmlDeviceGetTemperature": lambda _, __: 61,
        "nvmlDeviceGetPowerUsage": unsupported_by_the_second(250_000),
        **functions,
    }
    for name, function in told.items():
        setattr(made, name, function)
    return made


def unsupported_by_the_second(answer: object) -> Any:
    def read(number: int) -> object:
        if number == 1:
            raise NvmlError("Not Supported")
        return answer

    return read


def no_driver() -> None:
    raise NvmlError("Driver Not Loaded")


def enter(training_id: int, uuid: str | None, allocated: float, reserved: float, age_seconds: float = 0.0) -> None:
    row = {**monitor.sample(training_id)[0], "gpu_uuid": uuid, "memory_allocated_mb": allocated}
    monitor.store.insert(tables.gpu_stats, **{**row, "memory_reserved_mb": reserved})


def test_no_gpu_is_a_clean_state(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", nvml(nvmlInit=no_driver))
    status = GpuMonitor().get_status()
    assert (status["has_gpu"], status["device_count"], status["devices"]) == (False, 0, [])
    assert 0 <= status["cpu_percent"] <= 100
    assert 0 < status["memory_percent"] <= 100


def test_devices_are_told_in_the_printed_structure_and_what_is_not_supported_is_none(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", nvml())
    status = GpuMonitor().get_status()
    assert (status["has_gpu"], status["device_count"]) == (True, 2)
    first, second = status["devices"]
    assert {"gpu_id", "name", "memory_allocated_mb", "memory_reserved_mb", "utilization_percent"} <= set(first)
    assert (first["gpu_id"], first["name"], first["gpu_uuid"]) == (0, "Board 0", "GPU-0")
    assert (first["utilization_percent"], first["power_watts"], first["memory_used_mb"]) == (50.0, 250.0, 1024.0)
    assert (second["utilization_percent"], second["power_watts"]) == (0.0, None)
    assert (first["memory_allocated_mb"], first["memory_reserved_mb"]) == (0.0, 0.0)


def test_what_torch_holds_is_told_by_the_jobs_and_matched_by_uuid(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", nvml())
    enter(1, "GPU-1", 100, 200)
    enter(1, "GPU-1", 300, 400)  # its newest sample counts
    enter(2, "GPU-1", 10, 20)  # and that of another job beside it
    first, second = GpuMonitor().get_status()["devices"]
    assert (first["memory_allocated_mb"], first["memory_reserved_mb"]) == (0.0, 0.0)
    assert (second["memory_allocated_mb"], second["memory_reserved_mb"]) == (310.0, 420.0)
    with monitor.store.write() as connection:
        connection.execute(tables.gpu_stats.update().values(timestamp="2026-01-01T00:00:00.000Z"))
    assert GpuMonitor().get_status()["devices"][1]["memory_allocated_mb"] == 0.0  # a job that ended long ago


def test_a_device_that_fails_while_it_is_read_is_no_failure_of_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    def lost(_: int) -> None:
        raise NvmlError("GPU is lost")

    monkeypatch.setitem(sys.modules, "pynvml", nvml(nvmlDeviceGetMemoryInfo=lost))
    assert monitor.read_gpus() == []


def test_a_block_is_sampled_while_it_runs_and_not_afterwards(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEQUENCE_TRAINING__SAMPLE_SECONDS", "0.01")
    end = time.monotonic() + 30
    with monitor.sampled(7):
        while len(GpuMonitor().history(training_id=7)) < 3:
            assert time.monotonic() < end
            time.sleep(0.01)
    taken = GpuMonitor().history(training_id=7)
    time.sleep(0.1)
    assert GpuMonitor().history(training_id=7) == taken
    assert all(row["process_memory_mb"] > 10 for row in taken)
    assert [row["timestamp"] for row in taken] == sorted(row["timestamp"] for row in taken)
    assert monitor.memory_used_mb(7) == taken[-1]["process_memory_mb"]
    assert monitor.memory_used_mb(8) == 0.0


def test_old_samples_are_pruned(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEQUENCE_TRAINING__KEEP_SAMPLES", "100")
    row = {**monitor.sample(1)[0], "timestamp": utc_text()}
    with monitor.store.write() as connection:
        connection.execute(tables.gpu_stats.insert(), [row] * 150)
        monitor._prune(connection)
    kept = monitor.store.rows(sa.select(tables.gpu_stats.c.id).order_by(tables.gpu_stats.c.id))
    assert [each["id"] for each in kept] == list(range(51, 151))


def test_a_locked_database_costs_samples_and_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    def locked(*_: object) -> None:
        raise StoreLockedError("Another program holds the database.")

    monkeypatch.setattr(monitor, "_prune", locked)
    with monitor.sampled(1):
        time.sleep(0.1)
    assert GpuMonitor().history() == []
