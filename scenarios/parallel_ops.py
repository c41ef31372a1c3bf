"""Simple operators from N threads: element-wise, matrix products, reductions, and work handed to a pool."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from typing import ClassVar

import torch

from stress import Scenario

_ORIGIN = (
    "pytorch#197805: the process dies when two threads run MPS operators on fresh shapes",
    "test_parallel_mps_simple.py of the earlier script suite: 2 and 4 threads, values never checked",
)


class Elementwise(Scenario):
    """Every thread runs a chain of element-wise operators on its own input and two shared tensors."""

    origin = _ORIGIN
    rows: ClassVar[tuple[int, ...]] = (1,)
    params = {"dtype": [torch.float32, torch.float16]}
    params_quick = {"dtype": [torch.float16]}
    iterations = 30
    dtype: torch.dtype

    def setup(self, device: torch.device) -> dict[str, torch.Tensor]:
        return {name: torch.rand(16, 64).to(self.dtype).to(device) for name in ("scale", "shift")}

    def make_input(self, generator: torch.Generator) -> torch.Tensor:
        return torch.randn(16, 64, generator=generator).to(self.dtype)

    def step(self, state: dict[str, torch.Tensor], x: torch.Tensor) -> torch.Tensor:
        y = torch.tanh(x * state["scale"] + state["shift"])
        return torch.where(x > 0, y, -y) + torch.sigmoid(x)


class Matmul(Scenario):
    """Every thread multiplies its own matrix by one shared matrix, plainly and transposed."""

    origin = (*_ORIGIN, "pytorch#193487: matrix products that are wrong depending on the allocations before")
    rows: ClassVar[tuple[int, ...]] = (1,)
    params = {"dtype": [torch.float32, torch.bfloat16]}
    params_quick = {"dtype": [torch.bfloat16]}
    iterations = 30
    dtype: torch.dtype

    def setup(self, device: torch.device) -> torch.Tensor:
        return torch.randn(64, 64).to(self.dtype).to(device)

    def make_input(self, generator: torch.Generator) -> torch.Tensor:
        return torch.randn(32, 64, generator=generator).to(self.dtype)

    def step(self, state: torch.Tensor, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return x @ state, state @ x.t()


class Reductions(Scenario):
    """Every thread reduces its own input in seven ways, among them integer results that must be exact."""

    origin = _ORIGIN
    rows: ClassVar[tuple[int, ...]] = (1,)
    iterations = 15

    def make_input(self, generator: torch.Generator) -> torch.Tensor:
        return torch.randn(24, 40, generator=generator)

    def step(self, state: None, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return (
            x.sum(),
            x.mean(dim=0),
            x.amax(dim=1),
            x.argmax(dim=1),
            x.var(dim=0),
            x.cumsum(dim=1),
            (x > 0).sum(),
        )


class TwoThenFourThreads(Scenario):
    """Two threads, then four, run a matrix product, an activation and a reduction each."""

    origin = (
        *_ORIGIN,
        "TestMPSParallelInference of the fork's upstream submission: test_parallel_basic_ops and "
        "test_parallel_4_threads",
    )
    rows: ClassVar[tuple[int, ...]] = (1,)
    waves = ((2, 25), (4, 25))

    def setup(self, device: torch.device) -> torch.Tensor:
        return torch.randn(48, 48).to(device)

    def make_input(self, generator: torch.Generator) -> torch.Tensor:
        return torch.randn(16, 48, generator=generator)

    def step(self, state: torch.Tensor, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        y = torch.relu(x @ state)
        return y, y.sum(dim=1)


class PooledWork(Scenario):
    """Every thread splits its input over a ThreadPoolExecutor, whose workers move data, compute and move back."""

    origin = (
        *_ORIGIN,
        "vectorize-io/hindsight#4412: overlapping predict calls from a server's worker pool kill the process",
    )
    rows: ClassVar[tuple[int, ...]] = (1,)
    iterations = 10

    def make_input(self, generator: torch.Generator) -> torch.Tensor:
        return torch.randn(4, 16, 32, generator=generator)

    def step(self, state: None, x: torch.Tensor) -> list[torch.Tensor]:
        # Each job starts and ends on the host: a worker's stream is not the stream that made `x`.
        device, parts = x.device, list(x.cpu())
        with ThreadPoolExecutor(2, initializer=torch.set_num_threads, initargs=(1,)) as pool:
            return list(pool.map(lambda part: _job(part, device), parts))

    def reference(
        self, device: torch.device, inputs: Sequence[Sequence[Any]]
    ) -> list[list[list[torch.Tensor]]]:
        return [[[_job(part, device) for part in x.cpu()] for x in of_thread] for of_thread in inputs]


def _job(part: torch.Tensor, device: torch.device) -> torch.Tensor:
    """Compute on `device` what a server's worker would; data comes from and goes to the host."""
    x = part.to(device)
    return torch.softmax(x @ x.t() / part.shape[-1], dim=-1).cpu()
