"""Real models from N threads: one shared instance, inference and gradients."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import nn

from stress import Scenario

_ORIGIN = (
    "Real Models of dropbox/dML (test_real_models_parallel.py): MLP and Conv1d in two attempts, values not compared",
    "dropbox/dML, known limitation: MultiheadAttention and TransformerEncoderLayer give wrong outputs (off by about "
    "0.3) at 8 threads",
    "vectorize-io/hindsight#4412: overlapping predict calls of one shared model kill the process",
)


class Residual(nn.Module):
    """An MLP with a residual connection, written as a module of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.up = nn.Linear(24, 48)
        self.down = nn.Linear(48, 24)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y: torch.Tensor = x + self.down(F.gelu(self.up(x)))
        return y


class LastOfLstm(nn.Module):
    """An LSTM over two layers with a head on all its outputs."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(12, 16, num_layers=2, batch_first=True)
        self.head = nn.Linear(16, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        outputs, _ = self.lstm(x)
        y: torch.Tensor = self.head(outputs)
        return y


class SelfAttention(nn.Module):
    """`nn.MultiheadAttention` over one sequence, with its packed in-projection."""

    def __init__(self) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(32, 4, batch_first=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y: torch.Tensor = self.attention(x, x, x, need_weights=False)[0]
        return y


class SmallGpt(nn.Module):
    """Token and position embeddings, one causal block, and a head on the vocabulary."""

    def __init__(self) -> None:
        super().__init__()
        self.tokens = nn.Embedding(29, 32)
        self.positions = nn.Embedding(10, 32)
        self.before_attention = nn.LayerNorm(32)
        self.packed = nn.Linear(32, 96)
        self.projection = nn.Linear(32, 32)
        self.before_mlp = nn.LayerNorm(32)
        self.mlp = nn.Sequential(nn.Linear(32, 64), nn.GELU(), nn.Linear(64, 32))
        self.head = nn.Linear(32, 29)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.tokens(x) + self.positions.weight[: x.shape[1]]
        query, key, value = (
            part.unflatten(-1, (4, 8)).transpose(1, 2)
            for part in self.packed(self.before_attention(y)).chunk(3, dim=-1)
        )
        attended = F.scaled_dot_product_attention(query, key, value, is_causal=True)
        y = y + self.projection(attended.transpose(1, 2).flatten(2))
        y = y + self.mlp(self.before_mlp(y))
        logits: torch.Tensor = self.head(y)
        return logits


def _conv2d_batchnorm() -> nn.Module:
    # No bias before the norm: its gradient is zero but for roundings, which nothing can be compared with.
    norm = nn.BatchNorm2d(6)
    assert norm.running_mean is not None
    assert norm.running_var is not None
    norm.running_mean.copy_(torch.randn(6))
    norm.running_var.copy_(torch.rand(6) + 0.5)
    return nn.Sequential(
        nn.Conv2d(3, 6, 3, padding=1, bias=False), norm, nn.ReLU(), nn.Conv2d(6, 4, 3, stride=2)
    )


MODELS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "mlp": (Residual, (8, 24)),
    "sequential": (
        lambda: nn.Sequential(
            nn.Linear(20, 40),
            nn.LayerNorm(40),
            nn.ReLU(),
            nn.Dropout(0.0),
            nn.Linear(40, 40),
            nn.Tanh(),
            nn.Linear(40, 6),
        ),
        (8, 20),
    ),
    "conv1d": (
        lambda: nn.Sequential(nn.Conv1d(4, 8, 3, padding=1), nn.ReLU(), nn.Conv1d(8, 4, 5), nn.AvgPool1d(2)),
        (2, 4, 24),
    ),
    "conv2d_batchnorm": (_conv2d_batchnorm, (2, 3, 10, 10)),
    "lstm": (LastOfLstm, (2, 6, 12)),
    "attention": (SelfAttention, (2, 8, 32)),
    "encoder_layer": (
        lambda: nn.TransformerEncoderLayer(32, 4, 64, dropout=0.0, batch_first=True),
        (2, 8, 32),
    ),
    "gpt": (SmallGpt, (2, 10)),
}
"""Name -> (constructor, shape of one input)."""


class _Model(Scenario):
    """One of the models, and an input that fits it."""

    origin = _ORIGIN
    rows: ClassVar[tuple[int, ...]] = (5,)
    params = {"model": list(MODELS)}
    model: str

    def setup(self, device: torch.device) -> nn.Module:
        return MODELS[self.model][0]().eval().to(device)

    def make_input(self, generator: torch.Generator) -> torch.Tensor:
        shape = MODELS[self.model][1]
        if self.model == "gpt":
            return torch.randint(0, 29, shape, generator=generator)
        return torch.randn(shape, generator=generator)


class SharedInference(_Model):
    """Every thread runs one shared model in eval mode, without gradients."""

    iterations = 12

    def step(self, state: nn.Module, x: torch.Tensor) -> torch.Tensor:
        with torch.no_grad():
            y: torch.Tensor = state(x)
        return y


class SharedTraining(_Model):
    """Every thread runs one shared model forward and backward and keeps the gradients to itself."""

    iterations = 6

    def setup(self, device: torch.device) -> nn.Module:
        model = super().setup(device).train()
        for module in model.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.eval()  # running statistics of one shared module would depend on the order of the threads
        return model

    def step(self, state: nn.Module, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        loss = state(x).square().mean()
        return (loss, *torch.autograd.grad(loss, list(state.parameters())))


class PerThreadBatchNorm(_Model):
    """Every thread trains a convolution with BatchNorm of its own, whose running statistics are judged too."""

    params = {"model": ["conv2d_batchnorm"]}
    sharing: ClassVar[str] = "per-thread"
    iterations = 6

    def setup(self, device: torch.device) -> nn.Module:
        return super().setup(device).train()

    def step(self, state: nn.Module, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        loss = state(x).square().mean()
        gradients = torch.autograd.grad(loss, list(state.parameters()))
        return (*gradients, *(one.clone() for one in state.buffers()))
