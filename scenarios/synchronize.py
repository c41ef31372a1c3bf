"""Waiting for the whole device while other threads go on submitting work to it."""

from __future__ import annotations

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

_ORIGIN = (
    "Pool: Sync Active of dropbox/dML: synchronize() during use",
    "OpenNMT/CTranslate2#2077: synchronize_all and the work of other threads",
)
_STEPS = 4


class SynchronizeAllInUse(Scenario):
    """Every fourth thread waits for the device and reads what the others had submitted by then, with no other wait."""

    origin = _ORIGIN
    rows: ClassVar[tuple[int, ...]] = (10, 11)
    threads_min = 2
    iterations = 25

    def setup(self, device: torch.device) -> dict[str, Any]:
        return {"shift": shift_matrix(128).to(device), "submitted": [None] * self.threads}

    def steps(self) -> Sequence[Callable[[Any, Any], Any]]:
        return (self.read, self.submit, self.submit, self.submit)

    def submit(self, state: dict[str, Any], x: None) -> int:
        _submit(state)
        return 0

    def read(self, state: dict[str, Any], x: None) -> int:
        return _read(state)


class MainSynchronizes(Scenario):
    """The main thread waits for the device again and again and reads what the crew had submitted by then."""

    origin = _ORIGIN
    rows: ClassVar[tuple[int, ...]] = (10, 11)
    iterations = 40

    def setup(self, device: torch.device) -> dict[str, Any]:
        return {"shift": shift_matrix(128).to(device), "submitted": [None] * self.threads, "wrong": 0}

    def step(self, state: dict[str, Any], x: None) -> int:
        _submit(state)
        return 0

    def main_step(self, state: dict[str, Any]) -> None:
        state["wrong"] += _read(state)

    def finish(self, state: dict[str, Any]) -> int:
        wrong: int = state["wrong"]
        return wrong


def _submit(state: dict[str, Any]) -> None:
    """Submit a chain of operators and show its result, which nobody has waited for, to the other threads."""
    step = current()
    start = float(step.thread_index * 100 + step.iteration)
    made = climb(start, state["shift"], rows=64, steps=_STEPS)
    state["submitted"][step.thread_index] = (made, start + _STEPS)


def _read(state: dict[str, Any]) -> int:
    """Wait for the device; return how many elements of what was submitted before are wrong."""
    submitted = [one for one in state["submitted"] if one is not None]
    streams.synchronize(state["shift"].device)
    # On this thread's stream, which no event orders after the others: the wait above is all there is.
    return sum(int(count_wrong(got, value)) for got, value in submitted)
