"""Tensors that are used on another stream than their own, which the allocator is told with record_stream."""

from __future__ import annotations

from collections import deque
from typing import Any
from typing import ClassVar

import torch

from stress import Scenario
from stress import current
from stress import streams
from stress.exact import climb
from stress.exact import count_wrong
from stress.exact import shift_matrix

_ORIGIN = (
    "test_record_stream.mm of dropbox/dML: basic, several streams, cross-thread, freed buffers, 8 threads x 20",
    "pytorch#193464: Tensor.record_stream for MPS, and its lock order",
)
_ROWS = 64
_OVERWRITTEN = -1.0


class RecordedOnce(Scenario):
    """Every thread makes a tensor on one stream, reads it late on another, drops it and allocates its size again."""

    origin = _ORIGIN
    rows: ClassVar[tuple[int, ...]] = (12,)
    requires = ("record_stream", "events", "streams")
    sharing: ClassVar[str] = "per-thread"
    iterations = 12

    def setup(self, device: torch.device) -> dict[str, Any]:
        return _setup(device, readers=1)

    def step(self, state: dict[str, Any], x: None) -> int:
        return _hand_over(state, reads=1)


class RecordedOftenOnSeveralStreams(Scenario):
    """The same with three reading streams and two reads on each, so that the first recorded use is not the last one."""

    origin = (*_ORIGIN, "suite row 12: repeated on several streams")
    rows: ClassVar[tuple[int, ...]] = (12,)
    requires = ("record_stream", "events", "streams")
    sharing: ClassVar[str] = "per-thread"
    iterations = 8

    def setup(self, device: torch.device) -> dict[str, Any]:
        return _setup(device, readers=3)

    def step(self, state: dict[str, Any], x: None) -> int:
        return _hand_over(state, reads=2)


class RecordedAcrossThreads(Scenario):
    """Threads read tensors of other threads after an event, record the use, drop them, and allocate again at once."""

    origin = (*_ORIGIN, "suite row 12: cross-thread, 8 x 20 concurrent, with allocation churn")
    rows: ClassVar[tuple[int, ...]] = (11, 12)
    requires = ("record_stream", "events")
    iterations = 20

    def setup(self, device: torch.device) -> dict[str, Any]:
        return {"shift": shift_matrix(96).to(device), "made": deque(), "users": [None] * self.threads}

    def step(self, state: dict[str, Any], x: None) -> int:
        shift = state["shift"]
        device = shift.device
        own = streams.current_stream(device)
        state["users"][current().thread_index] = own
        start = float(current().thread_index * 100 + current().iteration)
        wrong = torch.zeros((), dtype=torch.int64, device=device)
        for _ in range(2):
            tensor, event = climb(start, shift, rows=_ROWS, steps=2), streams.new_event(device)
            streams.record(event)
            for user in list(state["users"]):  # who reads it is not known yet: whoever takes it
                streams.record_stream(tensor, user)
            state["made"].append((tensor, event, start + 2))
            del tensor
            tensor, event, value = state["made"].pop()
            streams.wait(event)
            wrong += count_wrong(tensor, value)
            streams.record_stream(tensor, own)
            wrong += count_wrong(climb(start, shift, rows=_ROWS, steps=2), start + 2)
            wrong += count_wrong(tensor, value)
            del tensor  # here it goes, while the reads above are queued
            torch.full((_ROWS, len(shift)), _OVERWRITTEN, device=device)
        return int(wrong)


class NothingToRecord(Scenario):
    """Recording an empty tensor, one without storage any more, or one of the CPU changes nothing and harms nobody."""

    origin = (*_ORIGIN, "suite row 12: CPU tensor and freed tensor are safe no-ops")
    rows: ClassVar[tuple[int, ...]] = (12,)
    requires = ("record_stream",)
    iterations = 20

    def setup(self, device: torch.device) -> dict[str, Any]:
        return {"shift": shift_matrix(48).to(device)}

    def step(self, state: dict[str, Any], x: None) -> dict[str, Any]:
        shift = state["shift"]
        own = streams.current_stream(shift.device)
        start = float(current().thread_index)
        y = climb(start, shift, rows=16, steps=2)
        freed = y.clone()
        freed.data = torch.empty(0, device=shift.device)
        for tensor in (torch.empty(0, device=shift.device), freed, y):
            streams.record_stream(tensor, own)
        return {"refuses the CPU's or ignores it": _is_harmless(own), "wrong": count_wrong(y, start + 2)}


def _setup(device: torch.device, *, readers: int) -> dict[str, Any]:
    maker, *others = (streams.new_stream(device) for _ in range(1 + readers))
    return {"shift": shift_matrix(128).to(device), "maker": maker, "readers": others}


def _hand_over(state: dict[str, Any], *, reads: int) -> int:
    """Make a tensor on one stream, read it on others behind work of theirs, and let it go while they read."""
    shift, maker = state["shift"], state["maker"]
    device = shift.device
    start = float(current().thread_index * 100 + current().iteration)
    event = streams.new_event(device)
    with streams.use_stream(maker):
        tensor = climb(start, shift, rows=_ROWS, steps=1)
        streams.record(event)
    counts = []
    for reader in state["readers"]:
        with streams.use_stream(reader):
            streams.wait(event)
            for _ in range(reads):
                busy = climb(start, shift, rows=_ROWS, steps=2)  # so that the read comes late
                counts.append(count_wrong(tensor, start + 1))
                streams.record_stream(tensor, reader)
                counts.append(count_wrong(busy, start + 2))
    del tensor
    with streams.use_stream(maker):
        # Of the same size: where the use was forgotten, this is the memory that is still to be read.
        overwritten = [torch.full((_ROWS, len(shift)), _OVERWRITTEN, device=device) for _ in range(2)]
    for stream in (*state["readers"], maker):
        if stream is not None:
            stream.synchronize()
    del overwritten
    return sum(int(one) for one in counts)


def _is_harmless(stream: torch.Stream | None) -> bool:
    """Whether a tensor of the CPU is ignored, or refused with torch's own error."""
    if stream is not None:
        try:
            torch.ones(2).record_stream(stream)
        except NotImplementedError:
            return True
    return True
