"""Errors belong to the thread that made them: it alone sees them, and all others stay right."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Sequence
from typing import Any
from typing import ClassVar

import torch

from stress import Scenario
from stress import current


class OneOffender(Scenario):
    """Thread 0 provokes an error in every second iteration while all other threads run valid operators."""

    origin = (
        "pytorch#166615: an out-of-range index is reported at a later synchronisation, perhaps another thread's",
        "pytorch#78503: an exception inside a dispatch block kills the process",
    )
    rows: ClassVar[tuple[int, ...]] = (20,)
    params = {"error": ["shape", "dtype", "index"]}
    threads_min = 2
    iterations = 20
    error: str

    def setup(self, device: torch.device) -> torch.Tensor:
        return torch.randn(32, 32).to(device)

    def make_input(self, generator: torch.Generator) -> torch.Tensor:
        return torch.randn(16, 32, generator=generator)

    def steps(self) -> Sequence[Callable[[Any, Any], Any]]:
        return (self.offend, *[self.work] * (self.threads - 1))

    def work(self, state: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        chosen = torch.index_select(x, 0, (x[:, 0] > 0).long())
        return torch.softmax((x + chosen) @ state / 8, dim=-1)

    def offend(self, state: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        if current().iteration % 2:
            return self.work(state, x)
        if self.error == "shape":
            return x @ x
        if self.error == "dtype":
            return torch.bitwise_and(x, x)
        if self.device_type == "cuda":
            return x[
                len(x)
            ]  # checked on the host: an index checked on the device ends the CUDA context for all
        # Read at once, so that an error found on the device surfaces here and not in whoever waits next.
        return torch.index_select(x, 0, torch.full((3,), 1000).to(x.device)).cpu()
