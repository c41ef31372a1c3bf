"""What torch's GPU trace calls: the registries of callbacks, for devices whose torch module has none. Imports torch."""

from __future__ import annotations

import types

from torch._utils import CallbackRegistry

_REGISTRIES = (
    "EventCreation",
    "EventDeletion",
    "EventRecord",
    "EventWait",
    "MemoryAllocation",
    "MemoryDeallocation",
    "StreamCreation",
    "DeviceSynchronization",
    "StreamSynchronization",
    "EventSynchronization",
)


def new_trace(device: str, *, has_functions: bool) -> types.ModuleType:
    """Return the registries, as `torch.cuda._gpu_trace` has them. Torch finds them as `_gpu_trace` of the device's module.

    No build of MPS has it yet. The simulated device and a tree's core tell of events, waits and synchronisations, and of
    memory nothing. `has_functions` says whether calls of the functions in torch._C (`_mps_recordEvent`) are told, too.
    """
    module = types.ModuleType("_gpu_trace", f"Callbacks for what a program asks of the {device}.")
    module.has_functions = has_functions  # type: ignore[attr-defined]
    for one in _REGISTRIES:
        setattr(module, f"{one}Callbacks", CallbackRegistry(f"{device}: {one}"))
    return module
