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
from stress import memory
from stress import streams
from stress.scenario.exact import climb
from stress.scenario.exact import count_wrong
from stress.scenario.exact import shift_matrix
from stress.scenario.exact import total
from stress.scenario.handover import Pairs

_ROUNDS = 6


class EventAcrossThreads(Scenario):
    """In each pair of threads one makes tensors and records an event behind each, the other waits on its stream and reads."""

    origin = (
        "Cross-Stream Tensor of dropbox/dML (test_cross_stream_tensor.py)",
        "pytorch#194111: Event.record and wait on several MPS streams",
    )
    rows: ClassVar[tuple[int, ...]] = (11, 13)
    requires = ("events",)
    threads_min = 2
    iterations = 15

    def setup(self, device: torch.device) -> dict[str, Any]:
        return {"shift": shift_matrix(192).to(device), "pairs": Pairs(self.threads, capacity=2)}

    def step(self, state: dict[str, Any], x: None) -> int:
        shift, pairs, me = state["shift"], state["pairs"], current().thread_index
        counts = []
        for number in range(_ROUNDS):
            if pairs.makes(me):
                start = float(me * 100 + number)
                event = streams.new_event(shift.device)  # before the work: others take theirs in the meantime
                # Its last operator is a long one: a wait for the one before it ends too early by all of that.
                tensor = climb(start, shift, rows=96, steps=1)
                streams.record(event)
                pairs.put(me, (tensor, event, start + 1))
            if pairs.takes(me):
                tensor, event, value = pairs.get(me)
                streams.wait(event)
                counts.append((count_wrong(tensor, value), tensor, event))
        # Read before the tensors go: their memory is their maker's stream's as soon as nobody holds them.
        return total(count for count, _, _ in counts)

    def reference(self, device: torch.device, inputs: Sequence[Sequence[Any]]) -> list[list[int]]:
        """Expect no wrong element: one thread alone would wait for its partner."""
        return [[0 for _ in of_thread] for of_thread in inputs]


class EventBetweenStreams(Scenario):
    """Every thread passes three tensors back and forth between its own two streams, with an event at each hand-over."""

    origin = (
        "pytorch#191415: torch.mps.Stream; pytorch#194111: events of several streams",
        "pytorch#122016: copies and scalars across streams",
    )
    rows: ClassVar[tuple[int, ...]] = (13,)
    requires = ("events", "streams")
    sharing: ClassVar[str] = "per-thread"
    iterations = 6

    def setup(self, device: torch.device) -> dict[str, Any]:
        pair = [streams.new_stream(device) for _ in range(2)]
        return {"shift": shift_matrix(128).to(device), "streams": pair}

    def step(self, state: dict[str, Any], x: None) -> int:
        shift = state["shift"]
        device, size = shift.device, len(shift)
        starts = [float(current().thread_index * 100 + current().iteration + number) for number in range(3)]
        tensors = [torch.full((64, size), start, device=device) for start in starts]
        events = [streams.new_event(device) for _ in tensors]
        for event in events:
            streams.record(event)
        kept = list(tensors)  # no tensor goes before everything is done: this is not about record_stream
        for turn in range(_ROUNDS):
            recorded, events = events, [streams.new_event(device) for _ in tensors]
            for number, event in enumerate(events):
                with streams.use_stream(state["streams"][(turn + number) % 2]):
                    streams.wait(recorded[number])
                    tensors[number] = (tensors[number] + 1.0) @ shift
                    streams.record(event)
            kept += tensors
        for event in events:
            streams.wait(event)
        counts = [count_wrong(one, start + _ROUNDS) for one, start in zip(tensors, starts, strict=True)]
        return total(counts)


class EventQueries(Scenario):
    """Threads query events of other threads, and wait for them on the host: finished results must be readable."""

    origin = ("suite row 13: record in one thread, wait or query in another; many pending",)
    rows: ClassVar[tuple[int, ...]] = (11, 13)
    requires = ("events",)
    iterations = 8

    def setup(self, device: torch.device) -> dict[str, Any]:
        return {"shift": shift_matrix(96).to(device), "pending": deque()}

    def steps(self) -> Sequence[Callable[[Any, Any], Any]]:
        return (self.ask, self.synchronize)

    def ask(self, state: dict[str, Any], x: None) -> int:
        """Read what is done by now, and leave the rest for others to query."""
        self._submit(state)
        wrong = 0
        for _ in range(_ROUNDS):
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

    def finish(self, state: dict[str, Any]) -> int:
        """Read what no thread found done while the crew ran: on a slow device that is nearly everything."""
        wrong = 0
        for tensor, event, value in state["pending"]:
            event.synchronize()
            wrong += int(count_wrong(tensor, value))
        return wrong

    @staticmethod
    def _submit(state: dict[str, Any]) -> None:
        shift = state["shift"]
        start = float(current().thread_index * 100 + current().iteration)
        for number in range(3):
            event = streams.new_event(shift.device)
            tensor = climb(start + number, shift, rows=48, steps=2)
            streams.record(event)
            state["pending"].append((tensor, event, start + number + 2))


