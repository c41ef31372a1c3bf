"""Cold kernels: in a fresh process, the first use of each operator falls into a race for the kernel caches."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

import torch

from stress import Scenario
from stress import current

_ORIGIN = (
    "pytorch#167541: MetalShaderLibrary's pipeline-state cache races when about 15 threads each use another unary "
    "operator for the first time (double free, heap corruption)",
    "pytorch#197837: the guard of that cache",
)

UNARY: tuple[Callable[[torch.Tensor], torch.Tensor], ...] = (
    torch.tanh, torch.abs, torch.sin, torch.cos, torch.tan, torch.asin, torch.acos, torch.atan, torch.sqrt,
    torch.rsqrt, torch.neg, torch.exp2, torch.log10, torch.log2, torch.log,
)  # fmt: skip
"""The fifteen operators of pytorch#167541, in its order."""


class _Cold(Scenario):
    """A shared tensor of 128 elements inside every operator's domain, and nothing warm."""

    def setup(self, device: torch.device) -> torch.Tensor:
        return (torch.rand(128) * 0.9 + 0.05).to(self._dtype()).to(device)

    def _dtype(self) -> torch.dtype:
        return torch.float32


class UnlikeKernels(_Cold):
    """Every thread's first operator is one that no other thread uses then; the rest follow in later turns."""

    origin = _ORIGIN
    rows: ClassVar[tuple[int, ...]] = (16,)
    params = {"dtype": [torch.float32, torch.float16]}
    fresh_process = True
    iterations = 4
    dtype: torch.dtype

    def _dtype(self) -> torch.dtype:
        return self.dtype

    def step(self, state: torch.Tensor, x: None) -> torch.Tensor:
        step = current()
        return UNARY[(step.thread_index + step.iteration * self.threads) % len(UNARY)](state)


class LikeKernels(_Cold):
    """All threads use the same operator for the first time at once, fifteen times over."""

    origin = (*_ORIGIN, "pytorch#197805: fresh unary operators from 4 threads (threads_unary)")
    rows: ClassVar[tuple[int, ...]] = (16,)
    fresh_process = True
    iterations = len(UNARY)

    def step(self, state: torch.Tensor, x: None) -> torch.Tensor:
        return UNARY[current().iteration % len(UNARY)](state)


class LinalgColdStart(Scenario):
    """Every thread's first operator of the process is one of linear algebra, so that its library is loaded by all at once."""

    origin = (
        "pytorch#90613: 'lazy wrapper should be called at most once' when threads are first to use torch.linalg on CUDA",
    )
    rows: ClassVar[tuple[int, ...]] = (14, 16)
    fresh_process = True
    iterations = 3

    def make_input(self, generator: torch.Generator) -> torch.Tensor:
        return torch.randn(12, 12, generator=generator) / 12 + 2 * torch.eye(12)

    def step(self, state: None, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return torch.linalg.solve(x, x[:, :2] + 1), torch.linalg.inv(x)
