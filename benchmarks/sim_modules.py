"""Modules, losses, optimizers and compilers on the simulated device, forward and backward, against the CPU."""

from __future__ import annotations

import copy
import io
from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Mapping

import torch
from torch import Tensor
from torch import nn
from torch.nn import functional

Values = list[Tensor]
Check = Callable[[str], Values]
"""Computes the same on any device; what it returns is compared between two of them."""


def flat(value: object) -> Values:
    """Return the floating tensors of nested outputs."""
    if isinstance(value, Tensor):
        return [value]
    if isinstance(value, tuple | list):
        return [tensor for one in value for tensor in flat(one)]
    return []


def backward(outputs: Values) -> None:
    """Call backward with gradients that differ from element to element."""
    sum(
        (one * torch.linspace(0.5, 1.5, one.numel()).to(one.device).reshape(one.shape)).sum()
        for one in outputs
        if one.requires_grad
    ).backward()  # type: ignore[union-attr]


def module_check(
    make: Callable[[], nn.Module], *inputs: Callable[[], Tensor], train: bool = True, grad: bool = True
) -> Check:
    """Return a check of a module: outputs, gradients of inputs and of parameters, buffers."""

    def run(device: str) -> Values:
        torch.manual_seed(0)
        module = make().train(train).to(device)
        given = [one() for one in inputs]
        leaves = [one.to(device).requires_grad_(one.is_floating_point() and grad) for one in given]
        with torch.set_grad_enabled(grad):
            outputs = flat(module(*leaves))
        if grad:
            backward(outputs)
        grads = [one.grad for one in (*leaves, *module.parameters()) if one.grad is not None]
        return [*outputs, *grads, *module.buffers()]

    return run


def function_check(function: Callable[..., object], *inputs: Callable[[], Tensor]) -> Check:
    """Return a check of a function: outputs and gradients of its inputs."""

    class Wrapped(nn.Module):
        def forward(self, *given: Tensor) -> object:
            return function(*given)

    return module_check(Wrapped, *inputs)


def normal(*shape: int) -> Callable[[], Tensor]:
    return lambda: torch.randn(*shape)


def indices(limit: int, *shape: int) -> Callable[[], Tensor]:
    return lambda: torch.randint(0, limit, shape)


def optimizer_check(make: Callable[[Iterable[Tensor]], torch.optim.Optimizer]) -> Check:
    """Return a check of an optimizer: the parameters after five steps."""

    def run(device: str) -> Values:
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 3)).to(device)
        optimizer = make(model.parameters())
        x = torch.randn(5, 6).to(device)
        for _ in range(5):
            optimizer.zero_grad()
            model(x).pow(2).mean().backward()
            optimizer.step()
        return list(model.parameters())

    return run


def compile_check(backend: str) -> Check:
    """Return a check of torch.compile with one backend; on the CPU it runs as it is."""

    def run(device: str) -> Values:
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(6, 8), nn.GELU(), nn.LayerNorm(8), nn.Linear(8, 3)).to(device)
        x = torch.randn(5, 6).to(device).requires_grad_()
        torch._dynamo.reset()
        output = (model if device == "cpu" else torch.compile(model, backend=backend))(x)
        backward([output])
        assert x.grad is not None
        return [output, x.grad]

    return run


def autocast(device: str) -> Values:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 3)).to(device)
    with torch.autocast(device, dtype=torch.bfloat16):
        output = model(torch.randn(5, 6).to(device))
    assert output.dtype is torch.bfloat16
    output.float().sum().backward()
    return [output, *(one.grad for one in model.parameters() if one.grad is not None)]


def checkpoint(device: str) -> Values:
    from torch.utils.checkpoint import checkpoint as run_checkpoint

    torch.manual_seed(0)
    layer = nn.Linear(6, 6).to(device)
    x = torch.randn(5, 6).to(device).requires_grad_()
    output = run_checkpoint(lambda one: layer(one).tanh(), x, use_reentrant=False)
    backward([output])
    assert x.grad is not None
    return [output, x.grad]


