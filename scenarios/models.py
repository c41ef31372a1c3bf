"""Real models from N threads: shared and private instances, inference, gradients, and training steps."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
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
    "open-webui/open-webui#29722: 16 searches at once call one shared reranker, and the process dies without a word",
)
_VOCABULARY = 29
_PADDING = 0


class Residual(nn.Module):
    """An MLP with a residual connection, written as a module."""

    def __init__(self) -> None:
        super().__init__()
        self.up = nn.Linear(24, 48)
        self.down = nn.Linear(48, 24)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y: torch.Tensor = x + self.down(F.gelu(self.up(x)))
        return y


class Recurrent(nn.Module):
    """An LSTM or GRU over two layers with a head on all its outputs."""

    def __init__(self, kind: type[nn.LSTM | nn.GRU]) -> None:
        super().__init__()
        self.layers = kind(12, 16, num_layers=2, batch_first=True)
        self.head = nn.Linear(16, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        outputs, _ = self.layers(x)
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
        self.tokens = nn.Embedding(_VOCABULARY, 32)
        self.positions = nn.Embedding(10, 32)
        self.before_attention = nn.LayerNorm(32)
        self.packed = nn.Linear(32, 96)
        self.projection = nn.Linear(32, 32)
        self.before_mlp = nn.LayerNorm(32)
        self.mlp = nn.Sequential(nn.Linear(32, 64), nn.GELU(), nn.Linear(64, 32))
        self.head = nn.Linear(32, _VOCABULARY)

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


class TextEncoder(nn.Module):
    """The common part of embedding models and rerankers: tokens and positions, and a layer that ignores the padding."""

    def __init__(self) -> None:
        super().__init__()
        self.tokens = nn.Embedding(_VOCABULARY, 32, padding_idx=_PADDING)
        self.positions = nn.Embedding(12, 32)
        self.layer = nn.TransformerEncoderLayer(32, 4, 64, dropout=0.0, batch_first=True)

    def encode(self, x: torch.Tensor) -> torch.Tensor:
        y = self.tokens(x) + self.positions.weight[: x.shape[1]]
        encoded: torch.Tensor = self.layer(y, src_key_padding_mask=x == _PADDING)
        return encoded


class EmbeddingModel(TextEncoder):
    """A sentence's embedding: the mean over its tokens, of length one."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        is_token = (x != _PADDING).unsqueeze(-1)
        encoded = self.encode(x) * is_token
        return F.normalize(encoded.sum(dim=1) / is_token.sum(dim=1), dim=-1)


class Reranker(TextEncoder):
    """A batch of pairs of texts, as one sequence each: the first position's state becomes the score."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Sequential(nn.Linear(32, 32), nn.Tanh(), nn.Linear(32, 1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        score: torch.Tensor = self.head(self.encode(x)[:, 0])
        return score


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
        lambda: nn.Sequential(nn.Conv1d(4, 8, 3, padding=1), nn.GELU(), nn.Conv1d(8, 4, 5), nn.AvgPool1d(2)),
        (2, 4, 24),
    ),
    "conv2d_batchnorm": (_conv2d_batchnorm, (2, 3, 10, 10)),
    "lstm": (lambda: Recurrent(nn.LSTM), (2, 6, 12)),
    "gru": (lambda: Recurrent(nn.GRU), (2, 6, 12)),
    "attention": (SelfAttention, (2, 8, 32)),
    "encoder_layer": (
        lambda: nn.TransformerEncoderLayer(32, 4, 64, dropout=0.0, batch_first=True),
        (2, 8, 32),
    ),
    "gelu_encoder_layer": (
        lambda: nn.TransformerEncoderLayer(32, 4, 64, dropout=0.0, batch_first=True, activation="gelu"),
        (2, 8, 32),
    ),
    "gpt": (SmallGpt, (2, 10)),
    "embedding": (EmbeddingModel, (4, 12)),
    "reranker": (Reranker, (6, 12)),
}
"""Name -> (constructor, shape of one input).

