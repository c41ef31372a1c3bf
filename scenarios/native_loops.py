"""Loops that run in TorchScript's interpreter, without Python's lock: many operators a second from every thread at once.

Python threads take turns between operators, so that two are seldom in the backend at the same instant. A scripted loop
holds no lock: what is unsafe for a few hundred nanoseconds is met thousands of times in an attempt.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from collections.abc import Sequence
from typing import Any
from typing import ClassVar

import torch

from stress import Scenario
from stress import streams

_ELEMENTS = 48
_ORIGIN = (
    "pytorch#197805: two threads of operators and host reads end the process",
    "pytorch#167541: about 15 threads in C++, without Python's lock, meet the races of the shader caches",
)


def elementwise(x: torch.Tensor, rounds: int) -> torch.Tensor:
    """Chains of operators with their own constants, nothing read back: new tensors all the time."""
    total = torch.zeros_like(x)
    for turn in range(rounds):
        y = (x + float(turn % 7)) * 0.5
        total = total + torch.relu(y - 1.0)
    return total


def host_reads(x: torch.Tensor, rounds: int) -> torch.Tensor:
    """Read a number on the host after every few operators: each read commits and waits."""
    total = torch.zeros_like(x)
    for turn in range(rounds):
        y = x + float(turn % 5)
        last = y[turn % 48].item()
        total = total + y + float(last)
    return total


def factories(x: torch.Tensor, rounds: int) -> torch.Tensor:
    """Make ranges of changing sizes and read one number of each."""
    total = torch.zeros_like(x)
    for turn in range(rounds):
        size = 16 + turn % 13
        made = torch.arange(size, dtype=torch.float32, device=x.device)
        total = total + x * made[size - 1].item()
    return total


_LOOPS = {"elementwise": (elementwise, 60), "host-reads": (host_reads, 30), "factories": (factories, 30)}


def _scripted(function: Any) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of torch.jit: nothing else loops without Python
        return torch.jit.script(function)


class NativeLoop(Scenario):
    """Every thread runs one scripted loop over its own input, on shared state of the backend only."""

    origin = _ORIGIN
    rows: ClassVar[tuple[int, ...]] = (1,)
    params = {"loop": list(_LOOPS)}
    params_quick = {"loop": ["elementwise"]}
    iterations = 20
    loop: str

    def setup(self, device: torch.device) -> Any:
        return _scripted(_LOOPS[self.loop][0])

    def make_input(self, generator: torch.Generator) -> torch.Tensor:
        return torch.randint(-8, 9, (_ELEMENTS,), generator=generator).float()

    def step(self, function: Any, x: torch.Tensor) -> torch.Tensor:
        total: torch.Tensor = function(x, _LOOPS[self.loop][1])
        return total


class EventsBesideLoops(Scenario):
    """Half of the threads record events as fast as they can, which commits each time, while the others queue operators."""

    origin = (*_ORIGIN, "pytorch#194111: events recorded while other threads encode")
    rows: ClassVar[tuple[int, ...]] = (1, 13)
    requires = ("events",)
    threads_min = 2
    iterations = 10

    def setup(self, device: torch.device) -> Any:
        return {"loop": _scripted(elementwise), "device": device}

    def make_input(self, generator: torch.Generator) -> torch.Tensor:
        return torch.randint(-8, 9, (_ELEMENTS,), generator=generator).float()

    def steps(self) -> Sequence[Callable[[Any, Any], Any]]:
        return (self.queue, self.record)

    def queue(self, state: dict[str, Any], x: torch.Tensor) -> torch.Tensor:
        total: torch.Tensor = state["loop"](x, 60)
        return total

    def record(self, state: dict[str, Any], x: torch.Tensor) -> torch.Tensor:
        event = streams.new_event(state["device"])
        for turn in range(160):
            if turn % 4 == 0:
                x = x + 1.0
            streams.record(event)
        return x
