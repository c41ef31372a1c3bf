"""Canaries: planted, memory-safe races that every run must find; if one passes, the run is blind.

Each hands over to another thread in the middle of the window, and waits until that one was there: no luck is
needed. A thread that is alone in its process, as in the reference and in the one-thread control, waits for nobody.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from collections.abc import Sequence
from typing import Any
from typing import ClassVar

import torch

from stress import Scenario
from stress import current
from stress.scenario.exact import climb
from stress.scenario.exact import count_wrong
from stress.scenario.exact import shift_matrix
from stress.scenario.handover import Pairs

_HAND_OVER_S_MAX = 0.25
_LONG_STEPS = 40


def _hand_over(until: Callable[[], bool]) -> None:
    """Give way to the other threads until `until()` is true, or can no longer become true."""
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


class WithoutEvent(Scenario):
    """In each pair of threads one makes a tensor on its stream, the other reads it on its own stream without an event."""

    origin = (
        "planted: a consumer that does not wait for its producer; with the event it is EventAcrossThreads",
        "Cross-Stream Tensor of dropbox/dML (test_cross_stream_tensor.py)",
    )
    rows: ClassVar[tuple[int, ...]] = (11,)
    canary: ClassVar[bool] = True
    requires = ("per_thread_streams", "simulated")  # on a real device it is luck whether it is seen
    threads_min = 2
    iterations = 2

    def setup(self, device: torch.device) -> dict[str, Any]:
        return {"shift": shift_matrix(256).to(device), "pairs": Pairs(self.threads, capacity=1)}

    def step(self, state: dict[str, Any], x: None) -> int:
        shift, pairs, me = state["shift"], state["pairs"], current().thread_index
        if pairs.makes(me):
            # Far more than reading takes; another value in each iteration, so that old memory is wrong as well.
            start = 100.0 * current().iteration
            pairs.put(me, (climb(start, shift, rows=256, steps=_LONG_STEPS), start + _LONG_STEPS))
        return int(count_wrong(*pairs.get(me))) if pairs.takes(me) else 0

    def reference(self, device: torch.device, inputs: Sequence[Sequence[Any]]) -> list[list[int]]:
        """Expect no wrong element: one thread alone would wait for its partner."""
        return [[0 for _ in of_thread] for of_thread in inputs]
