"""Pairs of operators: a packed in-projection and attention are right alone and were wrong one after the other."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Sequence
from typing import Any
from typing import ClassVar

import torch
import torch.nn.functional as F

from stress import Scenario

_HEADS = 2
_EMBEDDING = 128  # 64 per head: permuted q, k and v of that size and above had their own bug (pytorch#163597)
_ORIGIN = (
    "dropbox/dML, isolate_projection_pattern and repro_sdpa_strided_race: packed projection and attention each right "
    "alone, the pair without a synchronisation between them wrong in 70-90 % of rounds",
    "pytorch#163597: scaled_dot_product_attention wrong for permuted q, k and v",
)


class ProjectionThenAttention(Scenario):
    """Every thread projects to packed q, k, v with shared weights and attends to them, strided or copied."""

    origin = _ORIGIN
    rows: ClassVar[tuple[int, ...]] = (6,)
    params = {"layout": ["strided", "copied"], "dtype": [torch.float32, torch.float16]}
    params_quick = {"dtype": [torch.float32]}
    iterations = 20
    layout: str
    dtype: torch.dtype

    def setup(self, device: torch.device) -> dict[str, torch.Tensor]:
        return _projection(self.dtype, device)

    def make_input(self, generator: torch.Generator) -> torch.Tensor:
        return torch.randn(2, 8, _EMBEDDING, generator=generator).to(self.dtype)

    def step(self, state: dict[str, torch.Tensor], x: torch.Tensor) -> torch.Tensor:
        packed = F.linear(x, state["weight"], state["bias"]).unflatten(-1, (3, _EMBEDDING))
        if self.layout == "copied":
            parts = packed.movedim(-2, 0).contiguous()  # the copy that nn.MultiheadAttention makes
            query, key, value = (_heads(parts[index]) for index in range(3))
        else:
            query, key, value = (_heads(packed[..., index, :]) for index in range(3))
        return F.scaled_dot_product_attention(query, key, value)


class ProjectionBesideAttention(Scenario):
    """Half of the threads project and copy while the other half attend to their own strided q, k and v."""

    origin = _ORIGIN
    rows: ClassVar[tuple[int, ...]] = (6,)
    threads_min = 2
    iterations = 20

    def setup(self, device: torch.device) -> dict[str, torch.Tensor]:
        return _projection(torch.float32, device)

    def make_input(self, generator: torch.Generator) -> torch.Tensor:
        return torch.randn(2, 8, 3 * _EMBEDDING, generator=generator)

    def steps(self) -> Sequence[Callable[[Any, Any], Any]]:
        return (self.project, self.attend)

    def project(self, state: dict[str, torch.Tensor], x: torch.Tensor) -> torch.Tensor:
        packed = F.linear(x[..., :_EMBEDDING], state["weight"], state["bias"])
        return packed.unflatten(-1, (3, _EMBEDDING)).movedim(-2, 0).contiguous()

    def attend(self, state: dict[str, torch.Tensor], x: torch.Tensor) -> torch.Tensor:
        query, key, value = (_heads(part) for part in x.chunk(3, dim=-1))
        return F.scaled_dot_product_attention(query, key, value)


def _projection(dtype: torch.dtype, device: torch.device) -> dict[str, torch.Tensor]:
    weight = torch.randn(3 * _EMBEDDING, _EMBEDDING) / _EMBEDDING**0.5
    return {"weight": weight.to(dtype).to(device), "bias": torch.randn(3 * _EMBEDDING).to(dtype).to(device)}


def _heads(x: torch.Tensor) -> torch.Tensor:
    """Return (batch, heads, time, size) as a view."""
    return x.unflatten(-1, (_HEADS, -1)).transpose(1, 2)
