"""A limit on the device's memory, for scenarios that use it up. Child processes only.

Nothing that runs a machine out of memory may run without one: a scenario that does requires "memory_limit",
which is a device where it can be set, and is skipped elsewhere.
"""

from __future__ import annotations

from typing import Any

import torch

from stress.model import system
from stress.scenario.streams import function_of


def limit_memory(device: torch.device, limit_bytes: int) -> None:
    """Let no more than `limit_bytes` be allocated on the device, and make this process the kernel's first victim.

    Does nothing on the CPU, where torch has no limit: only references are made there.
    """
    if device.type == "cpu":
        return
    system.prefer_to_be_killed()
    module: Any = getattr(torch, device.type)
    if hasattr(module, "recommended_max_memory"):
        whole = module.recommended_max_memory()
    else:
        whole = module.mem_get_info()[1]
    module.set_per_process_memory_fraction(limit_bytes / whole)


def empty_cache(device: torch.device) -> None:
    """Give memory that no tensor uses back to the system."""
    if device.type != "cpu":
        function_of(device, "empty_cache")()


def allocated_bytes(device: torch.device) -> int:
    """Return the bytes that live tensors take, by the device's own count; 0 on the CPU, which keeps none."""
    return _asked(device, "current_allocated_memory", "memory_allocated")


def driver_bytes(device: torch.device) -> int:
    """Return the bytes that the process holds of the device, caches included; 0 on the CPU."""
    return _asked(device, "driver_allocated_memory", "memory_reserved")


def _asked(device: torch.device, *names: str) -> int:
    return 0 if device.type == "cpu" else int(function_of(device, *names)())
