"""Waiting for the whole device while other threads go on submitting work to it."""

from __future__ import annotations

import contextlib
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
    "Pool: Sync Active of dropbox/dML: synchronize() during use",
    "OpenNMT/CTranslate2#2077: synchronize_all and the work of other threads",
)
_ROUNDS = 4
_STEPS, _STEPS_LONG = 1, 12
_LONG_EVERY = 4
"""One chain in four is a long one: were all alike, waiting for the others would be waiting for the one left out."""


class SynchronizeAllInUse(Scenario):
    """In each pair of threads one submits work, the other waits only for the device and reads it."""

    origin = _ORIGIN
    rows: ClassVar[tuple[int, ...]] = (10, 11)
    threads_min = 2
    iterations = 10

    def setup(self, device: torch.device) -> dict[str, Any]:
        pairs, asked = (Pairs(self.threads, capacity=1) for _ in range(2))
        return {"shift": shift_matrix(128).to(device), "pairs": pairs, "asked": asked}

    def step(self, state: dict[str, Any], x: None) -> int:
        shift, pairs, asked, me = state["shift"], state["pairs"], state["asked"], current().thread_index
        wrong = 0
        for number in range(_ROUNDS):
            # Submitted when asked for: what lay in the mailbox was waited for with the one before.
            if pairs.takes(me):
                asked.put(me, number)
            if pairs.makes(me):
                pairs.put(me, _submitted(shift, asked.get(me)))
            if pairs.takes(me):
                tensor, value = pairs.get(me)
                streams.synchronize(shift.device)
                # On this thread's stream, which no event orders after the other: the wait above is all there is.
                wrong += total([count_wrong(tensor, value)])
        return wrong

    def reference(self, device: torch.device, inputs: Sequence[Sequence[Any]]) -> list[list[int]]:
        """Expect no wrong element: one thread alone would wait for its partner."""
        return [[0 for _ in of_thread] for of_thread in inputs]


class SynchronizedByOthers(Scenario):
    """In each pair of threads one goes on encoding to its stream, the other waits for that stream and reads what it was handed."""

    origin = (
        "pytorch#198039: Stream.synchronize and the device's commit on the calling thread, not on the stream's queue",
        "pytorch#197805: an encoder that another thread ends",
    )
    rows: ClassVar[tuple[int, ...]] = (10, 11)
    params = {"by": ["device", "accelerator"]}
    params_quick: ClassVar[dict[str, list[str]]] = {"by": ["device"]}
    threads_min = 2
    iterations = 10
    by: str

    def setup(self, device: torch.device) -> dict[str, Any]:
        pairs = Pairs(self.threads, capacity=2)
        chosen = [self.stream(device) for _ in range(self.threads)]
        return {"shift": shift_matrix(64).to(device), "pairs": pairs, "streams": chosen}

    def stream(self, device: torch.device) -> torch.Stream | None:
        """Return the stream that a thread encodes to: None for the one that it has anyway."""
        return None

    def step(self, state: dict[str, Any], x: None) -> int:
        pairs, me = state["pairs"], current().thread_index
        wrong = 0
        for number in range(_ROUNDS):
            if pairs.makes(me):
                with streams.use_stream(state["streams"][me]):
                    tensor, value = _submitted(state["shift"], number)
                    pairs.put(me, (tensor, value, state["streams"][me]))
                    _submitted(state["shift"], number)  # goes on while the partner waits
            if pairs.takes(me):
                tensor, value, stream = pairs.get(me)
                self.wait(tensor.device, stream)
                wrong += total([count_wrong(tensor, value)])
        return wrong

    def wait(self, device: torch.device, stream: torch.Stream | None) -> None:
        if self.by == "stream" and stream is not None:
            stream.synchronize()
        elif self.by == "accelerator" and device.type != "cpu":
            torch.accelerator.synchronize()
        else:
            streams.synchronize(device)

    def reference(self, device: torch.device, inputs: Sequence[Sequence[Any]]) -> list[list[int]]:
        """Expect no wrong element: one thread alone would wait for its partner."""
        return [[0 for _ in of_thread] for of_thread in inputs]


class ChosenStreamSynchronizedByOthers(SynchronizedByOthers):
    """In each pair of threads one goes on encoding to a stream that it chose, the other waits for that stream and reads."""

    origin = SynchronizedByOthers.origin
    rows: ClassVar[tuple[int, ...]] = (10, 11, 13)
    requires = ("streams",)
    params = {"by": ["stream", "accelerator", "device"]}
    params_quick: ClassVar[dict[str, list[str]]] = {"by": ["stream"]}

    def stream(self, device: torch.device) -> torch.Stream | None:
        return streams.new_stream(device)


