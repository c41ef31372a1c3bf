"""Autograd from N threads: private gradients of shared parameters, one shared .grad, an optimiser per thread."""

from __future__ import annotations

import threading
from typing import Any
from typing import ClassVar

import torch
import torch.nn.functional as F

from stress import Scenario


class PrivateGradients(Scenario):
    """Every thread differentiates a loss of one shared network with torch.autograd.grad."""

    origin = (
        "suite row 27: backward from many threads, shared parameters with private grads",
        "pytorch#183825: LayerNorm's backward was not repeatable",
    )
    rows: ClassVar[tuple[int, ...]] = (27,)
    iterations = 12

    def setup(self, device: torch.device) -> torch.nn.Module:
        return _network().to(device)

    def make_input(self, generator: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
        return torch.randn(8, 16, generator=generator), torch.randint(0, 4, (8,), generator=generator)

    def step(self, state: torch.nn.Module, x: tuple[torch.Tensor, torch.Tensor]) -> tuple[torch.Tensor, ...]:
        data, labels = x
        loss = F.cross_entropy(state(data), labels)
        return (loss, *torch.autograd.grad(loss, list(state.parameters())))


class SharedGradient(Scenario):
    """Every thread accumulates into the .grad of one shared parameter under a lock; the arbiter checks the sum."""

    origin = (
        "suite row 27: backward from many threads into one .grad; without a lock PyTorch's notes on multithreaded "
        "autograd call it unsafe, so the lock and a host read order the threads here",
    )
    rows: ClassVar[tuple[int, ...]] = (27,)
    iterations = 25

    def setup(self, device: torch.device) -> dict[str, Any]:
        weight = torch.randint(-4, 5, (24, 12)).float().to(device).requires_grad_()
        return {"weight": weight, "lock": threading.Lock()}

    def make_input(self, generator: torch.Generator) -> torch.Tensor:
        # Small whole numbers: their sums are exact in any order, so a lost or doubled gradient shows as such.
        return torch.randint(-8, 9, (24, 12), generator=generator).float()

    def step(self, state: dict[str, Any], x: torch.Tensor) -> torch.Tensor:
        loss = (state["weight"] * x).sum()
        with state["lock"]:
            loss.backward()
            state["weight"].grad.sum().item()  # waits until the accumulation is done on this thread's stream
        return loss

    def finish(self, state: dict[str, Any]) -> torch.Tensor:
        gradient: torch.Tensor = state["weight"].grad
        return gradient.cpu().long()


class OptimiserPerThread(Scenario):
    """Every thread trains its own network: forward, backward, optimiser step."""

    origin = (
        "suite row 27: optimiser step per thread",
        "pytorch#118115: optimiser kernels (addcdiv, addcmul) that did not write their output",
    )
    rows: ClassVar[tuple[int, ...]] = (27,)
    params = {"optimiser": ["SGD", "AdamW"]}
    params_quick = {"optimiser": ["AdamW"]}
    sharing: ClassVar[str] = "per-thread"
    iterations = 8
    optimiser: str

    def setup(self, device: torch.device) -> dict[str, Any]:
        network = _network().to(device)
        parameters = list(network.parameters())
        if self.optimiser == "SGD":
            return {"network": network, "optimiser": torch.optim.SGD(parameters, lr=0.05, momentum=0.9)}
        return {"network": network, "optimiser": torch.optim.AdamW(parameters, lr=0.01, eps=1e-3)}

    def make_input(self, generator: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
        return torch.randn(8, 16, generator=generator), torch.randint(0, 4, (8,), generator=generator)

    def step(self, state: dict[str, Any], x: tuple[torch.Tensor, torch.Tensor]) -> tuple[torch.Tensor, ...]:
        data, labels = x
        state["optimiser"].zero_grad()
        loss = F.cross_entropy(state["network"](data), labels)
        loss.backward()
        state["optimiser"].step()
        return (loss, *state["network"].parameters())


def _network() -> torch.nn.Module:
    return torch.nn.Sequential(
        torch.nn.Linear(16, 24), torch.nn.LayerNorm(24), torch.nn.GELU(), torch.nn.Linear(24, 4)
    )
