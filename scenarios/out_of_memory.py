"""Running out of memory: the thread that asks for too much gets an error, and all others continue.

No request can harm the machine: either it is impossible to fulfil, or the device has its own limit.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from collections.abc import Sequence
from typing import Any
from typing import ClassVar

import torch

from stress import Scenario
from stress import current
from stress import memory
from stress.scenario.exact import count_wrong

_IMPOSSIBLE_BYTES = 1 << 50
_LIMIT_BYTES = 128 << 20
_BLOCK_ELEMENTS = 2 << 20
"""8 MB in single precision: sixteen of them are more than the limit allows."""
_RECOVERY_S_MAX = 20.0


class ImpossibleRequest(Scenario):
    """One thread asks for a petabyte again and again: it alone is refused, with an error, and all others stay right."""

    origin: ClassVar[Sequence[str]] = (
        "OOM Recovery of dropbox/dML: seven workers and one impossible request",
    )
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


class ImpossibleRequests(ImpossibleRequest):
    """Every second thread asks for a petabyte again and again: each is refused, and the others stay right."""

    origin = (
        *ImpossibleRequest.origin,
        "TrueMemory#494: the handlers of several out-of-memory errors run at the same time",
    )
    iterations = 12

    def steps(self) -> Sequence[Callable[[Any, Any], Any]]:
        return (self.ask, self.work)


class PressureAndRecovery(Scenario):
    """Threads fill the memory that the device is limited to until they are refused, let all go, and start again."""

    origin = (
        "OOM Recovery of dropbox/dML: pressure and recovery, and three allocate/free cycles, of which a leak only warned",
    )
    rows: ClassVar[tuple[int, ...]] = (21,)
    requires = ("memory_limit",)
    iterations = 3

    def setup(self, device: torch.device) -> dict[str, Any]:
        memory.limit_memory(device, _LIMIT_BYTES)
        small = torch.ones(256).to(device)
        return {"small": small, "level": memory.allocated_bytes(device)}

    def step(self, state: dict[str, Any], x: None) -> dict[str, int]:
        small, value = state["small"], float(current().thread_index * 10 + current().iteration)
        refused, wrong = _fill(small.device, value)
        if current().thread_index % 2:
            memory.empty_cache(small.device)
        return {"refused": refused, "wrong": wrong, "right afterwards": _recovered(small, value)}

    def finish(self, state: dict[str, Any]) -> dict[str, int]:
        return {"bytes left": memory.allocated_bytes(state["small"].device) - int(state["level"])}

    def reference(self, device: torch.device, inputs: Sequence[Sequence[Any]]) -> Any:
        """Expect that each is refused once and then served: the CPU, which has no limit, cannot show it."""
        right = {"refused": 1, "wrong": 0, "right afterwards": 1}
        return [[right for _ in of_thread] for of_thread in inputs], [{"bytes left": 0}]


def _fill(device: torch.device, value: float) -> tuple[int, int]:
    """Fill blocks with a value until the device refuses one; (refusals, elements that do not hold it)."""
    blocks: list[torch.Tensor] = []
    refused = 0
    for _ in range(2 * _LIMIT_BYTES // (4 * _BLOCK_ELEMENTS)):
        try:
            blocks.append(torch.full((_BLOCK_ELEMENTS,), value, device=device))
        except torch.cuda.OutOfMemoryError:  # every device's; `torch.OutOfMemoryError` is new in 2.5
            refused = 1
            break
        except RuntimeError as error:  # of a backend without a separate class for it
            if "out of memory" not in str(error):
                raise
            refused = 1
            break
    # One element of each, which needs next to no memory while all of it is taken.
    return refused, sum(float(one[-1]) != value for one in blocks)


def _recovered(small: torch.Tensor, value: float) -> int:
    """Compute a little, again and again while the other threads have all the memory; 1 when the value is right."""
    deadline_s = time.monotonic() + _RECOVERY_S_MAX
    while time.monotonic() < deadline_s:
        try:
            return int(int(count_wrong(small * value + value, 2 * value)) == 0)
        except RuntimeError as error:
            if "out of memory" not in str(error):
                raise
        time.sleep(0.0005)
    return 0
