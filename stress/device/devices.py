"""Devices behind one small protocol: mps, cuda, cpu, sim, core. Child processes only; importing this imports torch.

What a torch build can do is found by looking, never by its version: forks and upstream differ, and
pre-release builds carry any version number.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import shutil
from collections.abc import Callable
from collections.abc import Iterator
from contextlib import AbstractContextManager
from typing import Any
from typing import Protocol

import torch

from stress.device.core import loading as core_loading
from stress.device.sim import loading
from stress.device.sim.zoo import FORK_CAPABILITIES
from stress.scenario import shaders
from stress.scenario import streams


class Device(Protocol):
    """The protocol that the framework needs from a device."""

    type: str
    torch_device: torch.device

    @property
    def is_replayable(self) -> bool:
        """Whether the order of all work follows from a seed, in threads that take part in the schedule."""
        ...

    def synchronize(self) -> None: ...
    def memory(self) -> dict[str, int]:
        """Return bytes by name; empty where the device does not count them."""
        ...

    def empty_cache(self) -> None:
        """Give memory that no tensor uses back to the system."""
        ...

    def capabilities(self) -> set[str]: ...
    def current_stream(self) -> object | None: ...
    def thread_stream(self) -> AbstractContextManager[object]:
        """Select a fresh stream for the calling thread, where the device has explicit streams."""
        ...

    def schedule(self, index: int, count: int) -> AbstractContextManager[object]:
        """Take part, as crew thread `index` of `count`, in a repeatable device order, if one was requested."""
        ...

    def note_step(self, thread: int, iteration: int) -> None:
        """Report the calling thread's position to a device that records it."""
        ...


class _FreelyScheduled:
    """A device whose order only the operating system decides."""

    is_replayable = False

    def schedule(self, index: int, count: int) -> AbstractContextManager[object]:
        return contextlib.nullcontext()

    def note_step(self, thread: int, iteration: int) -> None:
        return None


class Cpu(_FreelyScheduled):
    """The CPU: synchronous, without streams."""

    type = "cpu"

    def __init__(self) -> None:
        self.torch_device = torch.device("cpu")

    def synchronize(self) -> None:
        return None

    def memory(self) -> dict[str, int]:
        return {}

    def empty_cache(self) -> None:
        return None

    def capabilities(self) -> set[str]:
        compiler = shutil.which(os.environ.get("CXX", "g++"))
        found = {"float64", "own_errors", "index_errors"}
        return found | {"inductor"} if compiler else found

    def current_stream(self) -> object | None:
        return None

    def thread_stream(self) -> AbstractContextManager[object]:
        return contextlib.nullcontext()


class Cuda(_FreelyScheduled):
    """One NVIDIA (or ROCm) GPU, with full float32 precision so that it can be compared with the CPU."""

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

    def empty_cache(self) -> None:
        clear = getattr(torch._C, "_cuda_clearCublasWorkspaces", None)
        if clear is not None:  # a tensor for each thread and stream, which counts as allocated
            clear()
        torch.cuda.empty_cache()

    def capabilities(self) -> set[str]:
        found = {
            "streams",
            "stream_ids",
            "events",
            "record_stream",
            "own_errors",
            "index_errors",
            "pinned_memory",
            "memory_limit",
            "float64",
            "accelerator",
        }
        return found | {"inductor"} if importlib.util.find_spec("triton") else found

    def current_stream(self) -> object | None:
        return torch.cuda.current_stream()

    def thread_stream(self) -> AbstractContextManager[object]:
        return torch.cuda.stream(torch.cuda.Stream())


class Mps(_FreelyScheduled):
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

    def empty_cache(self) -> None:
        torch.mps.empty_cache()

    def capabilities(self) -> set[str]:
        names = {
            "streams": ("Stream", "stream"),
            "events": ("Event",),
            "batch_queue": ("BatchQueue",),
            "release_slot": ("release_current_thread_slot",),
            "memory_limit": ("set_per_process_memory_fraction", "recommended_max_memory"),
        }
        found = {name for name, needed in names.items() if all(hasattr(torch.mps, one) for one in needed)}
        found |= {"accelerator", "cpu_fallback", "graph_path", "index_errors"}
        if shaders.compiler(self.torch_device) is not None:
            found.add("shaders")
        if "release_slot" in found:
            found.add("per_thread_streams")
        if found & {"streams", "per_thread_streams"}:
            found |= {"record_stream", "own_errors"}
        if hasattr(torch.mps, "current_stream") or streams.streams_differ(self.torch_device):
            found.add("stream_ids")
        with contextlib.suppress(RuntimeError, TypeError, NotImplementedError):
            torch.empty(1).pin_memory()
            found.add("pinned_memory")
        if importlib.util.find_spec("torch._inductor.codegen.mps"):
            found.add("inductor")
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


