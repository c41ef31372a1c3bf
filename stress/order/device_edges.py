"""What orders streams: torch's GPU trace where the device has one (cuda, xpu, the simulated device), else wrapped functions.

The trace is called from C++, so that events and waits of autograd and of extensions are seen too. It has no call for a query
that found an event done, which orders as much as waiting does: those are wrapped. MPS calls no trace, and there the Python
functions of `torch.mps` are wrapped; what C++ does by itself is not seen. A tree's core has both: a trace of what torch asks
of its guard (`torch.Event`, autograd), and the functions of `torch.mps`, which are the tree's own.
"""

from __future__ import annotations

import contextlib
import itertools
import sys
from collections.abc import Callable
from functools import partial
from types import ModuleType
from typing import Any
from typing import Protocol

import torch

from stress.order import attributes


class EdgeListener(Protocol):
    """What the checker learns. A stream is a number that the device gives: see `stream_number`."""

    def event_recorded(self, device: str, event: int, stream: int) -> None: ...
    def event_awaited(self, device: str, event: int, stream: int) -> None: ...
    def event_synchronized(self, device: str, event: int) -> None: ...
    def event_forgotten(self, device: str, event: int) -> None: ...
    def stream_synchronized(self, device: str, stream: int) -> None: ...
    def device_synchronized(self, device: str) -> None: ...
    def memory_returned(self, device: str) -> None: ...


class _Current:
    """The listener of this moment: torch's registries keep a callback for ever."""

    listener: EdgeListener | None = None
    registered: set[int] = set()


_CALLS = {
    "EventCreationCallbacks": "event_forgotten",
    "EventDeletionCallbacks": "event_forgotten",
    "EventRecordCallbacks": "event_recorded",
    "EventWaitCallbacks": "event_awaited",
    "EventSynchronizationCallbacks": "event_synchronized",
    "StreamSynchronizationCallbacks": "stream_synchronized",
    "DeviceSynchronizationCallbacks": "device_synchronized",
}
_TRACED_TYPES = ("cuda", "xpu")
problems: list[str] = []
"""What a callback raised: torch logs and swallows it, and a checker that has lost events must not look sound."""


def _forward(device: str, name: str) -> Callable[..., None]:
    def call(*args: int) -> None:
        listener = _Current.listener
        if listener is not None:
            try:
                getattr(listener, name)(device, *args)
            except Exception as error:
                problems.append(f"{name}: {type(error).__name__}: {error}")

    return call


def has_trace() -> bool:
    """Whether this torch can call a trace at all."""
    return hasattr(torch._C, "_activate_gpu_trace")


def listen(listener: EdgeListener) -> contextlib.ExitStack:
    """Tell `listener` of every edge from now on, until the returned stack is closed."""
    stack = contextlib.ExitStack()
    problems.clear()
    _Current.listener = listener
    stack.callback(setattr, _Current, "listener", None)
    for type_ in _device_types():
        module = getattr(torch, type_)
        traced = has_trace() and _register(type_, module)
        _wrap_module(stack, type_, module, listener, traced=traced)
        if type_ == "mps" and not (traced and module._gpu_trace.has_functions):
            _wrap_mps(stack, listener)
            if not traced:
                _wrap_generic_event(stack, listener)
    return stack


def _device_types() -> list[str]:
    """Return the device types that this process can use."""
    found = [one for one in _TRACED_TYPES if (module := getattr(torch, one, None)) and module.is_available()]
    if torch.backends.mps.is_available() or hasattr(torch.mps, "_gpu_trace"):
        found.append("mps")
    name = torch._C._get_privateuse1_backend_name()
    if hasattr(torch, name):
        found.append(name)
    return found


def _register(type_: str, module: ModuleType) -> bool:
    """Add our callbacks to the device's registries; return whether it has any."""
    trace = getattr(module, "_gpu_trace", None)
    if trace is None and type_ in _TRACED_TYPES:
        with contextlib.suppress(ImportError):
            trace = __import__(f"torch.{type_}._gpu_trace", fromlist=["*"])
    if trace is None:
        return False
    if id(trace) not in _Current.registered:
        _Current.registered.add(id(trace))
        for registry, name in _CALLS.items():
            getattr(trace, registry).add_callback(_forward(type_, name))
    torch._C._activate_gpu_trace()
    return True


def _replace(stack: contextlib.ExitStack, owner: Any, name: str, make: Callable[[Any], Any]) -> None:
    """Replace a function until the stack is closed; nothing where there is none."""
    own = vars(owner).get(name)
    if own is not None:
        with contextlib.suppress(TypeError):  # a class that is C's
            attributes.replace(stack, owner, name, make(own))


