"""Streams and events of any device, for scenarios. Child processes only.

Functions are found by looking: those of `torch.cuda` and `torch.mps` where they have them, torch's generic
`Stream`, `Event` and `torch.accelerator` elsewhere. The CPU runs each thread's work in the thread itself: there
a thread is its own stream, an event is done when it is recorded, and nothing has to wait.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any
from typing import Protocol

import torch

_ANSWER_S_MAX = 30.0


class Event(Protocol):
    """The methods that events of all devices have; each acts on the calling thread's current stream."""

    def record(self) -> None: ...
    def wait(self) -> None: ...
    def query(self) -> bool: ...
    def synchronize(self) -> None: ...
    def elapsed_time(self, end: Any, /) -> float: ...


class _HostEvent:
    """An event of the CPU: every call before it has ended."""

    def __init__(self) -> None:
        self._recorded_s = 0.0

    def record(self) -> None:
        self._recorded_s = time.perf_counter()

    def wait(self) -> None:
        return None

    def query(self) -> bool:
        return True

    def synchronize(self) -> None:
        return None

    def elapsed_time(self, end: _HostEvent, /) -> float:
        return (end._recorded_s - self._recorded_s) * 1000.0


def _module(device: torch.device) -> Any:
    """Return torch.cuda, torch.mps or the like; None where torch has no module of that name."""
    return getattr(torch, device.type, None)


def function_of(device: torch.device, *names: str) -> Callable[[], Any]:
    """Return the first of these functions that the device's own module has, else `torch.accelerator`'s.

    Looked up in that order and no further: older builds of torch lack `torch.accelerator`, or some of its functions.
    """
    module = _module(device)
    own = next((name for name in names if hasattr(module, name)), None)
    function: Callable[[], Any] = (
        getattr(torch.accelerator, names[-1]) if own is None else getattr(module, own)
    )
    return function


def new_stream(device: torch.device) -> torch.Stream | None:
    """Return a stream other than the default one; None on the CPU, which has no streams to choose from."""
    if device.type == "cpu":
        return None
    make = getattr(_module(device), "Stream", None)
    made: torch.Stream = torch.Stream(device) if make is None else make()
    return made


def own_stream(device: torch.device) -> torch.Stream | None:
    """Return a stream for one thread to choose; None where every thread has its own anyway (the CPU, a fork's pool).

    Raises NotImplementedError where all threads share the one stream that there is.
    """
    if device.type == "cpu" or hasattr(_module(device), "release_current_thread_slot"):
        return None
    try:
        stream = new_stream(device)
        with use_stream(stream):
            return stream
    except (RuntimeError, TypeError, AttributeError) as error:
        raise NotImplementedError(f"{device.type} has one stream for all threads") from error


def use_stream(stream: torch.Stream | None) -> AbstractContextManager[Any]:
    """Return a context in which `stream` is the calling thread's current one; None changes nothing."""
    if stream is None:
        return contextlib.nullcontext()
    select = getattr(_module(stream.device), "stream", None)
    context: AbstractContextManager[Any] = stream if select is None else select(stream)
    return context


def current_stream(device: torch.device) -> torch.Stream | None:
    """Return the calling thread's current stream; None on the CPU."""
    if device.type == "cpu":
        return None
    current: torch.Stream = function_of(device, "current_stream")()
    return current


def current_stream_id(device: torch.device) -> int:
    """Return a number for the calling thread's stream: 0 for the default one. On the CPU, the thread's own."""
    stream = current_stream(device)
    if stream is not None:
        return int(stream.stream_id)
    return 0 if threading.current_thread() is threading.main_thread() else threading.get_ident()


def streams_differ(device: torch.device) -> bool:
    """Whether a second thread gets a current stream other than this thread's. Runs no op."""
    told: list[int] = []
    thread = threading.Thread(target=lambda: told.append(current_stream_id(device)), daemon=True)
    thread.start()
    thread.join(_ANSWER_S_MAX)
    return bool(told) and told[0] != current_stream_id(device)


def new_event(device: torch.device, *, timing: bool = False) -> Event:
    """Return an event that nothing has recorded yet."""
    if device.type == "cpu":
        return _HostEvent()
    make = getattr(_module(device), "Event", None)
    made: Event = torch.Event(device, enable_timing=timing) if make is None else make(enable_timing=timing)
    return made


def record(event: Event, stream: torch.Stream | None = None) -> None:
    """Record `event` on `stream`, or on the calling thread's current one."""
    with use_stream(stream):
        event.record()


def wait(event: Event, stream: torch.Stream | None = None) -> None:
    """Let `stream`, or the calling thread's current one, wait for `event`; the thread itself continues."""
    with use_stream(stream):
        event.wait()


def synchronize(device: torch.device) -> None:
    """Wait until all that any thread has submitted to the device before this call is done."""
    if device.type != "cpu":
        function_of(device, "synchronize")()


def record_stream(tensor: torch.Tensor, stream: torch.Stream | None) -> None:
    """Tell the allocator that `stream` uses the tensor, so that its memory is not reused before that use is over."""
    if stream is not None:
        tensor.record_stream(stream)
