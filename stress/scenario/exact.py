"""Work whose result is exact on every device and in every precision: small whole numbers and a cyclic shift.

A scenario in which threads hand tensors to each other cannot name the one value that a sequential run gives:
who gets whose tensor depends on the schedule. With exact work it can check on the device that the tensor holds
what its maker wrote, and return the number of wrong elements, which is 0 in every order. Child processes only.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch

_WRONG_MAX = 1 << 40
calls = 0
"""How often this process has counted wrong elements: where it has, 0 is right of every thread (framework use)."""


def shift_matrix(size: int) -> torch.Tensor:
    """Return the matrix that shifts columns by one place, on the CPU: a product with it rounds nothing."""
    return torch.eye(size).roll(1, 0)


def climb(start: float, shift: torch.Tensor, *, rows: int, steps: int) -> torch.Tensor:
    """Return a tensor of `start` + `steps` everywhere, the end of a chain of operators on the shift's device.

    The chain is as deep as a device that runs behind the host needs, so that a reader that does not wait
    comes too early; its last operator is its longest one.
    """
    y = torch.full((rows, len(shift)), start, dtype=shift.dtype, device=shift.device)
    for _ in range(steps):
        y = (y + 1.0) @ shift
    return y


def count_wrong(got: torch.Tensor, value: float) -> torch.Tensor:
    """Return the number of elements that are not `value`, as a tensor on the same device: nothing waits."""
    global calls
    calls += 1
    return (got != value).sum()


def total(counts: Iterable[torch.Tensor]) -> int:
    """Read counts back and add them up. Each is memory of the device, too, and may hold anything: none is huge."""
    return sum(max(-_WRONG_MAX, min(int(one), _WRONG_MAX)) for one in counts)