def _wrap_module(
    stack: contextlib.ExitStack, type_: str, module: ModuleType, listener: EdgeListener, *, traced: bool
) -> None:
    """Wrap what no trace tells: queries that found work done, and memory given back."""

    def returning(empty_cache: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            result = empty_cache(*args, **kwargs)
            listener.memory_returned(type_)
            return result

        return call

    _replace(stack, module, "empty_cache", returning)
    if type_ not in _TRACED_TYPES:
        return

    def queried(query: Callable[[Any], bool]) -> Callable[[Any], bool]:
        def call(self: Any) -> bool:
            done = bool(query(self))
            if done and hasattr(self, "cuda_event"):
                listener.event_synchronized(type_, self.cuda_event)
            elif done:
                listener.stream_synchronized(type_, self.cuda_stream)
            return done

        return call

    def timed(elapsed: Callable[[Any, Any], float]) -> Callable[[Any, Any], float]:
        def call(self: Any, end_event: Any) -> float:
            milliseconds = float(elapsed(self, end_event))  # raises unless both are done
            for one in (self, end_event):
                listener.event_synchronized(type_, one.cuda_event)
            return milliseconds

        return call

    for name in ("Event", "Stream"):
        _replace(stack, getattr(module, name), "query", queried)
    _replace(stack, module.Event, "elapsed_time", timed)


def _wrap_mps(stack: contextlib.ExitStack, listener: EdgeListener) -> None:
    """Wrap the functions that `torch.mps` calls. `torch.mps.Event` names an event by a number."""

    def after(tell: Callable[..., None]) -> Callable[[Any], Any]:
        def make(original: Callable[..., Any]) -> Callable[..., Any]:
            def call(*args: Any) -> Any:
                result = original(*args)
                tell(result, *args)
                return result

            return call

        return make

    def current() -> int:
        return stream_number(torch.device("mps"))

    def both_done(_: float, start: int, end: int) -> None:
        listener.event_synchronized("mps", start)
        listener.event_synchronized("mps", end)

    calls: dict[str, Callable[..., None]] = {
        "_mps_acquireEvent": lambda event, *_: listener.event_forgotten("mps", event),
        "_mps_recordEvent": lambda _, event: listener.event_recorded("mps", event, current()),
        "_mps_waitForEvent": lambda _, event: listener.event_awaited("mps", event, current()),
        "_mps_synchronizeEvent": lambda _, event: listener.event_synchronized("mps", event),
        "_mps_queryEvent": lambda done, event: listener.event_synchronized("mps", event) if done else None,
        "_mps_elapsedTimeOfEvents": both_done,
        "_mps_deviceSynchronize": lambda *_: listener.device_synchronized("mps"),
    }
    for name, tell in calls.items():
        _replace(stack, torch._C, name, after(tell))
    own: Any = getattr(torch.mps, "Stream", None)  # new in torch 2.15
    if own is None:
        return

    def waited(_: object, stream: Any, other: Any) -> None:
        listener.event_recorded("mps", _OF_WAIT_STREAM, other.stream_id)
        listener.event_awaited("mps", _OF_WAIT_STREAM, stream.stream_id)

    methods: dict[str, Callable[..., None]] = {
        "synchronize": lambda _, stream: listener.stream_synchronized("mps", stream.stream_id),
        "query": lambda done, stream: listener.stream_synchronized("mps", stream.stream_id) if done else None,
        "wait_stream": waited,
    }
    for name, tell in methods.items():
        _replace(stack, own, name, after(tell))


def _wrap_generic_event(stack: contextlib.ExitStack, listener: EdgeListener) -> None:
    """Let `torch.Event` be a subclass of itself: it is a class of C's, whose methods cannot be replaced.

    Events that were made before, and those that C++ makes, stay unseen.
    """
    base: Any = torch.Event
    numbers = itertools.count(-2, -1)  # apart from the events of `torch.mps`, and from `_OF_WAIT_STREAM`

    def number_of_stream(stream: torch.Stream | None) -> int:
        return stream_number(torch.device("mps")) if stream is None else number_of(stream)

    class SeenEvent(base):
        def record(self, stream: torch.Stream | None = None) -> None:
            super().record(*([] if stream is None else [stream]))
            self._order_number = next(numbers)
            if self.device.type == "mps":
                listener.event_recorded("mps", self._order_number, number_of_stream(stream))

        def wait(self, stream: torch.Stream | None = None) -> None:
            super().wait(*([] if stream is None else [stream]))
            if self.device.type == "mps" and hasattr(self, "_order_number"):
                listener.event_awaited("mps", self._order_number, number_of_stream(stream))

        def _done(self) -> None:
            if hasattr(self, "_order_number"):
                listener.event_synchronized("mps", self._order_number)

        def synchronize(self) -> None:
            super().synchronize()
            self._done()

        def query(self) -> bool:
            is_done = bool(super().query())
            if is_done:
                self._done()
            return is_done

        def elapsed_time(self, end_event: Any) -> float:
            milliseconds = float(super().elapsed_time(end_event))
            for one in (self, end_event):
                one._done()
            return milliseconds

    SeenEvent.__name__ = SeenEvent.__qualname__ = base.__name__
    attributes.replace(stack, torch, "Event", SeenEvent)


_current_stream: Callable[[int], torch.Stream] | None = getattr(torch._C, "_accelerator_getStream", None)
_OF_WAIT_STREAM = -1
"""Stands for the event that `wait_stream` makes for itself."""


def stream_number(device: torch.device) -> int:
    """Return the calling thread's current stream of a device, by the number that the trace gives it."""
    return current_stream_of(device)()


def current_stream_of(device: torch.device) -> Callable[[], int]:
    """Return what returns the calling thread's current stream of a device: every operator asks."""
    index = device.index
    if device.type == "cuda":
        of_cuda: Callable[[int], int] = torch._C._cuda_getCurrentRawStream
        return partial(of_cuda, index or 0)
    if _current_stream is not None:
        getter, own = _current_stream, -1 if index is None else index
        return lambda: getter(own).stream_id
    if "mps_stress_sim" in _loaded_namespaces():
        return lambda: int(torch.ops.mps_stress_sim.current_stream())
    return lambda: 0


def number_of(stream: torch.Stream) -> int:
    """Return the number that the trace gives a stream."""
    if stream.device.type != "cuda":
        return int(stream.stream_id)
    exact = torch.cuda.Stream(
        stream_id=stream.stream_id, device_index=stream.device_index, device_type=stream.device_type
    )
    return int(exact.cuda_stream)


def _loaded_namespaces() -> set[str]:
    return {"mps_stress_sim"} if "stress.device.sim.loading" in sys.modules else set()
