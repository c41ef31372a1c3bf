"""Linear algebra whose encodings the fork had to serialise: batched products, triangular solves, LU, strided views."""

from __future__ import annotations

from typing import ClassVar

import torch

from stress import Scenario

_ORIGIN = (
    "dropbox/dML, known limitation: encoding mutexes for tiled bmm, LU decomposition, LU solve, triangular solve and "
    "MPSNDArrayIdentity (test_linalg_ops_parallel.py)",
)


class BatchedMatmul(Scenario):
    """Every thread multiplies batches of matrices with a shared batch, and adds to one (bmm, baddbmm)."""

    origin = (*_ORIGIN, "pytorch#195163: wrong batched products for large inner sizes")
    rows: ClassVar[tuple[int, ...]] = (14,)
    params = {"dtype": [torch.float32, torch.float16]}
    params_quick = {"dtype": [torch.float32]}
    iterations = 25
    dtype: torch.dtype

    def setup(self, device: torch.device) -> torch.Tensor:
        return torch.randn(6, 24, 20).to(self.dtype).to(device)

    def make_input(self, generator: torch.Generator) -> torch.Tensor:
        return torch.randn(6, 16, 24, generator=generator).to(self.dtype)

    def step(self, state: torch.Tensor, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        product = torch.bmm(x, state)
        return product, torch.baddbmm(product, x, state, alpha=0.5)


class TriangularSolve(Scenario):
    """Every thread solves triangular systems with a shared matrix, from either side."""

    origin = _ORIGIN
    rows: ClassVar[tuple[int, ...]] = (14,)
    iterations = 20

    def setup(self, device: torch.device) -> torch.Tensor:
        _load_library(device)
        # Dominant diagonal: well conditioned, so that the error budget is that of the dtype.
        return (torch.randn(24, 24).tril() / 24 + torch.eye(24)).to(device)

    def make_input(self, generator: torch.Generator) -> torch.Tensor:
        return torch.randn(24, 24, generator=generator)

    def step(self, state: torch.Tensor, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        left = torch.linalg.solve_triangular(state, x, upper=False)
        return left, torch.linalg.solve_triangular(state.t(), x.t(), upper=True)


class LuFactorisation(Scenario):
    """Every thread factorises its own matrix, pivots included, and solves a system with it."""

    origin = _ORIGIN
    rows: ClassVar[tuple[int, ...]] = (14,)
    iterations = 20

    def setup(self, device: torch.device) -> None:
        _load_library(device)

    def make_input(self, generator: torch.Generator) -> torch.Tensor:
        # A row-permuted matrix with a dominant diagonal: every pivot is a clear choice on any device.
        dominant = torch.randn(16, 16, generator=generator) / 16 + 2 * torch.eye(16)
        return dominant[torch.randperm(16, generator=generator)]

    def step(self, state: None, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        factors, pivots = torch.linalg.lu_factor(x)
        return factors, pivots, torch.linalg.solve(x, x[:, :3] + 1)


class StridedViews(Scenario):
    """Every thread multiplies transposed, stepped, sliced and expanded views without making them contiguous."""

    origin = (*_ORIGIN, "pytorch#162730, pytorch#167154: F.linear with a non-contiguous or expanded operand")
    rows: ClassVar[tuple[int, ...]] = (14,)
    iterations = 15

    def setup(self, device: torch.device) -> torch.Tensor:
        return torch.randn(40, 48).to(device)

    def make_input(self, generator: torch.Generator) -> torch.Tensor:
        return torch.randn(32, 40, generator=generator)

    def step(self, state: torch.Tensor, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return (
            state.t() @ x.t(),
            x[::2, 4:36:2] @ state[8:24, ::3],
            torch.bmm(x.expand(3, -1, -1), state.t().t().expand(3, -1, -1))[:, ::4],
            x.t().contiguous().view(8, 5, 32).transpose(0, 2).matmul(state[:8, :6].t()[:, :8].t()),
        )


def _load_library(device: torch.device) -> None:
    """Load CUDA's linear algebra, which threads must not do at once (pytorch#90613).

    That race is the subject of `LinalgColdStart` and would hide all others here. Elsewhere nothing is warmed.
    """
    if device.type == "cuda":
        torch.linalg.inv(torch.eye(2).to(device))
