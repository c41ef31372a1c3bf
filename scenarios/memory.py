"""The allocator: churn of many sizes with the contents checked, the cache emptied meanwhile, and the books."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from collections.abc import Sequence
from typing import Any
from typing import ClassVar

import torch

from stress import Scenario
from stress import current
from stress.exact import climb
from stress.exact import count_wrong
from stress.exact import shift_matrix

_HELD_MAX = 6
_IMPOSSIBLE_BYTES = 1 << 50
_ORIGIN = (
    "pytorch#86119: the MPS allocator and threads",
    "dropbox/dML: allocator with a free list per stream, events and a double check",
)


class AllocationChurn(Scenario):
    """Threads fill, hold and drop tensors of a few sizes, and find in each what they wrote; one empties the cache."""

    origin = _ORIGIN
    rows: ClassVar[tuple[int, ...]] = (21, 25)
    iterations = 20

    def setup(self, device: torch.device) -> torch.Tensor:
        return shift_matrix(64).to(device)

    def steps(self) -> Sequence[Callable[[Any, Any], Any]]:
        return (self.churn_and_empty, *[self.churn] * max(0, self.threads - 1))

    def churn_and_empty(self, state: torch.Tensor, x: None) -> int:
        wrong = self.churn(state, x)
        _empty_cache(state.device)
        return wrong + self.churn(state, x)

    def churn(self, state: torch.Tensor, x: None) -> int:
        value = float(current().thread_index * 100 + current().iteration)
        wrong = torch.zeros((), dtype=torch.int64, device=state.device)
        held: deque[tuple[torch.Tensor, float]] = deque()
        for number in range(16):
            rows = (8, 16, 32)[number % 3]
            # Through a chain whose intermediate tensors go at once, while the work on them is queued.
            held.append((climb(value + number, state, rows=rows, steps=2), value + number + 2))
            if len(held) > _HELD_MAX:
                wrong += count_wrong(*held.popleft())
        for one in held:
            wrong += count_wrong(*one)
        return int(wrong)


class Neighbours(Scenario):
    """Threads allocate tensors of a size and of half of it in turns, and look whether one has written into another."""

    origin = (*_ORIGIN, "pytorch#187441: a buffer whose end belonged to another tensor")
    rows: ClassVar[tuple[int, ...]] = (25,)
    iterations = 12

    def setup(self, device: torch.device) -> torch.Tensor:
        return torch.ones(4096).to(device)

    def step(self, state: torch.Tensor, x: None) -> int:
        value = float(current().thread_index * 100 + current().iteration)
        wrong = torch.zeros((), dtype=torch.int64, device=state.device)
        for elements in (4096, 2048, 1024, 512, 256):
            for _ in range(4):
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
            state["level"] = _allocated_bytes(tensors[0].device)
            return 0
        for _ in range(8):
            torch._foreach_add(
                tensors, 1.0
            )  # private, but all optimisers use it: many allocations in one call
        return 0

    def finish(self, state: dict[str, Any]) -> int:
        return _allocated_bytes(state["tensors"][0].device) - int(state["level"])


class ImpossibleRequest(Scenario):
    """One thread asks for a petabyte again and again: it alone is refused, with an error, and all others stay right."""

    origin = ("OOM Recovery of dropbox/dML: seven workers and one impossible request",)
    rows: ClassVar[tuple[int, ...]] = (20, 21)
    threads_min = 2
    iterations = 15

    def setup(self, device: torch.device) -> torch.Tensor:
        return torch.randn(48, 48).to(device)

    def make_input(self, generator: torch.Generator) -> torch.Tensor:
        return torch.randn(16, 48, generator=generator)

    def steps(self) -> Sequence[Callable[[Any, Any], Any]]:
        return (self.ask, *[self.work] * (self.threads - 1))

    def work(self, state: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        return torch.softmax(torch.tanh(x @ state) @ state, dim=-1)

    def ask(self, state: torch.Tensor, x: torch.Tensor) -> tuple[torch.Tensor, bool]:
        try:
            torch.empty(_IMPOSSIBLE_BYTES, dtype=torch.uint8, device=x.device)
        except RuntimeError:
            return self.work(state, x), True
        return self.work(state, x), False


def _empty_cache(device: torch.device) -> None:
    if device.type != "cpu":
        getattr(getattr(torch, device.type, None), "empty_cache", torch.accelerator.empty_cache)()


def _allocated_bytes(device: torch.device) -> int:
    """Return the bytes that live tensors take, by the device's own count; 0 on the CPU, which keeps none."""
    if device.type == "cpu":
        return 0
    module = getattr(torch, device.type, None)
    for name in ("current_allocated_memory", "memory_allocated"):
        if hasattr(module, name):
            return int(getattr(module, name)())
    return int(torch.accelerator.memory_allocated())
