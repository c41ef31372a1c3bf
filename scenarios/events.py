"""Events: positions on a stream that other streams and threads wait for, ask about, and measure between."""

from __future__ import annotations

import contextlib
import math
from collections import deque
from collections.abc import Callable
from collections.abc import Sequence
from typing import Any
from typing import ClassVar

import torch

from stress import Scenario
from stress import current
from stress import streams
from stress.exact import climb
from stress.exact import count_wrong
from stress.exact import shift_matrix

_STEPS = 3
_ROUNDS = 4
_ASKED_MAX = 8


class EventAcrossThreads(Scenario):
    """Threads record events behind tensors they make and let their streams wait for other threads' before reading them."""

    origin = (
        "Cross-Stream Tensor of dropbox/dML (test_cross_stream_tensor.py)",
        "pytorch#194111: Event.record and wait on several MPS streams",
    )
    rows: ClassVar[tuple[int, ...]] = (11, 13)
    requires = ("events",)
    iterations = 12

    def setup(self, device: torch.device) -> dict[str, Any]:
        return {"shift": shift_matrix(128).to(device), "made": deque()}

    def step(self, state: dict[str, Any], x: None) -> int:
        shift, made = state["shift"], state["made"]
        start = float(current().thread_index * 100 + current().iteration)
        wrong = torch.zeros((), dtype=torch.int64, device=shift.device)
        read = []
        for _ in range(_ROUNDS):
            event = streams.new_event(shift.device)  # before the work: others take theirs in the meantime
            tensor = climb(start, shift, rows=64, steps=_STEPS)
            streams.record(event)
            made.append((tensor, event, start + _STEPS))
            # The newest one, which another thread may have made since, and whose maker is still busy.
            tensor, event, value = made.pop()
            streams.wait(event)
            wrong += count_wrong(tensor, value)
            read.append((tensor, event))
        # Read before `read` goes: a tensor's memory is its maker's stream's as soon as nobody holds it.
        return int(wrong)


class EventBetweenStreams(Scenario):
    """Every thread passes one tensor to and fro between two streams of its own, with an event at each hand-over."""

    origin = (
        "pytorch#191415: torch.mps.Stream; pytorch#194111: events of several streams",
        "pytorch#122016: copies and scalars across streams",
    )
    rows: ClassVar[tuple[int, ...]] = (13,)
    requires = ("events", "streams")
    sharing: ClassVar[str] = "per-thread"
    iterations = 10

    def setup(self, device: torch.device) -> dict[str, Any]:
        pair = [streams.new_stream(device) for _ in range(2)]
        return {"shift": shift_matrix(128).to(device), "streams": pair}

    def step(self, state: dict[str, Any], x: None) -> int:
        shift = state["shift"]
        device = shift.device
        start = float(current().thread_index * 100 + current().iteration)
        y = torch.full((64, len(shift)), start, device=device)
        kept, event = [y], streams.new_event(device)
        streams.record(event)
        for turn in range(2 * _ROUNDS):
            with streams.use_stream(state["streams"][turn % 2]):
                streams.wait(event)
                y = (y + 1.0) @ shift
                event = streams.new_event(device)
                streams.record(event)
            kept.append(y)  # no tensor goes before everything is done: this is not about record_stream
        streams.wait(event)
        return int(count_wrong(y, start + 2 * _ROUNDS))


class EventQueries(Scenario):
    """Threads ask about events of other threads, and wait for them on the host: what is done must be there to read."""

    origin = ("suite row 13: record in one thread, wait or query in another; many pending",)
    rows: ClassVar[tuple[int, ...]] = (11, 13)
    requires = ("events",)
    iterations = 15

    def setup(self, device: torch.device) -> dict[str, Any]:
        return {"shift": shift_matrix(96).to(device), "pending": deque()}

    def steps(self) -> Sequence[Callable[[Any, Any], Any]]:
        return (self.ask, self.synchronize)

    def ask(self, state: dict[str, Any], x: None) -> int:
        """Read what is done by now, and leave the rest for others to ask about."""
        self._submit(state)
        wrong = 0
        for _ in range(_ASKED_MAX):
            with contextlib.suppress(IndexError):  # others have taken them all
                tensor, event, value = state["pending"].popleft()
                if event.query():
                    wrong += int(count_wrong(tensor, value))
                else:
                    state["pending"].append((tensor, event, value))
        return wrong

    def synchronize(self, state: dict[str, Any], x: None) -> int:
        """Wait on the host for the newest event, and read."""
        self._submit(state)
        with contextlib.suppress(IndexError):
            tensor, event, value = state["pending"].pop()
            event.synchronize()
            return int(count_wrong(tensor, value))
        return 0

    @staticmethod
    def _submit(state: dict[str, Any]) -> None:
        shift = state["shift"]
        start = float(current().thread_index * 100 + current().iteration)
        for number in range(3):
            event = streams.new_event(shift.device)
            tensor = climb(start + number, shift, rows=48, steps=_STEPS)
            streams.record(event)
            state["pending"].append((tensor, event, start + number + _STEPS))


class ElapsedTime(Scenario):
    """Threads measure the time between two events after waiting for the device, or for the second one."""

    origin = ("pytorch#162872: Event.elapsed_time waits for ever after an explicit synchronisation",)
    rows: ClassVar[tuple[int, ...]] = (13,)
    requires = ("events",)
    iterations = 20

    def setup(self, device: torch.device) -> torch.Tensor:
        return shift_matrix(32).to(device)

    def step(self, state: torch.Tensor, x: None) -> dict[str, Any]:
        device, step = state.device, current()
        start, end = (streams.new_event(device, timing=True) for _ in range(2))
        streams.record(start)
        y = climb(float(step.iteration), state, rows=16, steps=_STEPS)
        streams.record(end)
        if step.thread_index % 2:
            streams.synchronize(device)
        else:
            end.synchronize()
        times_ms = [start.elapsed_time(end) for _ in range(2)]
        return {
            "is a time": all(math.isfinite(time_ms) and time_ms >= 0.0 for time_ms in times_ms),
            "wrong": count_wrong(y, float(step.iteration + _STEPS)),
        }