class Core(Mps):
    """A PyTorch tree's own MPS core on a simulated Metal. Torch calls it mps; nothing else does."""

    type = "core"

    def __init__(self) -> None:
        super().__init__()
        self._note_step = loading.note_step()

    def capabilities(self) -> set[str]:
        found = super().capabilities() - {"graph_path", "inductor"} | {"simulated"}
        core = core_loading.prepared()
        if core is None or not core.tree_operators:
            return found | {"own_errors"}  # Torch's CPU kernels raise at the call.
        # Errors of the tree's own operators are where the tree keeps them. One without streams (2.6) looks at no index.
        return found if "own_errors" in found else found - {"index_errors"}

    def note_step(self, thread: int, iteration: int) -> None:
        if self._note_step is not None:
            self._note_step(thread, iteration)

    def take_broken_promises(self) -> list[str]:
        return core_loading.take_broken_promises()


class Sim:
    """The simulated device, through the control functions of its library. It is not Metal."""

    type = "sim"

    def __init__(self) -> None:
        self._design, self._schedule = loading.prepared().design, loading.prepared().schedule
        self._ops = loading.ops()
        self.torch_device = loading.torch_device()
        self._module: Any = torch.get_device_module(self.torch_device)
        self._note_step = loading.note_step()

    def synchronize(self) -> None:
        self._ops.synchronize_all()

    def memory(self) -> dict[str, int]:
        return {name: count for name, count in self._ops.memory().items() if name in _BYTES_IN_USE}

    def empty_cache(self) -> None:
        self._module.empty_cache()

    def capabilities(self) -> set[str]:
        found = {
            "accelerator",
            "cpu_fallback",
            "index_errors",
            "own_errors",
            "record_stream",
            "shaders",
            "simulated",
        }
        if hasattr(self._module, "set_per_process_memory_fraction"):
            found.add("memory_limit")
        if self._design != "upstream":
            found |= FORK_CAPABILITIES
        unable = RuntimeError, TypeError, NotImplementedError, AttributeError
        with contextlib.suppress(*unable):
            event = self._module.Event()
            event.record()
            event.synchronize()
            found.add("events")
        # Generic ones (torch.Stream) where the design has no torch.mps.Stream.
        with (
            contextlib.suppress(*unable),
            streams.use_stream(streams.new_stream(self.torch_device)),
        ):
            found.add("streams")
        with contextlib.suppress(*unable):
            if hasattr(self._module, "current_stream") or streams.streams_differ(self.torch_device):
                found.add("stream_ids")
        with contextlib.suppress(*unable):
            torch.empty(1).pin_memory()
            found.add("pinned_memory")
        return found

    def current_stream(self) -> object | None:
        # The fork has no function that names a stream, and asking would bind the thread before its first operation.
        return self._module.current_stream() if self._design == "upstream" else None

    def thread_stream(self) -> AbstractContextManager[object]:
        return streams.use_stream(streams.new_stream(self.torch_device))

    @contextlib.contextmanager
    def schedule(self, index: int, count: int) -> Iterator[None]:
        if not self.is_replayable:
            yield
            return
        self._ops.schedule_attach(index, count)
        try:
            yield
        finally:
            self._ops.schedule_detach()

    def note_step(self, thread: int, iteration: int) -> None:
        if self._note_step is not None:
            self._note_step(thread, iteration)

    @property
    def is_replayable(self) -> bool:
        return self._schedule != "free"

    def statistics(self) -> dict[str, int]:
        """Return the device's counters, among them how often each fault struck."""
        return dict(self._ops.statistics())

    def take_broken_promises(self) -> list[str]:
        """Return what the device promised and did not keep since this was called last, a line each."""
        return list(self._ops.take_broken_promises())

    def order(self) -> tuple[str, str]:
        """Return (hash of all work in the order it ran, why it may differ next time or "")."""
        return f"{self._ops.device_order() & 0xFFFF_FFFF_FFFF_FFFF:016x}", self._ops.schedule_not_replayable()


_BYTES_IN_USE = ("allocated_bytes", "reserved_bytes")
_DEVICES: dict[str, Callable[[], Device]] = {"cpu": Cpu, "cuda": Cuda, "mps": Mps, "sim": Sim, "core": Core}


def open_device(name: str) -> Device:
    """Return the device called `name` ("cpu", "cuda", "mps", "sim" or "core"). Runs no op on it."""
    return _DEVICES[name]()


def visibility(name: str) -> str | None:
    """Return why the device cannot be used, or None when it can be seen."""
    if name in (
        "cpu",
        "sim",
        "core",
    ):  # the last two were loaded before; otherwise the child would not be here
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
        return f"this torch build ({torch.__version__}, {torch.__file__}) has no MPS support: real MPS needs a Mac with a macOS arm64 build; elsewhere use --mps-device=sim"
    if not torch.backends.mps.is_available():
        return (
            "no Metal device is visible: macOS 14 or newer with an Apple GPU is needed, "
            "and a sandbox, a headless session or a virtual machine without a GPU hides it"
        )
    return None
