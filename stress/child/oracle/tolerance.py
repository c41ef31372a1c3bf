"""The tolerance around the double-precision value: a stated factor of the CPU's own error.

torchbench judges a backend against the error of a same-precision run measured in float64, with factors
of 2 to 10 (torch._dynamo.utils.same). Here the measure is the largest error relative to the largest
value of the leaf, pooled over all iterations of a role, because one iteration's error can be small by chance.
"""

from __future__ import annotations

from collections.abc import Iterator
from collections.abc import Sequence

import torch

_STACKED_ELEMENTS_MAX = 1 << 20

ERROR_FACTOR = 64.0
ERROR_FACTOR_HALF = 16.0
"""A result may be this many times as far from the exact value as the CPU's own result (at least one epsilon).

Half precision gets less, since 64 epsilons of bfloat16 are half the value. Seen on one NVIDIA H200 with torch
2.11: cuDNN's LSTM alone, in float32, is 23 epsilons from the exact value where the CPU is within one.
"""

SPREAD_FACTOR = 4.0
"""A value that depends on the order may lie outside the spread of the sequential orders by this share of it."""

TOLERANCE_MAX = 0.01
TOLERANCE_MAX_HALF = 0.5
"""A tolerance above this share of the largest value (single and double precision; half precision) checks
nothing: nearly any wrong value would pass. A value that needs it is inconclusive."""


def too_wide(allowed: float, scale: float, *, half: bool) -> bool:
    """Whether a tolerance of `allowed` around values of size `scale` could not separate right from wrong."""
    return allowed > (TOLERANCE_MAX_HALF if half else TOLERANCE_MAX) * scale


def is_half(dtype: torch.dtype) -> bool:
    return dtype.is_floating_point and dtype.itemsize <= 2


def is_numeric(dtype: torch.dtype) -> bool:
    """Whether values of `dtype` can be nearly right: floating and complex ones."""
    return dtype.is_floating_point or dtype.is_complex


def magnitude(tensor: torch.Tensor) -> float:
    """Return the largest finite absolute value; 0.0 without one."""
    return _largest(tensor.to(_wide(tensor.dtype)).abs())


def distance(left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
    """Return the elementwise distance in float64; 0 where both are the same non-finite value, else inf there."""
    wide = _wide(left.dtype)
    a, b = left.to(wide), right.to(wide)
    gap = (a - b).abs()
    odd = ~(torch.isfinite(a) & torch.isfinite(b))
    same = (a == b) | (torch.isnan(a) & torch.isnan(b))
    gap[odd] = torch.inf
    gap[odd & same] = 0.0
    return gap


def error_of(cpu: torch.Tensor, exact: torch.Tensor) -> float:
    """Return the CPU's largest absolute error; elements that overflow in the narrow dtype do not count."""
    return _largest(distance(cpu, exact))


def magnitudes(tensors: Sequence[torch.Tensor]) -> list[float]:
    """Return the `magnitude` of each, with few operators for many small tensors."""
    found: list[float] = []
    for start, end in _alike([(one,) for one in tensors]):
        stacked = torch.stack(list(tensors[start:end]))
        found += _largest_of_each(stacked.to(_wide(stacked.dtype)).abs())
    return found


def errors_of(cpus: Sequence[torch.Tensor], exacts: Sequence[torch.Tensor]) -> list[float]:
    """Return the `error_of` each pair of one shape, with few operators for many small tensors."""
    found: list[float] = []
    for start, end in _alike(list(zip(cpus, exacts, strict=True))):
        found += _largest_of_each(
            distance(torch.stack(list(cpus[start:end])), torch.stack(list(exacts[start:end])))
        )
    return found


def _alike(rows: Sequence[tuple[torch.Tensor, ...]]) -> Iterator[tuple[int, int]]:
    """Yield (start, end) of stretches whose tensors have the same shapes and dtypes, and fit one operator."""
    start = 0
    for end in range(1, len(rows) + 1):
        if (
            end == len(rows)
            or any(
                a.shape != b.shape or a.dtype != b.dtype for a, b in zip(rows[start], rows[end], strict=True)
            )
            or (end - start + 1) * rows[start][0].numel() > _STACKED_ELEMENTS_MAX
        ):
            yield start, end
            start = end


def _largest_of_each(values: torch.Tensor) -> list[float]:
    """Return the largest finite number of each row, none of which is negative; 0.0 without one."""
    if not values.numel():
        return [0.0] * len(values)
    rows = values.reshape(len(values), -1)
    return [float(one) for one in rows.masked_fill(~torch.isfinite(rows), 0.0).amax(dim=1)]


def epsilon(dtype: torch.dtype) -> float:
    return torch.finfo(dtype).eps if is_numeric(dtype) else 0.0


def _wide(dtype: torch.dtype) -> torch.dtype:
    return torch.complex128 if dtype.is_complex else torch.float64


def _largest(values: torch.Tensor) -> float:
    finite = values[torch.isfinite(values)]
    return float(finite.max()) if finite.numel() else 0.0
