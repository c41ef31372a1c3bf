"""Hazards within one stream: what reads a tensor, and what overwrites it right afterwards, with small kernels around."""

from __future__ import annotations

from typing import ClassVar

import torch
import torch.nn.functional as F

from stress import Scenario

_ROUNDS = 6


class HazardsWithinAStream(Scenario):
    """Every thread reads tensors and overwrites them in place at once, among small independent kernels and a norm's backward."""

    origin = (
        "pytorch#189785: kernels of one encoder that run side by side",
        "mlx#3630: a write that does not wait for an earlier read; llama.cpp#25866: a missing barrier between kernels",
    )
    rows: ClassVar[tuple[int, ...]] = (1, 6)
    iterations = 8

    def setup(self, device: torch.device) -> dict[str, torch.Tensor]:
        return {
            "weight": torch.linspace(0.5, 1.5, 24).to(device),
            "bias": torch.linspace(-1, 1, 24).to(device),
        }

    def make_input(self, generator: torch.Generator) -> torch.Tensor:
        # Small whole numbers: additions and doublings are exact in any precision.
        return torch.randint(-8, 9, (16, 24), generator=generator).float()

    def step(self, state: dict[str, torch.Tensor], x: torch.Tensor) -> list[torch.Tensor]:
        a, view = x + 0.0, torch.zeros_like(x)
        read, around = [], [torch.ones(8, device=x.device) for _ in range(3)]
        for number in range(_ROUNDS):
            read.append(a + 1.0)
            a.mul_(2.0)  # what was read above is the old value
            around = [one + 1.0 for one in around]
            read.append(view[:, :8] * 1.0)
            view[:, :8].copy_(a[:, 8:16])
            view[:, 16:].add_(float(number))
            read.append(a - view)
            a.sub_(view)
        return [*read, a, view, *around, *_norm_gradients(state, x)]


def _norm_gradients(state: dict[str, torch.Tensor], x: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """Return the loss of a layer norm with a bias, and its gradients; the input is overwritten as soon as the gradients are submitted."""
    weight, bias = (one.clone().requires_grad_() for one in (state["weight"], state["bias"]))
    data = x.clone()
    loss = (F.layer_norm(data, (24,), weight, bias) * x).sum()
    gradients = torch.autograd.grad(loss, [weight, bias])
    data.zero_()
    return loss.detach(), *gradients