class ErrorDuringSynchronize(Scenario):
    """In each pair of threads one submits work, the other fails on the device, gets the error from a wait for the device, and reads."""

    origin = (
        "pytorch#166615: an error that a kernel reports is raised by the next wait",
        "pytorch#193571: what a wait has to do when a command buffer failed",
    )
    rows: ClassVar[tuple[int, ...]] = (10, 20)
    requires = ("streams",)
    threads_min = 2
    iterations = 8

    def setup(self, device: torch.device) -> dict[str, Any]:
        pairs, asked = (Pairs(self.threads, capacity=1) for _ in range(2))
        chosen = [streams.new_stream(device) for _ in range(self.threads)]
        beyond = torch.full((3,), 1000).to(device)
        return {
            "shift": shift_matrix(128).to(device), "beyond": beyond, "pairs": pairs, "asked": asked, "streams": chosen,
        }  # fmt: skip

    def step(self, state: dict[str, Any], x: None) -> int:
        shift, pairs, asked, me = state["shift"], state["pairs"], state["asked"], current().thread_index
        wrong = 0
        for number in range(2):
            if pairs.takes(me):
                asked.put(me, number)
            if pairs.makes(me):
                with streams.use_stream(state["streams"][me]):
                    value = float(me * 100 + number + asked.get(me) * 0)
                    pairs.put(me, (climb(value, shift, rows=96, steps=_STEPS_LONG), value + _STEPS_LONG))
            if pairs.takes(me):
                tensor, value = pairs.get(me)
                self.fail(state)
                with contextlib.suppress(
                    IndexError, RuntimeError
                ):  # perhaps another thread's error, or told to one already
                    streams.synchronize(shift.device)
                wrong += self.count(tensor, value)
        return wrong

    def fail(self, state: dict[str, Any]) -> None:
        """Submit an operator that fails on the device. On CUDA that would end the context for all: it is left out."""
        if self.device_type != "cuda":
            with contextlib.suppress(IndexError):  # the CPU refuses it at the call
                torch.index_select(state["shift"], 0, state["beyond"])

    def count(self, tensor: torch.Tensor, value: float) -> int:
        """Count wrong elements: the wait above is all that orders this. An error that comes now is another pair's."""
        while True:
            try:
                return total([count_wrong(tensor, value)])
            except (IndexError, RuntimeError):
                continue

    def reference(self, device: torch.device, inputs: Sequence[Sequence[Any]]) -> list[list[int]]:
        """Expect no wrong element: one thread alone would wait for its partner."""
        return [[0 for _ in of_thread] for of_thread in inputs]


class MainSynchronizes(Scenario):
    """The main thread waits for the device again and again and reads what the crew had submitted by then."""

    origin = _ORIGIN
    rows: ClassVar[tuple[int, ...]] = (10, 11)
    iterations = 25

    def setup(self, device: torch.device) -> dict[str, Any]:
        return {"shift": shift_matrix(128).to(device), "submitted": [None] * self.threads, "wrong": 0}

    def step(self, state: dict[str, Any], x: None) -> int:
        state["submitted"][current().thread_index] = _submitted(state["shift"], current().iteration)
        return 0

    def main_step(self, state: dict[str, Any]) -> None:
        submitted = [one for one in state["submitted"] if one is not None]
        streams.synchronize(state["shift"].device)
        state["wrong"] += total(count_wrong(tensor, value) for tensor, value in submitted)

    def finish(self, state: dict[str, Any]) -> int:
        self.main_step(state)  # what was submitted after the last one
        wrong: int = state["wrong"]
        return wrong


class ShortWaits(Scenario):
    """Threads submit one to six small operators and wait for them, again and again: each wait must end, with the value."""

    origin = (
        "pytorch#141296, pytorch#140725: synchronize() never returns although the device is idle",
        "suite rows 10 and 18: waits whose work ends while they begin",
    )
    rows: ClassVar[tuple[int, ...]] = (10, 18)
    iterations = 8
    exempt: ClassVar[dict[str, str]] = {
        "equal outputs": "it counts sums that are wrong: 0 is right of every thread"
    }

    def setup(self, device: torch.device) -> torch.Tensor:
        return torch.ones(()).to(device)

    def step(self, state: torch.Tensor, x: None) -> int:
        wrong = 0
        for number in range(36):
            y, operators = state, 1 + number % 6
            for _ in range(operators):
                y = y + 1.0
            wrong += y.item() != 1 + operators
        return wrong


def _submitted(shift: torch.Tensor, number: int) -> tuple[torch.Tensor, float]:
    """Submit a chain of operators; return its result, for which no thread has waited yet, and the expected value."""
    step = current()
    start = float(step.thread_index * 100 + step.iteration)
    steps = _STEPS_LONG if (step.thread_index // 2 + step.iteration + number) % _LONG_EVERY == 0 else _STEPS
    return climb(start, shift, rows=64, steps=steps), start + steps
