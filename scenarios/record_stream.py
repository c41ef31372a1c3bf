"""Tensors that are used on a stream other than their own, which record_stream reports to the allocator."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from typing import ClassVar

import torch

from stress import Scenario
from stress import current
from stress import streams
from stress.scenario.exact import climb
from stress.scenario.exact import count_wrong
from stress.scenario.exact import shift_matrix
from stress.scenario.exact import total
from stress.scenario.handover import Pairs

_ORIGIN = (
    "test_record_stream.mm of dropbox/dML: basic, several streams, cross-thread, freed buffers, 8 threads x 20",
    "pytorch#193464: Tensor.record_stream for MPS, and its lock order",
)
_ROUNDS = 5
_ROWS = 64


class RecordedUses(Scenario):
    """Every thread makes tensors on one stream, reads them late on others, drops them and allocates their size again."""

    origin = (*_ORIGIN, "suite row 12: basic, repeated on several streams, with allocation churn")
    rows: ClassVar[tuple[int, ...]] = (12,)
    requires = ("record_stream", "events", "streams")
    params = {"uses": ["one", "several", "several-streams"]}
    params_quick = {"uses": ["several-streams"]}
    sharing: ClassVar[str] = "per-thread"
    iterations = 8
    uses: str

    def setup(self, device: torch.device) -> dict[str, Any]:
        maker, *readers = (
            streams.new_stream(device) for _ in range(4 if self.uses == "several-streams" else 2)
        )
        return {**_tensors(device), "maker": maker, "readers": readers}

    def step(self, state: dict[str, Any], x: None) -> int:
        reads = 3 if self.uses == "several" else 1
        counts = [count for number in range(_ROUNDS) for count in _hand_over(state, number, reads=reads)]
        for stream in (state["maker"], *state["readers"]):
            if stream is not None:
                stream.synchronize()
        return total(counts)


class RecordedAcrossThreads(Scenario):
    """In each pair of threads one makes tensors, the other reads them late, records the use and drops them."""

    origin = (*_ORIGIN, "suite row 12: cross-thread, 8 x 20 concurrent, with allocation churn")
    rows: ClassVar[tuple[int, ...]] = (11, 12)
    requires = ("record_stream", "events", "stream_ids")
    threads_min = 2
    iterations = 12

    def setup(self, device: torch.device) -> dict[str, Any]:
        return {**_tensors(device), "pairs": Pairs(self.threads, capacity=2)}

    def step(self, state: dict[str, Any], x: None) -> int:
        shift, pairs, me = state["shift"], state["pairs"], current().thread_index
        own, counts = streams.current_stream(shift.device), []
        for number in range(_ROUNDS):
            if pairs.makes(me):
                pairs.put(me, _made(state["ones"], float(me * 100 + number)))
            if pairs.takes(me):
                counts += _read_late(shift, own, *pairs.get(me), reads=1 + number % 2)
        return total(counts)

    def reference(self, device: torch.device, inputs: Sequence[Sequence[Any]]) -> list[list[int]]:
        """Expect no wrong element: one thread alone would wait for its partner."""
        return [[0 for _ in of_thread] for of_thread in inputs]


class RecordedOnAllStreams(Scenario):
    """Every thread records its tensors on the streams of all threads, which go on submitting, and drops them."""

    origin = (*_ORIGIN, "pytorch#193464: record_stream and a commit take two locks in opposite orders")
    rows: ClassVar[tuple[int, ...]] = (12,)
    requires = ("record_stream", "stream_ids")
    threads_min = 2
    iterations = 10

    def setup(self, device: torch.device) -> dict[str, Any]:
        return {"shift": shift_matrix(16).to(device), "users": [None] * self.threads}

    def step(self, state: dict[str, Any], x: None) -> int:
        shift, step = state["shift"], current()
        state["users"][step.thread_index] = streams.current_stream(shift.device)
        counts = []
        for number in range(6):
            value = float(step.thread_index * 100 + number)
            tensor = climb(value, shift, rows=4, steps=1)
            counts.append(count_wrong(tensor, value + 1))
            for user in [*state["users"], *state["users"]]:
                streams.record_stream(tensor, user)
        return total(counts)


class NothingToRecord(Scenario):
    """Recording an empty tensor, one whose storage is gone, or a CPU tensor changes nothing and harms no thread."""

    origin = (*_ORIGIN, "suite row 12: CPU tensor and freed tensor are safe no-ops")
    rows: ClassVar[tuple[int, ...]] = (12,)
    requires = ("record_stream",)
    iterations = 10

    def setup(self, device: torch.device) -> torch.Tensor:
        return shift_matrix(48).to(device)

    def step(self, state: torch.Tensor, x: None) -> dict[str, Any]:
        own = streams.current_stream(state.device)
        start = float(current().thread_index)
        y = climb(start, state, rows=16, steps=2)
        freed = y.clone()
        freed.data = torch.empty(0, device=state.device)
        for tensor in (torch.empty(0, device=state.device), freed, y):
            streams.record_stream(tensor, own)
        return {"refuses the CPU's or ignores it": _is_harmless(own), "wrong": count_wrong(y, start + 2)}


def _tensors(device: torch.device) -> dict[str, torch.Tensor]:
    return {"ones": torch.ones(_ROWS, 128).to(device), "shift": shift_matrix(128).to(device)}


def _hand_over(state: dict[str, Any], number: int, *, reads: int) -> list[torch.Tensor]:
    """Make a tensor on one stream, read it on others behind work of theirs, and let it go while they read."""
    ones, shift, maker = state["ones"], state["shift"], state["maker"]
    value = float(current().thread_index * 100 + current().iteration * _ROUNDS + number)
    event = streams.new_event(shift.device)
    with streams.use_stream(maker):
        tensor = ones * value
        streams.record(event)
    counts = []
    for reader in state["readers"]:
        with streams.use_stream(reader):
            streams.wait(event)
            for _ in range(reads):
                climb(value, shift, rows=_ROWS, steps=3)  # so that the read comes late
                counts.append(count_wrong(tensor, value))
                streams.record_stream(tensor, reader)
    del tensor
    with streams.use_stream(maker):
        # Of the same size: where the use was forgotten, this is the memory that is still to be read.
        torch.neg(ones)
        streams.record(streams.new_event(shift.device))  # so that it is submitted, and not only encoded
    return counts


def _made(ones: torch.Tensor, value: float) -> tuple[torch.Tensor, streams.Event, float]:
    """Overwrite free memory of this size, and make a tensor for the other thread."""
    torch.neg(ones)
    tensor, event = ones * value, streams.new_event(ones.device)
    streams.record(event)
    return tensor, event, value


def _read_late(
    shift: torch.Tensor,
    own: torch.Stream | None,
    tensor: torch.Tensor,
    event: streams.Event,
    value: float,
    *,
    reads: int,
) -> list[torch.Tensor]:
    """Read the tensor behind work of this thread's stream; it goes while the read is queued."""
    streams.wait(event)
    counts = []
    for _ in range(reads):
        climb(value, shift, rows=_ROWS, steps=3)
        counts.append(count_wrong(tensor, value))
        streams.record_stream(tensor, own)
    return counts


def _is_harmless(stream: torch.Stream | None) -> bool:
    """Whether a tensor of the CPU is ignored, or refused with torch's own error."""
    if stream is not None:
        try:
            torch.ones(2).record_stream(stream)
        except NotImplementedError:
            return True
    return True