Those that are trained in half precision have GELU, not ReLU: where a rounding changes the sign of ReLU's argument, a
whole term of the gradient comes or goes, which is not a wrong value but cannot be distinguished from one.
"""
_OF_TOKENS = ("gpt", "embedding", "reranker")


class _Model(Scenario):
    """One of the models, and an input that fits it."""

    origin = _ORIGIN
    rows: ClassVar[tuple[int, ...]] = (5,)
    params = {"model": list(MODELS)}
    model: str
    dtype: torch.dtype = torch.float32

    def setup(self, device: torch.device) -> nn.Module:
        return MODELS[self.model][0]().eval().to(self.dtype).to(device)

    def make_input(self, generator: torch.Generator) -> torch.Tensor:
        shape = MODELS[self.model][1]
        if self.model not in _OF_TOKENS:
            return torch.randn(shape, generator=generator).to(self.dtype)
        tokens = torch.randint(1, _VOCABULARY, shape, generator=generator)
        # Texts of several lengths, as a server's batches are; each has a first token.
        lengths = torch.randint(3, shape[1] + 1, shape[:1], generator=generator)
        return tokens.masked_fill(torch.arange(shape[1]) >= lengths.unsqueeze(1), _PADDING)


class SharedInference(_Model):
    """Every thread runs one shared model in eval mode, without gradients."""

    params_quick = {"model": ["conv2d_batchnorm", "lstm", "encoder_layer", "reranker"]}
    iterations = 12

    def step(self, state: nn.Module, x: torch.Tensor) -> torch.Tensor:
        with torch.no_grad():
            y: torch.Tensor = state(x)
        return y


class PerThreadInference(SharedInference):
    """Every thread runs its own model in eval mode: only the backend's state is still shared."""

    params = {"model": ["conv1d", "gru", "attention", "gpt", "reranker"]}
    sharing: ClassVar[str] = "per-thread"
    attempts_quick: ClassVar[int | None] = 0


class HalfInference(SharedInference):
    """Every thread runs one shared model in half precision."""

    params = {
        "model": ["mlp", "conv2d_batchnorm", "lstm", "encoder_layer", "gpt", "reranker"],
        "dtype": [torch.float16, torch.bfloat16],
    }
    attempts_quick: ClassVar[int | None] = 0


def _loss(y: torch.Tensor) -> torch.Tensor:
    """Return the mean square distance from a fixed target, one value for each feature.

    The mean of squares does not work for models that end in a normalisation: it is the same for every input, so that
    the gradients of `encoder_layer` and `embedding` were 1e-7 and 1e-19, nothing but rounding errors. Where threads
    got them bitwise they passed, and meant nothing; on an NVIDIA H200 they could not be distinguished from wrong ones.
    """
    target = torch.linspace(-1.0, 1.0, y.shape[-1], dtype=y.dtype, device=y.device)
    return (y - target).square().mean()


class SharedTraining(_Model):
    """Every thread runs one shared model forward and backward and keeps the gradients to itself."""

    params = {
        "model": [
            name for name in MODELS if name not in ("gru", "embedding", "reranker", "gelu_encoder_layer")
        ]
    }
    params_quick = {"model": ["mlp", "conv2d_batchnorm", "gpt"]}
    iterations = 6

    def setup(self, device: torch.device) -> nn.Module:
        model = super().setup(device).train()
        for module in model.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.eval()  # running statistics of one shared module would depend on the order of the threads
        return model

    def step(self, state: nn.Module, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        loss = _loss(state(x))
        return (loss, *torch.autograd.grad(loss, list(state.parameters())))


class TextTraining(SharedTraining):
    """Every thread runs one shared text model, or a GRU, forward and backward."""

    params = {"model": ["gru", "embedding", "reranker"]}
    attempts_quick: ClassVar[int | None] = 0


class HalfTraining(SharedTraining):
    """Every thread runs one shared model forward and backward in half precision."""

    params = {
        "model": ["conv1d", "lstm", "attention", "gelu_encoder_layer"],
        "dtype": [torch.float16, torch.bfloat16],
    }
    attempts_quick: ClassVar[int | None] = 0


class TrainingSteps(_Model):
    """Every thread trains its own model with its own optimiser: forward, backward, step."""

    params = {"model": ["mlp", "conv1d", "gru", "gpt", "embedding"]}
    sharing: ClassVar[str] = "per-thread"
    iterations = 6
    attempts_quick: ClassVar[int | None] = 0

    def setup(self, device: torch.device) -> Any:
        model = super().setup(device).train()
        # Plain momentum: an adaptive step would make a large one of a gradient that is zero but for roundings.
        return {"model": model, "optimiser": torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)}

    def step(self, state: dict[str, Any], x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        state["optimiser"].zero_grad()
        loss = _loss(state["model"](x))
        loss.backward()
        state["optimiser"].step()
        return (loss, *state["model"].parameters())


class PerThreadBatchNorm(_Model):
    """Every thread trains its own convolution with BatchNorm, whose running statistics are judged too."""

    params = {"model": ["conv2d_batchnorm"]}
    sharing: ClassVar[str] = "per-thread"
    iterations = 6

    def setup(self, device: torch.device) -> nn.Module:
        return super().setup(device).train()

    def step(self, state: nn.Module, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        loss = _loss(state(x))
        gradients = torch.autograd.grad(loss, list(state.parameters()))
        return (*gradients, *(one.clone() for one in state.buffers()))
