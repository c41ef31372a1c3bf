"""The workloads as scenarios: the references, which every answer is compared with, are made from them as from any."""

from __future__ import annotations

import torch
from torch import nn

from stress import Scenario


class _Module(Scenario):
    """A request is one forward pass without gradients; the first dimension of the input is the batch."""

    shape: tuple[int, ...] = (32, 256)

    def make(self) -> nn.Module:
        raise NotImplementedError

    def setup(self, device: torch.device) -> nn.Module:
        return self.make().eval().to(device)

    def make_input(self, generator: torch.Generator) -> torch.Tensor:
        return torch.randn(*self.shape, generator=generator)

    def step(self, state: nn.Module, x: torch.Tensor) -> torch.Tensor:
        with torch.no_grad():  # each thread has its own mode
            y: torch.Tensor = state(x)
        return y


class Linear(_Module):
    """One layer whose cost is that of the call."""

    def make(self) -> nn.Module:
        return nn.Linear(256, 256)


class LayerNorm(_Module):
    """One normalisation."""

    def make(self) -> nn.Module:
        return nn.LayerNorm(256)


class Mlp(_Module):
    """Two layers with an activation between them."""

    def make(self) -> nn.Module:
        return nn.Sequential(nn.Linear(256, 512), nn.GELU(), nn.Linear(512, 256))


class Transformer(_Module):
    """One encoder layer."""

    shape = (1, 16, 64)

    def make(self) -> nn.Module:
        return nn.TransformerEncoderLayer(64, 4, 256, dropout=0.0, batch_first=True)


class Large(_Module):
    """Enough arithmetic that the cost of a call does not matter; more of it for a GPU than for a CPU."""

    @property
    def _sizes(self) -> tuple[int, int, int]:
        return (128, 1024, 2048) if self.device_type in ("cpu", "sim") else (512, 2048, 4096)

    def make(self) -> nn.Module:
        _, width, hidden = self._sizes
        return nn.Sequential(nn.Linear(width, hidden), nn.GELU(), nn.Linear(hidden, width))

    def make_input(self, generator: torch.Generator) -> torch.Tensor:
        rows, width, _ = self._sizes
        return torch.randn(rows, width, generator=generator)