class ElapsedTime(Scenario):
    """Threads measure the time between two events after waiting for the device, or for the second one."""

    origin = ("pytorch#162872: Event.elapsed_time waits for ever after an explicit synchronisation",)
    rows: ClassVar[tuple[int, ...]] = (13,)
    requires = ("events",)
    iterations = 15

    def setup(self, device: torch.device) -> torch.Tensor:
        return shift_matrix(32).to(device)

    def step(self, state: torch.Tensor, x: None) -> dict[str, Any]:
        device, step = state.device, current()
        start, end = (streams.new_event(device, timing=True) for _ in range(2))
        streams.record(start)
        y = climb(float(step.iteration), state, rows=16, steps=1)
        streams.record(end)
        if step.thread_index % 4 == 0:
            streams.synchronize(device)
        else:
            end.synchronize()
        return {
            "is a time": _is_time(start, end) and _is_time(start, end),
            "wrong": count_wrong(y, float(step.iteration + 1)),
        }


class EventPairs(Scenario):
    """In each pair of threads one records two timed events at once, with nothing or little between; both wait, the other reads the time."""

    origin = (
        "pytorch#196395: two events without work between them, whose times came in the wrong order",
        "pytorch#193578: record, and synchronize, more than once",
    )
    rows: ClassVar[tuple[int, ...]] = (13,)
    requires = ("events",)
    threads_min = 2
    iterations = 8

    def setup(self, device: torch.device) -> dict[str, Any]:
        return {"shift": shift_matrix(32).to(device), "pairs": Pairs(self.threads, capacity=2)}

    def step(self, state: dict[str, Any], x: None) -> int:
        shift, pairs, me = state["shift"], state["pairs"], current().thread_index
        wrong = 0
        for number in range(_ROUNDS):
            if pairs.makes(me):
                start, end = (streams.new_event(shift.device, timing=True) for _ in range(2))
                untimed = climb(float(number), shift, rows=16, steps=1)
                streams.record(start)
                if number % 3 == 2:
                    untimed = untimed + 0.0
                streams.record(end)
                pairs.put(me, (start, end, untimed, float(number + 1)))
                end.synchronize()
                end.synchronize()
            if pairs.takes(me):
                start, end, untimed, value = pairs.get(me)
                end.synchronize()
                wrong += not _is_time(start, end)
                wrong += int(count_wrong(untimed, value))
        return wrong

    def reference(self, device: torch.device, inputs: Sequence[Sequence[Any]]) -> list[list[int]]:
        """Expect nothing wrong: one thread alone would wait for its partner."""
        return [[0 for _ in of_thread] for of_thread in inputs]


class TimedEventsLetGo(Scenario):
    """Threads record timed events again and again, and wait for them from two threads: afterwards as many bytes are in use as before."""

    origin = (
        "pytorch#196395: the time of an event is taken from its command buffer, which has to be kept for that",
    )
    rows: ClassVar[tuple[int, ...]] = (13, 25)
    requires = ("events", "accelerator")  # the CPU keeps no account: there the scenario could not fail

    @property
    def waves(self) -> Sequence[tuple[int, int]]:  # type: ignore[override]
        return (1, 1), (self.threads, 10)

    def setup(self, device: torch.device) -> dict[str, Any]:
        return {"x": torch.ones(64).to(device), "level": 0, "waited_for": deque(maxlen=4)}

    def step(self, state: dict[str, Any], x: None) -> int:
        if current().wave == 0:  # one thread by itself, once
            state["level"] = memory.allocated_bytes(state["x"].device)
            return 0
        events = [streams.new_event(state["x"].device, timing=True) for _ in range(4)]
        for _ in range(3):
            for event in events:
                streams.record(event)
                state["x"] + 1.0
        state["waited_for"].append(events[-1])
        with contextlib.suppress(IndexError):  # others have taken it
            state["waited_for"].popleft().synchronize()
        events[-1].synchronize()
        return 0

    def finish(self, state: dict[str, Any]) -> int:
        state["waited_for"].clear()
        device = state["x"].device
        streams.synchronize(device)
        return memory.allocated_bytes(device) - int(state["level"])


def _is_time(start: streams.Event, end: streams.Event) -> bool:
    """Whether the two events, recorded in this order and done, have a time between them."""
    try:
        time_ms = start.elapsed_time(end)
    except RuntimeError:  # "not recorded": somebody else's event, then
        return False
    return math.isfinite(time_ms) and time_ms >= 0.0
