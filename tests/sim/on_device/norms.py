"""Normalisations in half precision, forward and backward, against the CPU."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

from tests.sim.on_device.helpers import DEVICE
from tests.sim.on_device.helpers import same

ROWS, WIDTH = 6, 32
Norm = Callable[[Tensor, Tensor | None, Tensor | None], Tensor]
NORMS: Mapping[str, Norm] = {
    "layer": lambda x, w, b: F.layer_norm(x, (WIDTH,), w, b),
    "group": lambda x, w, b: F.group_norm(x, 4, w, b),
    "batch": lambda x, w, b: F.batch_norm(x, None, None, w, b, training=True),
    "batch, evaluating": lambda x, w, b: F.batch_norm(x, *_running(x, w), w, b, training=False),
}


def _running(x: Tensor, w: Tensor | None) -> tuple[Tensor, Tensor]:
    dtype = x.dtype if w is None else w.dtype
    return tuple(torch.full((WIDTH,), one, dtype=dtype, device=x.device) for one in (0.25, 1.5))  # type: ignore[return-value]


def _differentiated(norm: Norm, leaves: list[Tensor | None], device: torch.device) -> list[Tensor]:
    """Return the output, and the gradient of every leaf."""
    moved = [one if one is None else one.to(device, copy=True).requires_grad_() for one in leaves]
    y = norm(*moved)  # type: ignore[arg-type]
    y.backward((torch.arange(y.numel()).reshape(y.shape) % 3 - 1).to(y.dtype).to(device))
    return [y.detach(), *(one.grad for one in moved if one is not None and one.grad is not None)]


def _check(name: str, dtype: torch.dtype) -> None:
    torch.manual_seed(1)
    x = torch.randn(ROWS, WIDTH).to(dtype)
    for weights in (dtype, torch.float32, None):
        affine = [None, None] if weights is None else [torch.rand(WIDTH).to(weights) for _ in range(2)]
        leaves = [x, *affine]
        expected = _differentiated(NORMS[name], leaves, torch.device("cpu"))
        got = _differentiated(NORMS[name], leaves, DEVICE)
        assert len(got) == len(expected) == len([one for one in leaves if one is not None]) + 1
        for one, other in zip(got, expected, strict=True):
            same(one, other)


def check_layer_norm_in_half_precision() -> None:
    for dtype in (torch.float16, torch.bfloat16, torch.float32):
        _check("layer", dtype)


def check_group_norm_in_half_precision() -> None:
    for dtype in (torch.float16, torch.bfloat16, torch.float32):
        _check("group", dtype)


def check_batch_norm_in_half_precision() -> None:
    for dtype in (torch.float16, torch.bfloat16, torch.float32):
        _check("batch", dtype)
        _check("batch, evaluating", dtype)


def check_statistics_have_the_types_of_the_cpu() -> None:
    for dtype in (torch.float16, torch.bfloat16):
        for weights in (dtype, torch.float32):
            x, w = torch.randn(ROWS, WIDTH).to(dtype), torch.ones(WIDTH, dtype=weights)
            expected = torch.native_layer_norm(x, (WIDTH,), w, w, 1e-5)
            w = w.to(DEVICE)
            for one, other in zip(
                torch.native_layer_norm(x.to(DEVICE), (WIDTH,), w, w, 1e-5), expected, strict=True
            ):
                same(one, other)


def check_layer_norm_under_autocast() -> None:
    """The device keeps autocast's list, which has layer_norm run in float32; its input's gradient is what it was."""
    x, w = torch.randn(ROWS, WIDTH), torch.rand(WIDTH)
    for dtype in (torch.float16, torch.bfloat16):
        moved = x.to(DEVICE).requires_grad_()
        with torch.autocast(DEVICE.type, dtype=dtype):
            y = F.layer_norm(moved.to(dtype), (WIDTH,), w.to(DEVICE))
        y.sum().backward()
        plain = x.clone().requires_grad_()
        F.layer_norm(plain.to(dtype).float(), (WIDTH,), w).sum().backward()
        assert moved.grad is not None
        assert plain.grad is not None
        same(moved.grad, plain.grad)
