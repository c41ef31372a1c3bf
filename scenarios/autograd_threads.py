"""Autograd from N threads: private gradients of shared parameters, one shared .grad, an optimiser per thread."""

from __future__ import annotations

import threading
from typing import Any
from typing import ClassVar

import torch
import torch.nn.functional as F

from stress import Scenario
from stress import streams
from stress.scenario.exact import shift_matrix


class PrivateGradients(Scenario):
    """Every thread differentiates a loss of one shared network with torch.autograd.grad."""

    origin = (
        "suite row 27: backward from many threads, shared parameters with private grads",
        "pytorch#183825: LayerNorm's backward was not repeatable",
    )
    rows: ClassVar[tuple[int, ...]] = (27,)
    iterations = 7

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


class BackwardAcrossStreams(Scenario):
    """Every thread runs forward on two chosen streams joined by an event, and backward under one of them, a third one, or none."""

    origin = (
        "pytorch#191415: torch.mps.Stream, whose streams autograd's one thread has to switch to",
        "pytorch#142097: backward and the stream of its forward",
    )
    rows: ClassVar[tuple[int, ...]] = (13, 27)
    requires = ("streams", "events")
    params = {"under": ["none", "forward's", "another"]}
    params_quick: ClassVar[dict[str, list[str]]] = {"under": ["none", "another"]}
    sharing: ClassVar[str] = "per-thread"
    iterations = 6
    under: str

    def setup(self, device: torch.device) -> dict[str, Any]:
        chosen = [streams.new_stream(device) for _ in range(3)]
        return {"shift": shift_matrix(96).to(device), "streams": chosen}

    def make_input(self, generator: torch.Generator) -> torch.Tensor:
        return torch.randint(-8, 9, (48, 96), generator=generator).float()  # exact in any order

    def step(self, state: dict[str, Any], x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        shift, (first, second, third) = state["shift"], state["streams"]
        weight = x.clone().requires_grad_()
        begun, handed, joined = (streams.new_event(x.device) for _ in range(3))
        streams.record(begun)
        with streams.use_stream(first):
            streams.wait(begun)
            hidden = weight
            for _ in range(4):
                hidden = (hidden * 2.0) @ shift
            streams.record(handed)
        with streams.use_stream(second):
            streams.wait(handed)
            out = hidden
            for _ in range(3):
                out = (out * x) @ shift
            loss = out.sum()
            streams.record(joined)
        under = {"none": None, "forward's": second, "another": third}[self.under]
        with streams.use_stream(under):
            streams.wait(joined)
            (gradient,) = torch.autograd.grad(loss, [weight])
            result = gradient.cpu(), loss.detach().cpu()
        for stream in state["streams"]:  # before anything goes that another stream may still read
            if stream is not None:
                stream.synchronize()
        return result


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
    iterations = 5
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
