"""`nn.LayerNorm`: right against the CPU, and the same in every thread."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any
from typing import ClassVar

import torch

from stress import Scenario

_ORIGIN = (
    "dropbox/dML, known limitation: LayerNorm's Metal kernel crashes or gives wrong values at 4 or more threads; "
    "the fork serialises it (verify_layernorm_fix.py)",
)


class SharedLayerNorm(Scenario):
    """Every thread calls one shared nn.LayerNorm with weight and bias on its own input."""

    origin = _ORIGIN
    rows: ClassVar[tuple[int, ...]] = (3,)
    params = {"dtype": [torch.float32, torch.float16]}
    iterations = 30
    dtype: torch.dtype

    @property
    def reference_envs(self) -> Sequence[Mapping[str, str]]:  # type: ignore[override]
        """Take a reference on either kernel path: the fork's switch covers LayerNorm too."""
        return [{"MPS_FORCE_GRAPH_PATH": "1"}] if self.device_type == "mps" else []

    def setup(self, device: torch.device) -> torch.nn.LayerNorm:
        return _layer_norm(96).to(self.dtype).to(device)

    def make_input(self, generator: torch.Generator) -> torch.Tensor:
        return torch.randn(8, 6, 96, generator=generator).to(self.dtype)

    def step(self, state: torch.nn.LayerNorm, x: torch.Tensor) -> torch.Tensor:
        with torch.no_grad():
            y: torch.Tensor = state(x)
        return y


class PerThreadLayerNorm(SharedLayerNorm):
    """Every thread calls its own nn.LayerNorm."""

    params = {"dtype": [torch.float32]}
    sharing: ClassVar[str] = "per-thread"


class GraphPathLayerNorm(SharedLayerNorm):
    """Every thread calls one shared nn.LayerNorm that is forced to take the graph path."""

    env: ClassVar[Mapping[str, str]] = {"MPS_FORCE_GRAPH_PATH": "1"}
    requires = ("graph_path",)
    attempts_quick: ClassVar[int | None] = 0

    @property
    def reference_envs(self) -> Sequence[Mapping[str, str]]:  # type: ignore[override]
        """Take the reference of the item's own path alone."""
        return []


class LayerNormAgreement(Scenario):
    """All threads normalise the same tensor, and an arbiter counts the results that disagree with the first."""

    origin = _ORIGIN
    rows: ClassVar[tuple[int, ...]] = (3,)
    iterations = 20

    @property
    def reference_envs(self) -> Sequence[Mapping[str, str]]:  # type: ignore[override]
        """Take a reference on either kernel path, as above."""
        return [{"MPS_FORCE_GRAPH_PATH": "1"}] if self.device_type == "mps" else []

    def setup(self, device: torch.device) -> dict[str, Any]:
        return {
            "x": torch.randn(12, 80).to(device),
            "layer": _layer_norm(80).to(device),
            "results": [],
            "lock": threading.Lock(),
        }

    def step(self, state: dict[str, Any], x: None) -> torch.Tensor:
        with torch.no_grad():
            y: torch.Tensor = state["layer"](state["x"])
        with state["lock"]:
            state["results"].append(y)
        return y

    def finish(self, state: dict[str, Any]) -> dict[str, int]:
        results = [y.cpu() for y in state["results"]]
        # Two kernel paths may differ by roundings; anything above that is another value.
        allowed = 64 * torch.finfo(torch.float32).eps * float(results[0].abs().max())
        agreeing = sum(
            float((y - results[0]).abs().max()) <= allowed for y in results
        )  # NaN is not <= anything
        return {"results": len(results), "disagreeing": len(results) - agreeing}


def _layer_norm(size: int) -> torch.nn.LayerNorm:
    """Return a layer with non-trivial weight and bias."""
    layer = torch.nn.LayerNorm(size)
    with torch.no_grad():
        layer.weight.copy_(torch.rand(size) + 0.5)
        layer.bias.copy_(torch.randn(size))
    return layer
