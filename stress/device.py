"""Devices behind one small protocol: mps, cuda, cpu. Child processes only; importing this imports torch.

What a torch build can do is found by looking, never by its version: forks and upstream differ, and
pre-release builds carry any version number.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any
from typing import Protocol

import torch


class Device(Protocol):
    """What the framework needs of a device."""

    type: str
    torch_device: torch.device

    def synchronize(self) -> None: ...
    def memory(self) -> dict[str, int]:
        """Return bytes by name; empty where the device keeps no account."""
        ...

    def capabilities(self) -> set[str]: ...
    def current_stream(self) -> object | None: ...
    def thread_stream(self) -> AbstractContextManager[object]:
        """Select a fresh stream for the calling thread, where the device has explicit streams."""
        ...


class Cpu:
    """The CPU: synchronous, without streams."""

    type = "cpu"

    def __init__(self) -> None:
        self.torch_device = torch.device("cpu")

    def synchronize(self) -> None:
        return None

    def memory(self) -> dict[str, int]:
        return {}

    def capabilities(self) -> set[str]:
        return {"float64"}

    def current_stream(self) -> object | None:
        return None

    def thread_stream(self) -> AbstractContextManager[object]:
        return contextlib.nullcontext()


class Cuda:
    """One NVIDIA (or ROCm) GPU, with full float32 precision so that it can be held against the CPU."""

    type = "cuda"

    def __init__(self) -> None:
        self.torch_device = torch.device("cuda")
        torch.backends.cuda.matmul.allow_tf32 = False
        torch.backends.cudnn.allow_tf32 = False
        torch.backends.cuda.matmul.allow_fp16_reduced_precision_reduction = False
        torch.backends.cuda.matmul.allow_bf16_reduced_precision_reduction = False

    def synchronize(self) -> None:
        torch.cuda.synchronize()

    def memory(self) -> dict[str, int]:
        return {
            "allocated_bytes": torch.cuda.memory_allocated(),
            "reserved_bytes": torch.cuda.memory_reserved(),
        }

    def capabilities(self) -> set[str]:
        return {"streams", "events", "record_stream", "pinned_memory", "float64", "accelerator"}

    def current_stream(self) -> object | None:
        return torch.cuda.current_stream()

    def thread_stream(self) -> AbstractContextManager[object]:
        return torch.cuda.stream(torch.cuda.Stream())


class Mps:
    """Apple's GPU through Metal; the fork's and upstream's stream functions are looked for by name."""

    type = "mps"

    def __init__(self) -> None:
        self.torch_device = torch.device("mps")

    def synchronize(self) -> None:
        torch.mps.synchronize()

    def memory(self) -> dict[str, int]:
        return {
            "allocated_bytes": torch.mps.current_allocated_memory(),
            "driver_bytes": torch.mps.driver_allocated_memory(),
        }

    def capabilities(self) -> set[str]:
        names = {
            "streams": ("Stream", "stream"),
            "events": ("Event",),
            "batch_queue": ("BatchQueue",),
            "release_slot": ("release_current_thread_slot",),
        }
        found = {name for name, needed in names.items() if all(hasattr(torch.mps, one) for one in needed)}
        found.add("accelerator")
        if "release_slot" in found:
            found.add("per_thread_streams")
        if found & {"streams", "per_thread_streams"}:
            found.add("record_stream")
        with contextlib.suppress(RuntimeError, TypeError, NotImplementedError):
            torch.empty(1).pin_memory()
            found.add("pinned_memory")
        return found

    def current_stream(self) -> object | None:
        current: Callable[[], object] | None = getattr(torch.mps, "current_stream", None)
        return current() if current else None

    def thread_stream(self) -> AbstractContextManager[object]:
        mps: Any = torch.mps
        if not hasattr(mps, "Stream") or not hasattr(mps, "stream"):
            raise RuntimeError(
                "--mps-streams=per-thread: this torch build has no torch.mps.Stream; use --mps-streams=auto"
            )
        return mps.stream(mps.Stream())


_DEVICES: dict[str, Callable[[], Device]] = {"cpu": Cpu, "cuda": Cuda, "mps": Mps}


def open_device(name: str) -> Device:
    """Return the device called `name` ("cpu", "cuda" or "mps"). Runs no op on it."""
    return _DEVICES[name]()


def visibility(name: str) -> str | None:
    """Return why the device cannot be used, or None when it can be seen."""
    if name == "cpu":
        return None
    if name == "cuda":
        if torch.cuda.is_available():
            return None
        return (
            "torch sees no CUDA device (this torch build has no CUDA)"
            if torch.version.cuda is None
            else "torch sees no CUDA device: is the driver loaded, and is CUDA_VISIBLE_DEVICES empty?"
        )
    if not torch.backends.mps.is_built():
        return f"this torch build ({torch.__version__}, {torch.__file__}) has no MPS support: install a macOS arm64 build"
    if not torch.backends.mps.is_available():
        return (
            "no Metal device is visible: macOS 14 or newer with an Apple GPU is needed, "
            "and a sandbox, a headless session or a virtual machine without a GPU hides it"
        )
    return None
