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
        # Read at once, so that an error found on the device surfaces here and not in the next thread that waits.
        if self.error == "dtype":
            return torch.bitwise_and(x, x).cpu()
        if self.device_type == "cuda":
            return x[
                len(x)
            ]  # checked on the host: an index checked on the device ends the CUDA context for all
        return torch.index_select(x, 0, torch.full((3,), 1000).to(x.device)).cpu()


class LateErrors(Scenario):
    """Threads submit an operator that fails on the device, continue, and wait later: each gets only its own errors."""

    origin = (
        "pytorch#166615: errors found by the device surface at a later synchronisation, perhaps another thread's",
        "pytorch#193571: the status of a failed command buffer is not read, and garbage is",
    )
    rows: ClassVar[tuple[int, ...]] = (20,)
    threads_min = 2
    iterations = 15

    def setup(self, device: torch.device) -> dict[str, torch.Tensor]:
        return {"weight": torch.randn(32, 32).to(device), "beyond": torch.full((3,), 1000).to(device)}

    def make_input(self, generator: torch.Generator) -> torch.Tensor:
        return torch.randn(16, 32, generator=generator)

    def steps(self) -> Sequence[Callable[[Any, Any], Any]]:
        return (self.offend, self.work)

    def work(self, state: dict[str, torch.Tensor], x: torch.Tensor) -> torch.Tensor:
        return torch.stack([_read(state["weight"], x * scale) for scale in (1.0, 0.5, 0.25, 0.125)])

    def offend(self, state: dict[str, torch.Tensor], x: torch.Tensor) -> dict[str, Any]:
        told = 0
        for _ in range(2):
            try:
                if self.device_type == "cuda":  # as above
                    failed = x[len(x)]
                else:
                    failed = torch.index_select(x, 0, state["beyond"])
                torch.softmax(x @ state["weight"], dim=-1)  # the error is there, and nobody has waited yet
                failed.cpu()
            except (IndexError, RuntimeError):
                told += 1
        return {"told": told, "right after it": _read(state["weight"], x)}


def _read(weight: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    """Compute, and wait: the first thread to wait must not get another thread's error."""
    return torch.softmax(x @ weight / 8, dim=-1).cpu()
