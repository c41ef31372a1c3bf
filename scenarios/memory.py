"""The allocator: churn of many sizes with checked contents, emptying the cache meanwhile, and memory accounting."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from collections.abc import Sequence
from typing import Any
from typing import ClassVar

import psutil
import torch

from stress import Scenario
from stress import current
from stress import memory
from stress import streams
from stress.scenario.exact import climb
from stress.scenario.exact import count_wrong
from stress.scenario.exact import shift_matrix
from stress.scenario.exact import total
from stress.scenario.growth import grows

_HELD_MAX = 6
_ROUNDS = 24
_PROCESS_BYTES_MIN = 256.0 * 1024
"""The process's memory includes Python's and the framework's: less growth than this per round is attributed to them."""
_ORIGIN = (
    "pytorch#86119: the MPS allocator and threads",
    "dropbox/dML: allocator with a free list per stream, events and a double check",
)


class AllocationChurn(Scenario):
    """Threads fill, hold and drop tensors of a few sizes, all of one size class or the next, and find what they wrote."""

    origin = _ORIGIN
    rows: ClassVar[tuple[int, ...]] = (25,)
    iterations = 8

    def setup(self, device: torch.device) -> torch.Tensor:
        return shift_matrix(64).to(device)

    def step(self, state: torch.Tensor, x: None) -> int:
        return _churn(state)


class EmptyCacheInUse(Scenario):
    """One thread frees the cached memory again and again while the others fill, hold and drop tensors."""

    origin = (*_ORIGIN, "pytorch#181485: compiled graphs go with the cache; three allocate/free cycles")
    rows: ClassVar[tuple[int, ...]] = (21, 25)
    threads_min = 2
    iterations = 6

    def setup(self, device: torch.device) -> torch.Tensor:
        return shift_matrix(64).to(device)

    def steps(self) -> Sequence[Callable[[Any, Any], Any]]:
        return (self.empty, *[self.churn] * (self.threads - 1))

    def empty(self, state: torch.Tensor, x: None) -> int:
        wrong = 0
        for _ in range(3):
            memory.empty_cache(state.device)
            wrong += int(count_wrong(climb(1.0, state, rows=8, steps=2), 3.0))
        return wrong

    def churn(self, state: torch.Tensor, x: None) -> int:
        return _churn(state)


class ManyAtOnce(Scenario):
    """Threads let single operators allocate many small tensors each, hold them for a while, and find what they wrote."""

    origin = (*_ORIGIN, "optimisers allocate a tensor per parameter in one call")
    rows: ClassVar[tuple[int, ...]] = (25,)
    iterations = 12

    def setup(self, device: torch.device) -> list[torch.Tensor]:
        return [torch.ones(16).to(device) for _ in range(48)]

    def step(self, state: list[torch.Tensor], x: None) -> int:
        value = float(current().thread_index * 100 + current().iteration)
        made = [torch._foreach_add(state, value + number) for number in range(4)]
        counts = [count_wrong(torch.stack(one), value + number + 1) for number, one in enumerate(made)]
        return total(counts)


