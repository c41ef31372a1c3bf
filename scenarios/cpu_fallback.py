"""Operators that run on the CPU because the device has no kernel for them, beside operators that it has."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Sequence
from typing import Any
from typing import ClassVar

import torch
import torch.nn.functional as F

from stress import Scenario


class FallbackBesideNative(Scenario):
    """Even threads run an operator that MPS has no kernel for, odd ones linear layers and attention."""

    origin = (
        "Wan2GP#2014: the process dies in attention when other operators fall back to the CPU",
        "pytorch#197805: what waits for a stream outside its queue",
    )
    rows: ClassVar[tuple[int, ...]] = (1, 18)
    requires = ("cpu_fallback",)
    env: ClassVar[dict[str, str]] = {"PYTORCH_ENABLE_MPS_FALLBACK": "1"}
    threads_min = 2
    attempts_quick = 3  # its environment needs a process of its own for each
    iterations = 10

    def setup(self, device: torch.device) -> dict[str, torch.Tensor]:
        return {
            name: (torch.linspace(-1, 1, rows * 32).sin().reshape(rows, 32) / 6).to(device)
            for name, rows in (("out", 32), ("packed", 96))
        }

    def make_input(self, generator: torch.Generator) -> torch.Tensor:
        return torch.randn(2, 12, 32, generator=generator)

    def steps(self) -> Sequence[Callable[[Any, Any], Any]]:
        return (self.fall_back, self.work)

    def fall_back(self, state: dict[str, torch.Tensor], x: torch.Tensor) -> torch.Tensor:
        """The device's work before it, the CPU's in the middle, the device's after it; four times."""
        for _ in range(4):
            x = torch.special.airy_ai(F.linear(x, state["out"])) + x * 0.5
        return x

    def work(self, state: dict[str, torch.Tensor], x: torch.Tensor) -> torch.Tensor:
        for _ in range(4):
            query, key, value = (
                part.unflatten(-1, (4, 8)).transpose(1, 2)
                for part in F.linear(x, state["packed"]).chunk(3, dim=-1)
            )
            mixed = F.scaled_dot_product_attention(query, key, value).transpose(1, 2).flatten(2)
            x = x + F.linear(mixed, state["out"])
        return x
