"""Extended stress: many iterations on small tensors, all worker streams of a pool at once, large tensors."""

from __future__ import annotations

from typing import ClassVar

import torch

from stress import Scenario


class _Block(Scenario):
    """A small network block: the work of each of the many iterations."""

    def setup(self, device: torch.device) -> torch.nn.Module:
        block = torch.nn.Sequential(
            torch.nn.Linear(24, 32), torch.nn.ReLU(), torch.nn.LayerNorm(32), torch.nn.Linear(32, 8)
        )
        return block.to(device)

    def make_input(self, generator: torch.Generator) -> torch.Tensor:
        return torch.randn(6, 24, generator=generator)

    def step(self, state: torch.nn.Module, x: torch.Tensor) -> torch.Tensor:
        with torch.no_grad():
            y: torch.Tensor = state(x)
        return y


class EightThreads(_Block):
    """Eight threads run one shared block a hundred times each."""

    origin = ("Extended Stress of dropbox/dML (test_stress_extended.py): 8 threads x 100 iterations",)
    rows: ClassVar[tuple[int, ...]] = (7,)
    waves = ((8, 100),)


class SixteenThreads(_Block):
    """Sixteen threads run one shared block fifty times each."""

    origin = ("Extended Stress of dropbox/dML (test_stress_extended.py): 16 threads x 50 iterations",)
    rows: ClassVar[tuple[int, ...]] = (7,)
    waves = ((16, 50),)
    attempts_quick: ClassVar[int | None] = 0


class EveryWorkerStream(_Block):
    """Thirty-one threads, as many as the fork's pool has worker streams, run a shared layer a hundred times each."""

    origin = (
        "Max Streams of dropbox/dML (31 threads x 100 iterations); its report for 1-33 threads turned out to have "
        "run against an unpatched torch",
    )
    rows: ClassVar[tuple[int, ...]] = (7,)
    waves = ((31, 100),)
    attempts_quick: ClassVar[int | None] = 0

    def setup(self, device: torch.device) -> torch.nn.Module:
        return torch.nn.Sequential(torch.nn.Linear(24, 32), torch.nn.ReLU()).to(device)


class LargeTensors(Scenario):
    """Every thread builds tensors of several megabytes, runs a chain over them and reduces them."""

    origin = (
        "Extended Stress of dropbox/dML (test_stress_extended.py): large tensors",
        "pytorch#193487: large allocations decide which later matrix products are wrong",
    )
    rows: ClassVar[tuple[int, ...]] = (7,)
    iterations = 2

    def make_input(self, generator: torch.Generator) -> torch.Tensor:
        return torch.randn(2, 768, generator=generator)

    def step(self, state: None, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        large = torch.outer(x[0], x[1])  # 2.4 MB in single precision
        other = torch.where(large > 0, large, large * 0.5) + large.t()
        return other.sum(dim=0), other.amax(dim=1), x @ other