class Neighbours(Scenario):
    """Threads allocate tensors of a size and of half of it in turn, and check whether one has written into another."""

    origin = (*_ORIGIN, "pytorch#187441: a buffer whose end belonged to another tensor")
    rows: ClassVar[tuple[int, ...]] = (25,)
    iterations = 8

    def setup(self, device: torch.device) -> torch.Tensor:
        return torch.ones(4096).to(device)

    def step(self, state: torch.Tensor, x: None) -> int:
        value = float(current().thread_index * 100 + current().iteration)
        wrong = torch.zeros((), dtype=torch.int64, device=state.device)
        for elements in (4096, 1024, 256):
            for _ in range(3):
                torch.neg(state[:elements])  # one that goes at once
            sizes = (elements, elements // 2, elements, elements // 2)
            made = [state[:size] * (value + number) for number, size in enumerate(sizes)]
            for number, one in enumerate(made):
                wrong += count_wrong(one, value + number)
        return int(wrong)


class MemoryLevel(Scenario):
    """After threads have allocated and freed many tensors, the device counts as many bytes in use as before them."""

    origin = (*_ORIGIN, "suite rows 21 and 25: memory returns to its level")
    rows: ClassVar[tuple[int, ...]] = (21, 25)
    requires = ("accelerator",)  # the CPU keeps no account: there the scenario could not fail

    @property
    def waves(self) -> Sequence[tuple[int, int]]:  # type: ignore[override]
        return (1, 1), (self.threads, 10)

    def setup(self, device: torch.device) -> dict[str, Any]:
        return {"tensors": [torch.zeros(16).to(device) for _ in range(64)], "level": 0}

    def step(self, state: dict[str, Any], x: None) -> int:
        tensors = state["tensors"]
        if current().wave == 0:  # one thread by itself, once
            streams.synchronize(tensors[0].device)  # what queued work alone uses is given back with it
            state["level"] = memory.allocated_bytes(tensors[0].device)
            return 0
        for _ in range(8):
            torch._foreach_add(
                tensors, 1.0
            )  # private, but all optimisers use it: many allocations in one call
        return 0

    def finish(self, state: dict[str, Any]) -> int:
        return memory.allocated_bytes(state["tensors"][0].device) - int(state["level"])


class MemorySlope(Scenario):
    """Round after round threads compute on shapes seen before, and memory is taken in between: it must not grow."""

    origin = (
        *_ORIGIN,
        "pytorch#181485: 9 MB became 13.7 GB of driver memory in one epoch",
        "suite row 25: driver and process memory by a statistical test, where a warning was all there was",
    )
    rows: ClassVar[tuple[int, ...]] = (4, 25)

    @property
    def waves(self) -> Sequence[tuple[int, int]]:  # type: ignore[override]
        """Alternate rounds of work with one thread that measures, when no other has anything in flight."""
        return ((self.threads, 2), (1, 1)) * _ROUNDS

    def setup(self, device: torch.device) -> dict[str, Any]:
        layer = torch.nn.Linear(48, 32).to(device)
        return {"layer": layer, "memory": {"allocated": [], "of the driver": [], "of the process": []}}

    def make_input(self, generator: torch.Generator) -> torch.Tensor:
        return torch.randn(24, 48, generator=generator)

    def step(self, state: dict[str, Any], x: torch.Tensor) -> torch.Tensor:
        step = current()
        if step.wave % 2:
            self._measure(state["memory"], x.device)
            return torch.zeros(1)
        rows = 4 + 4 * ((step.thread_index + step.wave // 2) % 6)  # every shape comes in every sixth round
        with torch.no_grad():
            y: torch.Tensor = torch.softmax(state["layer"](x[:rows]), dim=-1).sum(dim=0)
        return y.cpu()  # outputs are kept until they are judged, and must not count

    @staticmethod
    def _measure(levels: dict[str, list[int]], device: torch.device) -> None:
        streams.synchronize(device)
        memory.empty_cache(device)  # what each stream keeps for reuse grows until all have seen all sizes
        levels["allocated"].append(memory.allocated_bytes(device))
        levels["of the driver"].append(memory.driver_bytes(device))
        levels["of the process"].append(psutil.Process().memory_info().rss)

    def finish(self, state: dict[str, Any]) -> dict[str, bool]:
        """Leave the first third out, in which caches fill."""
        least = {"allocated": 1.0, "of the driver": 1.0, "of the process": _PROCESS_BYTES_MIN}
        return {
            name: grows(values[len(values) // 3 :], slope_min=least[name])
            for name, values in state["memory"].items()
        }


def _churn(shift: torch.Tensor) -> int:
    """Make tensors, hold a few of them for a while, and return how many elements do not hold what was written."""
    value = float(current().thread_index * 100 + current().iteration)
    wrong = torch.zeros((), dtype=torch.int64, device=shift.device)
    held: deque[tuple[torch.Tensor, float]] = deque()
    for number in range(12):
        # Through a chain whose intermediate tensors go at once, while the work on them is queued.
        made = climb(value + number, shift, rows=(8, 16, 32)[number % 3], steps=1)
        held.append((made, value + number + 1))
        if len(held) > _HELD_MAX:
            wrong += count_wrong(*held.popleft())
    for one in held:
        wrong += count_wrong(*one)
    return int(wrong)
