"""Canaries: planted races, safe for memory, which every run must find; one that passes says that the run is blind.

Each hands over to another thread in the middle of the window, and waits until that one was there: no luck is
needed. A thread that is alone in its process, as in the reference and in the one-thread control, waits for nobody.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any
from typing import ClassVar

import torch

from stress import Scenario

_HAND_OVER_S_MAX = 0.25


def _hand_over(until: Callable[[], bool]) -> None:
    """Give way to the other threads until `until()`, or until it cannot come true any more."""
    deadline_s = time.monotonic() + _HAND_OVER_S_MAX
    # The main thread and this one are two: while there are no more, nobody else of the crew is left.
    while not until() and threading.active_count() > 2 and time.monotonic() < deadline_s:
        time.sleep(0.0001)


class SharedScratch(Scenario):
    """Every thread writes its input to one scratch tensor, lets another write too, and returns what it finds."""

    origin = ("planted: cross-talk through a buffer that is reused too early",)
    rows: ClassVar[tuple[int, ...]] = ()
    canary: ClassVar[bool] = True
    threads_min = 2
    iterations = 4

    def setup(self, device: torch.device) -> dict[str, Any]:
        return {"scratch": torch.zeros(32).to(device), "writes": 0, "lock": threading.Lock()}

    def make_input(self, generator: torch.Generator) -> torch.Tensor:
        return torch.randn(32, generator=generator)

    def step(self, state: dict[str, Any], x: torch.Tensor) -> torch.Tensor:
        with state["lock"]:
            state["scratch"].copy_(x)
            x.sum().item()  # the write is done on the device, whatever the stream
            state["writes"] += 1
            mine = state["writes"]
        _hand_over(lambda: state["writes"] != mine)
        with state["lock"]:
            return state["scratch"].clone()


class LostUpdate(Scenario):
    """Every thread reads a shared counter, lets another read it too, and writes back its own sum."""

    origin = ("planted: an update that is lost between reading and writing back",)
    rows: ClassVar[tuple[int, ...]] = ()
    canary: ClassVar[bool] = True
    threads_min = 2
    iterations = 4

    def setup(self, device: torch.device) -> dict[str, Any]:
        return {"sum": 0, "reads": 0, "lock": threading.Lock()}

    def make_input(self, generator: torch.Generator) -> torch.Tensor:
        return torch.randn(8, generator=generator)

    def step(self, state: dict[str, Any], x: torch.Tensor) -> torch.Tensor:
        with state["lock"]:
            old = state["sum"]
            state["reads"] += 1
            mine = state["reads"]
        _hand_over(lambda: state["reads"] != mine)
        state["sum"] = old + 1
        return x * 2

    def finish(self, state: dict[str, Any]) -> int:
        total: int = state["sum"]
        return total


class NotReentrant(Scenario):
    """Every thread enters a section that raises when another is inside."""

    origin = ("planted: an exception that one thread alone can never see",)
    rows: ClassVar[tuple[int, ...]] = ()
    canary: ClassVar[bool] = True
    threads_min = 2
    iterations = 4

    def setup(self, device: torch.device) -> dict[str, Any]:
        return {"is_taken": False, "refused": 0, "lock": threading.Lock()}

    def make_input(self, generator: torch.Generator) -> torch.Tensor:
        return torch.randn(8, generator=generator)

    def step(self, state: dict[str, Any], x: torch.Tensor) -> torch.Tensor:
        with state["lock"]:  # two that entered together would each wait for a third
            if state["is_taken"]:
                state["refused"] += 1
                raise RuntimeError("a second thread entered a section that is not re-entrant")
            state["is_taken"] = True
            before = state["refused"]
        _hand_over(lambda: state["refused"] != before)
        state["is_taken"] = False
        return x * 2
