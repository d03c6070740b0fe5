from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from core.errors import InputError
from train.devices import choose_device, describe_device, device_memory, devices, gpu_uuid


@pytest.fixture
def two_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.accelerator, "is_available", lambda: True)
    monkeypatch.setattr(torch.accelerator, "current_accelerator", lambda: torch.device("cuda"))
    monkeypatch.setattr(torch.accelerator, "device_count", lambda: 2)


@pytest.fixture
def no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.accelerator, "is_available", lambda: False)


@pytest.mark.usefixtures("no_gpu")
def test_without_an_accelerator_the_processor_trains() -> None:
    assert devices() == ["cpu"]
    assert choose_device("auto") == choose_device("cpu") == "cpu"
    assert device_memory("cpu") is None
    assert gpu_uuid("cpu") is None
    told = describe_device("cpu")
    assert told["device"] == "cpu"
    assert told["threads"] >= 1
    with pytest.raises(InputError, match=r"There is no device 'cuda' here\. Choose one of auto, cpu"):
        choose_device("cuda")


@pytest.mark.usefixtures("two_gpus")
@pytest.mark.parametrize(
    ("asked", "chosen"), [("auto", "cuda:0"), ("cuda", "cuda:0"), ("cuda:1", "cuda:1"), ("cpu", "cpu")]
)
def test_the_choice_among_devices_is_always_the_same(asked: str, chosen: str) -> None:
    assert devices() == ["cpu", "cuda:0", "cuda:1"]
    assert choose_device(asked) == chosen


@pytest.mark.usefixtures("two_gpus")
@pytest.mark.parametrize("asked", ["cuda:2", "mps", "gpu"])
def test_a_device_that_is_not_there_is_refused(asked: str) -> None:
    with pytest.raises(InputError, match="Choose one of auto, cpu, cuda:0, cuda:1"):
        choose_device(asked)


@pytest.mark.parametrize(
    ("given", "told"),
    [("GPU-12ab", "GPU-12ab"), ("12ab-34", "GPU-12ab-34"), ("MIG-9", "MIG-9"), (None, None)],
)
def test_a_gpu_is_named_as_nvml_names_it(monkeypatch: pytest.MonkeyPatch, given: str | None, told: str | None) -> None:
    properties = SimpleNamespace(name="H200", uuid=given)
    module = SimpleNamespace(get_device_properties=lambda device: properties)
    monkeypatch.setattr(torch, "get_device_module", lambda device: module)
    assert gpu_uuid("cuda:0") == told
    assert describe_device("cuda:0")["name"] == "H200"


def test_memory_of_a_device_is_told_in_mib(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.accelerator, "get_memory_info", lambda device: (3 * 2**30, 4 * 2**30))
    for name, held in (("memory_allocated", 1), ("memory_reserved", 2), ("max_memory_allocated", 3)):
        monkeypatch.setattr(torch.accelerator, name, lambda device, held=held: held * 2**20)
    found = device_memory("cuda:0")
    assert found is not None
    assert (found.allocated_mib, found.reserved_mib, found.peak_mib) == (1, 2, 3)
    assert (found.free_mib, found.total_mib) == (3072, 4096)
