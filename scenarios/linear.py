"""`nn.Linear`: the no-graph path that is not re-entrant, and the graph path that a fork switches to."""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Sequence
from typing import ClassVar

import torch

from stress import Scenario


class SharedLinear(Scenario):
    """Every thread calls one shared nn.Linear on a two-dimensional and a three-dimensional input."""

    origin = (
        "dropbox/dML, known limitation: no-graph nn.Linear (MPSNDArrayMatrixMultiplication) crashes at 3 or more "
        "threads; the fork serialises it and switches to the graph path when streams run in parallel",
        "pytorch#180776: nn.Linear in half precision differs from run to run on some chips",
    )
    rows: ClassVar[tuple[int, ...]] = (2,)
    params = {"dtype": [torch.float32, torch.float16, torch.bfloat16]}
    params_quick = {"dtype": [torch.float32, torch.float16]}
    iterations = 25
    dtype: torch.dtype

    @property
    def reference_envs(self) -> Sequence[Mapping[str, str]]:  # type: ignore[override]
        """Take a reference on either kernel path: which one a thread gets depends on who else is running."""
        return [{"MPS_FORCE_GRAPH_PATH": "1"}] if self.device_type == "mps" else []

    def setup(self, device: torch.device) -> torch.nn.Linear:
        return torch.nn.Linear(64, 96).to(self.dtype).to(device)

    def make_input(self, generator: torch.Generator) -> torch.Tensor:
        return torch.randn(16, 64, generator=generator).to(self.dtype)

    def step(self, state: torch.nn.Linear, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        with torch.no_grad():
            return state(x), state(x.view(4, 4, 64))


class PerThreadLinear(SharedLinear):
    """Every thread calls its own nn.Linear: only the backend's state is still shared."""

    params = {"dtype": [torch.float32, torch.float16]}
    params_quick = {"dtype": [torch.float32]}
    sharing: ClassVar[str] = "per-thread"


class GraphPathLinear(SharedLinear):
    """Every thread calls one shared nn.Linear that is forced to take the graph path."""

    origin = (
        "dropbox/dML: MPS_FORCE_GRAPH_PATH=1 sends nn.Linear and nn.LayerNorm to MPSGraph",
        "pytorch#197796: nn.Linear in half precision, forward and backward",
    )
    env: ClassVar[Mapping[str, str]] = {"MPS_FORCE_GRAPH_PATH": "1"}
    requires = ("graph_path",)
    attempts_quick: ClassVar[int | None] = 0

    @property
    def reference_envs(self) -> Sequence[Mapping[str, str]]:  # type: ignore[override]
        """Take only the reference of the item's own path: a value of the other path would show that it was taken."""
        return []
