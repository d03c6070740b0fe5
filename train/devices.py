"""Where a network trains: which accelerators torch sees, which is taken, and what it says of its memory."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from core.errors import InputError

if TYPE_CHECKING:
    import torch

_MIB = 2**20


@dataclass(frozen=True)
class DeviceMemory:
    """What torch of this process holds on its device, in MiB; `free` and `total` are of the whole device."""

    allocated_mib: float
    reserved_mib: float
    peak_mib: float
    free_mib: float
    total_mib: float


def choose_device(asked: str = "auto") -> str:
    """The device that `asked` means: `auto` is the first accelerator, or the processor where there is none.

    A kind (`cuda`, `mps`, `xpu`) means its first device. Always the same on the same machine. Raises InputError
    for a device that is not there, naming those that are.
    """
    there = devices()
    if asked == "auto":
        return there[-1] if len(there) == 1 else there[1]
    meant = asked if ":" in asked or asked == "cpu" else f"{asked}:0"
    if meant not in there:
        raise InputError(f"There is no device {asked!r} here.", f"Choose one of auto, {', '.join(there)}.")
    return meant


def devices() -> list[str]:
    """`cpu`, then the accelerators by their number: `cuda:0`, `cuda:1`."""
    import torch

    if not torch.accelerator.is_available():
        return ["cpu"]
    kind = torch.accelerator.current_accelerator()
    count = torch.accelerator.device_count()
    return ["cpu", *(f"{kind.type}:{number}" for number in range(count))] if kind else ["cpu"]


def describe_device(device: str) -> dict[str, Any]:
    """What made a model, for its card: device, name of the hardware, UUID where it has one, versions."""
    import platform

    import torch

    found = torch.device(device)
    told: dict[str, Any] = {"device": device, "torch": str(torch.__version__), "threads": torch.get_num_threads()}
    if found.type == "cpu":
        return {**told, "name": platform.processor() or platform.machine(), "uuid": None}
    properties = _properties(found)
    return {
        **told,
        "name": str(getattr(properties, "name", found.type)),
        "uuid": gpu_uuid(device),
        "runtime": torch.version.cuda or torch.version.hip or None,
    }


def gpu_uuid(device: str) -> str | None:
    """The UUID of a GPU as NVML writes it (`GPU-…`); None for devices without one.

    NVML counts devices in another order than torch: only the UUID tells which is which.
    """
    import torch

    found = torch.device(device)
    uuid = getattr(_properties(found), "uuid", None) if found.type == "cuda" else None
    if uuid is None:
        return None
    return str(uuid) if str(uuid).startswith(("GPU-", "MIG-")) else f"GPU-{uuid}"


def device_memory(device: str) -> DeviceMemory | None:
    """What this process holds on the device; None on a processor. Only the process that trains can tell."""
    import torch

    found = torch.device(device)
    if found.type == "cpu":
        return None
    free, total = torch.accelerator.get_memory_info(found)
    held = (
        torch.accelerator.memory_allocated(found),
        torch.accelerator.memory_reserved(found),
        torch.accelerator.max_memory_allocated(found),
    )
    return DeviceMemory(*(value / _MIB for value in (*held, free, total)))


def _properties(device: torch.device) -> Any:
    import torch

    module = torch.get_device_module(device)
    return module.get_device_properties(device) if hasattr(module, "get_device_properties") else None