def save_and_load(device: str) -> Values:
    torch.manual_seed(0)
    file = io.BytesIO()
    torch.save({"x": torch.randn(7).to(device)}, file)
    file.seek(0)
    loaded = torch.load(file)["x"]
    assert loaded.device.type == device
    return [loaded]


def state_dict(device: str) -> Values:
    torch.manual_seed(0)
    source, target = nn.Linear(4, 3), nn.Linear(4, 3).to(device)
    target.load_state_dict(copy.deepcopy(source).to(device).state_dict())
    return list(target.parameters())


def attention(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    return functional.scaled_dot_product_attention(query, key, value, is_causal=True)


def indexing(x: Tensor) -> list[Tensor]:
    y = x.clone()
    y[:, 1] = 0.5
    y[x > 1] *= 2
    return [y, x[[0, 2]], x[..., None, 1:3], x.index_select(1, torch.tensor([2, 0], device=x.device))]


def transformer() -> nn.Module:
    return nn.Transformer(16, 4, 1, 1, 32, dropout=0.0, batch_first=True)


def encoder_layer() -> nn.Module:
    return nn.TransformerEncoderLayer(16, 4, 32, dropout=0.0, batch_first=True)


class SelfAttention(nn.MultiheadAttention):
    def __init__(self) -> None:
        super().__init__(16, 4, batch_first=True)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor | None]:  # type: ignore[override]
        return super().forward(x, x, x)


class EmbeddingBag(nn.EmbeddingBag):
    def __init__(self) -> None:
        super().__init__(10, 4, mode="mean")


_ACTIVATIONS = (
    nn.ReLU, nn.GELU, nn.SiLU, nn.Sigmoid, nn.Tanh, nn.ELU, nn.LeakyReLU, nn.Softplus, nn.Hardswish, nn.Mish,
)  # fmt: skip

