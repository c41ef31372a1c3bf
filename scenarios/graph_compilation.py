"""Graph compilation and caches: unique shapes, one shape, mixed operators, ever new shapes, all from cold caches."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Sequence
from typing import Any
from typing import ClassVar

import torch
import torch.nn.functional as F

from stress import Scenario
from stress import current

_THREADS = 16
"""At least this many threads, even if fewer were asked for: the number of simultaneous compilations decides."""
_ORIGIN = (
    "Graph Compilation Stress of dropbox/dML (run_all_tests.sh, test 15): called flaky there and retried until green",
)


class UniqueShapes(Scenario):
    """Sixteen threads compile and run the same operators, each for its own width (64 + 7 * thread)."""

    origin = _ORIGIN
    rows: ClassVar[tuple[int, ...]] = (4,)
    fresh_process = True

    @property
    def waves(self) -> Sequence[tuple[int, int]]:  # type: ignore[override]
        return ((max(_THREADS, self.threads), 5),)

    @property
    def _width_max(self) -> int:
        return 64 + 7 * (max(_THREADS, self.threads) - 1)

    def setup(self, device: torch.device) -> torch.Tensor:
        return torch.randn(self._width_max, self._width_max).to(device)

    def make_input(self, generator: torch.Generator) -> torch.Tensor:
        return torch.randn(4, self._width_max, generator=generator)

    def step(self, state: torch.Tensor, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        width = 64 + 7 * current().thread_index
        y = x[:, :width] @ state[:width, :width] / 8
        return torch.softmax(y, dim=-1), F.layer_norm(y, (width,))


class SameShape(Scenario):
    """Sixteen threads compile and run the same operators for one shape (128 x 128) at the same moment."""

    origin = _ORIGIN
    rows: ClassVar[tuple[int, ...]] = (4,)
    fresh_process = True

    @property
    def waves(self) -> Sequence[tuple[int, int]]:  # type: ignore[override]
        return ((max(_THREADS, self.threads), 3),)

    def setup(self, device: torch.device) -> torch.Tensor:
        return torch.randn(128, 128).to(device)

    def make_input(self, generator: torch.Generator) -> torch.Tensor:
        return torch.randn(128, 128, generator=generator)

    def step(self, state: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        return F.gelu(x @ state) + torch.softmax(x, dim=-1)


def _in_lines(x: torch.Tensor) -> torch.Tensor:
    return F.conv1d(x.unsqueeze(1), x[:3, :3].unsqueeze(1), padding=1)


MIXED: tuple[Callable[[torch.Tensor], torch.Tensor], ...] = (
    lambda x: x @ x.t(),
    lambda x: x * 2 + 1,
    lambda x: torch.softmax(x, dim=-1),
    lambda x: F.layer_norm(x, (x.shape[-1],)),
    F.gelu,
    _in_lines,
    lambda x: x.sum(dim=0),
    lambda x: x.var(dim=1),
    lambda x: torch.cat((x, x.flip(0))),
    lambda x: x.t().contiguous(),
    lambda x: torch.log1p(torch.exp(x)),
    lambda x: torch.where(x > 0, x, x.clamp(min=-0.5)),
)
"""Twelve operators or pairs of them, each of which compiles its own graph."""


class MixedOps(Scenario):
    """Twelve threads each compile another of twelve operators at each turn, so that different graphs are built at once."""

    origin = _ORIGIN
    rows: ClassVar[tuple[int, ...]] = (4,)
    fresh_process = True

    @property
    def waves(self) -> Sequence[tuple[int, int]]:  # type: ignore[override]
        return ((max(len(MIXED), self.threads), len(MIXED)),)

    def make_input(self, generator: torch.Generator) -> torch.Tensor:
        return torch.randn(16, 24, generator=generator)

    def step(self, state: None, x: torch.Tensor) -> torch.Tensor:
        step = current()
        return MIXED[(step.thread_index + step.iteration) % len(MIXED)](x)


class GrowingCaches(Scenario):
    """Every thread runs every iteration on a width never seen before, so that caches grow while others look up."""

    origin = (
        *_ORIGIN,
        "pytorch#181485: one cached graph per shape without bound, and per thread with per-thread caches",
    )
    rows: ClassVar[tuple[int, ...]] = (4,)
    fresh_process = True
    iterations = 20

    def make_input(self, generator: torch.Generator) -> torch.Tensor:
        return torch.randn(2, 16 + self.threads * self.iterations, generator=generator)

    def step(self, state: None, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        step = current()
        width = 16 + (step.thread_index * self.iterations + step.iteration) % (x.shape[1] - 16)
        y = torch.softmax(x[:, :width] * 2, dim=-1)
        return y, y @ x[:, :width].t()


class TrainBesideEval(Scenario):
    """Even threads train a batch norm, odd ones evaluate it, on the same shapes at the same time."""

    origin = ("pytorch#180744: a cache of graphs whose key did not say whether the operator trains",)
    rows: ClassVar[tuple[int, ...]] = (4, 5)
    threads_min = 2
    iterations = 20

    def setup(self, device: torch.device) -> dict[str, torch.Tensor]:
        ramp = torch.linspace(0.5, 2.0, 12)
        tensors = {"mean": ramp - 1, "var": ramp, "weight": ramp.flip(0), "bias": ramp.sin()}
        return {name: tensor.to(device) for name, tensor in tensors.items()}

    def make_input(self, generator: torch.Generator) -> torch.Tensor:
        return torch.randn(8, 12, generator=generator)

    def steps(self) -> Sequence[Callable[[Any, Any], Any]]:
        return (self.train, self.evaluate)

    def train(self, state: dict[str, torch.Tensor], x: torch.Tensor) -> list[torch.Tensor]:
        mean, var = state["mean"].clone(), state["var"].clone()
        values = [
            F.batch_norm(x * scale, mean, var, state["weight"], state["bias"], training=True)
            for scale in (1.0, 0.5, 2.0)
        ]
        return [*values, mean, var]

    def evaluate(self, state: dict[str, torch.Tensor], x: torch.Tensor) -> list[torch.Tensor]:
        mean, var = state["mean"].clone(), state["var"].clone()
        values = [
            F.batch_norm(x * scale, mean, var, state["weight"], state["bias"], training=False)
            for scale in (1.0, 0.5, 2.0)
        ]
        return [*values, mean, var]  # as they were
