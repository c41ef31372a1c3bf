"""The parts of `torch.mps` that the simulated designs offer and this torch lacks. Never overwrites torch's own names.

The fork's names are `release_current_thread_slot` and `BatchQueue`; upstream's, new in torch 2.15, are `Stream`,
`StreamContext`, `stream`, `current_stream`, `default_stream` and `set_stream`. With a library that is registered
as PrivateUse1 the same functions, and those that torch.mps has anyway, go into a module of the device's own.
"""

from __future__ import annotations

import types
from typing import Any

import torch

from stress.device.gpu_trace import new_trace
from stress.device.sim.device_type import device_type_number
from stress.device.sim.device_type import ops


class Stream(torch.Stream):
    """A stream of the simulated device: the next explicit one, round-robin, or the one with `stream_id`."""

    def __new__(cls, device: object = None, *, stream_id: int | None = None, **_: object) -> Stream:
        number = ops().new_stream() if stream_id is None else stream_id
        return super().__new__(cls, stream_id=number, device_index=0, device_type=device_type_number())

    def synchronize(self) -> None:
        """Wait until all work of this stream is done."""
        ops().synchronize_stream(self.stream_id)

    def query(self) -> bool:
        """Whether all work submitted to this stream is done."""
        event = ops().event_acquire(False)
        try:
            ops().event_record(event, self.stream_id)
            return bool(ops().event_query(event))
        finally:
            ops().event_release(event)

    def record_event(self, event: Any = None) -> Any:
        """Record an event, a new one by default, on this stream; return it."""
        if event is None:
            event = torch.mps.Event() if ops().device_type() == "mps" else Event()
        with StreamContext(self):
            event.record()
        return event

    def wait_event(self, event: Any) -> None:
        """Make later work of this stream wait for the event."""
        with StreamContext(self):
            event.wait()

    def wait_stream(self, stream: torch.Stream) -> None:
        """Make later work of this stream wait for the work that `stream` holds now."""
        event = ops().event_acquire(False)
        try:
            ops().event_record(event, stream.stream_id)
            ops().event_wait(event, self.stream_id)
        finally:
            ops().event_release(event)

    def __repr__(self) -> str:
        return f"<simulated torch.mps.Stream stream_id={self.stream_id}>"


class StreamContext:
    """Select a stream for the calling thread and put the previous one back; nothing for None."""

    def __init__(self, stream: torch.Stream | None) -> None:
        self.stream = stream
        self._previous: list[int] = []

    def __enter__(self) -> torch.Stream | None:
        if self.stream is not None:
            self._previous.append(ops().exchange_current_stream(self.stream.stream_id))
        return self.stream

    def __exit__(self, *_: object) -> None:
        if self.stream is not None:
            ops().exchange_current_stream(self._previous.pop())


def stream(stream: torch.Stream | None) -> StreamContext:
    """Return a context manager that selects `stream`."""
    return StreamContext(stream)


def current_stream() -> Stream:
    """Return the calling thread's stream."""
    return Stream(stream_id=ops().current_stream())


def default_stream() -> Stream:
    """Return stream 0."""
    return Stream(stream_id=0)


def set_stream(stream: torch.Stream | None) -> None:
    """Select `stream` for the calling thread; nothing for None."""
    if stream is not None:
        ops().exchange_current_stream(stream.stream_id)


def release_current_thread_slot() -> None:
    """Give the calling thread's stream back to the pool; it gets one again at its next use of the device."""
    ops().release_current_thread_slot()


def provide_storages(device_type: str) -> None:
    """Let `torch.UntypedStorage(..., device=...)` make storages of the device, as deserialisation does.

    What a wheel for Linux makes of it was decided when torch was compiled: it recognises no storage of MPS.
    """
    if "__new__" in vars(torch.UntypedStorage):
        return
    original: Any = torch.UntypedStorage.__new__

    def new(cls: type[Any], *args: Any, device: Any = None, **kwargs: Any) -> Any:
        if device is None:
            return original(cls, *args, **kwargs)
        if torch.device(device).type != device_type:
            return original(cls, *args, device=device, **kwargs)
        given = args[0] if args else kwargs.get("size", 0)
        if isinstance(given, int):
            return torch.empty(given, dtype=torch.uint8, device=device).untyped_storage()
        return torch.tensor(list(given), dtype=torch.uint8, device=device).untyped_storage()

    torch.UntypedStorage.__new__ = new  # type: ignore[method-assign]


_UPSTREAM = (Stream, StreamContext, stream, current_stream, default_stream, set_stream)


def provide(module: Any, design: str) -> None:
    """Put the design's names into `module`, except those that are there already."""
    from stress.device.sim.batch_queue import BatchQueue
    from stress.device.sim.shaders import SimulatedShaderLibrary

    if hasattr(module, "compile_shader"):  # torch's own, which calls this
        torch._C._mps_compileShader = SimulatedShaderLibrary  # type: ignore[attr-defined]
    else:
        module.compile_shader = SimulatedShaderLibrary
    if not hasattr(module, "_gpu_trace"):
        module._gpu_trace = new_trace("simulated device", has_functions=True)
    for one in _UPSTREAM if design == "upstream" else (release_current_thread_slot, BatchQueue):
        if not hasattr(module, one.__name__):
            setattr(module, one.__name__, one)


class Event:
    """An event for a device module that has none (PrivateUse1); as torch.mps.Event."""

    def __init__(self, enable_timing: bool = False) -> None:
        self._event = ops().event_acquire(enable_timing)

    def __del__(self) -> None:
        if hasattr(self, "_event"):
            ops().event_release(self._event)

    def record(self) -> None:
        """Record the event on the calling thread's stream."""
        ops().event_record(self._event, ops().current_stream())

    def wait(self) -> None:
        """Make later work of the calling thread's stream wait for this event."""
        ops().event_wait(self._event, ops().current_stream())

    def query(self) -> bool:
        return bool(ops().event_query(self._event))

    def synchronize(self) -> None:
        ops().event_synchronize(self._event)

    def elapsed_time(self, end_event: Event) -> float:
        """Return the milliseconds between the two recordings."""
        return float(ops().event_elapsed_ms(self._event, end_event._event))


def new_module(name: str) -> types.ModuleType:
    """Return a module with the functions that torch expects of a device, and those that torch.mps has."""
    module = types.ModuleType(
        f"torch.{name}", "The simulated device, registered as PrivateUse1. Never real Metal."
    )
    functions = {
        "Event": Event,
        "is_available": lambda: True,
        "is_initialized": lambda: True,
        "device_count": lambda: 1,
        "current_device": lambda: 0,
        "_is_in_bad_fork": lambda: False,
        "synchronize": lambda *_: ops().synchronize_all(),
        "empty_cache": lambda: ops().empty_cache(),
        "current_allocated_memory": lambda: ops().memory()["allocated_bytes"],
        "driver_allocated_memory": lambda: ops().memory()["reserved_bytes"],
        "manual_seed_all": lambda seed: ops().manual_seed(seed),
    }
    vars(module).update(functions)
    return module