MODULES: Mapping[str, Check] = {
    "Linear": module_check(lambda: nn.Linear(6, 4), normal(5, 6)),
    "Linear no bias, 3-D": module_check(lambda: nn.Linear(6, 4, bias=False), normal(2, 5, 6)),
    "Bilinear": module_check(lambda: nn.Bilinear(4, 5, 3), normal(6, 4), normal(6, 5)),
    "LayerNorm": module_check(lambda: nn.LayerNorm(8), normal(4, 8)),
    "RMSNorm": module_check(lambda: nn.RMSNorm(8), normal(4, 8)),
    "GroupNorm": module_check(lambda: nn.GroupNorm(2, 4), normal(3, 4, 5)),
    "InstanceNorm2d": module_check(lambda: nn.InstanceNorm2d(3, affine=True), normal(2, 3, 5, 5)),
    "BatchNorm1d": module_check(lambda: nn.BatchNorm1d(4), normal(6, 4)),
    "BatchNorm2d": module_check(lambda: nn.BatchNorm2d(3), normal(2, 3, 5, 5)),
    "BatchNorm2d eval": module_check(lambda: nn.BatchNorm2d(3), normal(2, 3, 5, 5), train=False),
    "Conv1d": module_check(lambda: nn.Conv1d(3, 4, 3), normal(2, 3, 9)),
    "Conv2d": module_check(lambda: nn.Conv2d(3, 4, 3, padding=1), normal(2, 3, 8, 8)),
    "Conv2d grouped, strided": module_check(lambda: nn.Conv2d(4, 8, 3, 2, groups=2), normal(2, 4, 9, 9)),
    "Conv3d": module_check(lambda: nn.Conv3d(2, 3, 3), normal(1, 2, 5, 5, 5)),
    "ConvTranspose2d": module_check(lambda: nn.ConvTranspose2d(3, 4, 3, 2), normal(2, 3, 5, 5)),
    "MaxPool2d": module_check(lambda: nn.MaxPool2d(2), normal(2, 3, 8, 8)),
    "AvgPool2d": module_check(lambda: nn.AvgPool2d(2), normal(2, 3, 8, 8)),
    "AdaptiveAvgPool2d": module_check(lambda: nn.AdaptiveAvgPool2d(3), normal(2, 3, 8, 8)),
    "MultiheadAttention": module_check(SelfAttention, normal(2, 5, 16)),
    "TransformerEncoderLayer": module_check(encoder_layer, normal(2, 5, 16)),
    "TransformerEncoderLayer fast path": module_check(encoder_layer, normal(2, 5, 16), train=False, grad=False),
    "Transformer": module_check(transformer, normal(2, 5, 16), normal(2, 4, 16)),
    "Embedding": module_check(lambda: nn.Embedding(10, 4), indices(10, 3, 5)),
    "EmbeddingBag": module_check(EmbeddingBag, indices(10, 3, 5)),
    "LSTM": module_check(lambda: nn.LSTM(5, 7, 2, batch_first=True, bidirectional=True), normal(3, 4, 5)),
    "GRU": module_check(lambda: nn.GRU(5, 7, batch_first=True), normal(3, 4, 5)),
    "RNN": module_check(lambda: nn.RNN(5, 7, batch_first=True), normal(3, 4, 5)),
    "LSTMCell": module_check(lambda: nn.LSTMCell(5, 7), normal(3, 5)),
    **{one.__name__: module_check(one, normal(4, 6)) for one in _ACTIVATIONS},
    "softmax": function_check(lambda x: x.softmax(-1), normal(4, 6)),
    "log_softmax": function_check(lambda x: x.log_softmax(-1), normal(4, 6)),
    "cross_entropy": function_check(functional.cross_entropy, normal(4, 6), indices(6, 4)),
    "mse_loss": function_check(functional.mse_loss, normal(4, 6), normal(4, 6)),
    "binary_cross_entropy_with_logits": function_check(
        lambda x, y: functional.binary_cross_entropy_with_logits(x, y.sigmoid()), normal(4), normal(4)
    ),
    "scaled_dot_product_attention": function_check(attention, normal(2, 3, 5, 8), normal(2, 3, 5, 8), normal(2, 3, 5, 8)),
    "interpolate": function_check(
        lambda x: functional.interpolate(x, scale_factor=2, mode="bilinear"), normal(2, 3, 4, 4)
    ),
    "indexing": function_check(indexing, normal(4, 5)),
    "fft": function_check(lambda x: torch.fft.irfft(torch.fft.rfft(x) * 2), normal(4, 8)),
    "sort and cumsum": function_check(lambda x: [x.sort(-1).values, x.cumsum(0)], normal(4, 6)),
    "SGD": optimizer_check(lambda given: torch.optim.SGD(given, 0.1, momentum=0.9)),
    "Adam": optimizer_check(lambda given: torch.optim.Adam(given, 0.1)),
    "AdamW foreach": optimizer_check(lambda given: torch.optim.AdamW(given, 0.1, foreach=True)),
    "RMSprop": optimizer_check(lambda given: torch.optim.RMSprop(given, 0.1)),
    "autocast": autocast,
    "checkpoint": checkpoint,
    "save and load": save_and_load,
    "load_state_dict": state_dict,
    "compile eager": compile_check("eager"),
    "compile aot_eager": compile_check("aot_eager"),
    "compile inductor": compile_check("inductor"),
}  # fmt: skip


def run_modules(device: str, names: Iterable[str] = tuple(MODULES)) -> dict[str, str]:
    """Return, by name, "ok" or what went wrong in one line."""
    torch.set_num_threads(1)
    outcomes = {}
    for name in names:
        check = MODULES[name]
        try:
            expected = check("cpu")
            got = check(device)
            torch.testing.assert_close([one.cpu() for one in got], expected, rtol=1e-4, atol=1e-5)
        except Exception as error:
            outcomes[name] = f"{type(error).__name__}: {str(error).strip().splitlines()[0]}"
        else:
            outcomes[name] = "ok"
    return outcomes
