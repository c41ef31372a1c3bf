"""Digests: a few numbers computed on the device in place of an output, so that its memory is reused at once.

Keeping outputs prevents memory reuse and reading them back serialises; both hide races. A digest is a
pure function of the output, taken alike in the crew and in every reference run, so it is judged like any
other value: bitwise first, then within the error that the CPU makes in the same digest.
"""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Sequence

import torch

_RAMP_PERIOD = 251  # prime, so that no power-of-two tile of a kernel is in step with it


Weights = Mapping[str, torch.Tensor]
"""Device type -> weights on it."""


def ramps(length: int, device: torch.device) -> Weights:
    """Return the int64 weights 1..251, 1..251, ... on the CPU and on `device`, made on the CPU.

    Not on the device: `arange` is itself among the operators that race on MPS (pytorch#197805).
    """
    weights = torch.arange(length) % _RAMP_PERIOD + 1
    return {"cpu": weights, device.type: weights.to(device)}


def digest(leaf: torch.Tensor, by_device: Weights) -> torch.Tensor:
    """Return 4 numbers: mean, weighted mean, maximum and minimum (float), or the int64 sums for integers.

    `by_device` is `ramps` of at least as many elements (complex numbers count twice). The weighted mean
    makes the digest depend on where a value stands, not only on which values there are.
    """
    weights = by_device[leaf.device.type]
    flat = leaf.detach().resolve_conj().resolve_neg()
    flat = (torch.view_as_real(flat) if flat.is_complex() else flat).reshape(-1)
    count = flat.numel()
    if not count:
        return torch.zeros(4, dtype=torch.int64, device=leaf.device)
    if flat.is_floating_point():
        wide = flat if flat.dtype == torch.float64 else flat.to(torch.float32)
        weighted = (wide * (weights[:count] / _RAMP_PERIOD).to(wide.dtype)).mean()
        return torch.stack([wide.mean(), weighted, wide.max(), wide.min()])
    whole = flat.to(torch.int64)
    return torch.stack([whole.sum(), (whole * weights[:count]).sum(), whole.max(), whole.min()])


def digests(leaves: Sequence[torch.Tensor], values: Sequence[bool], by_device: Weights) -> list[torch.Tensor]:
    """Return the digest of each leaf, but what is a text, bytes or None (`values`) as it is: it is no memory of the device."""
    return [leaf if value else digest(leaf, by_device) for leaf, value in zip(leaves, values, strict=True)]


def elements(leaf: torch.Tensor) -> int:
    """Return how many weights the digest of `leaf` needs."""
    return leaf.numel() * (2 if leaf.is_complex() else 1)
