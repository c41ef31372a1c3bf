"""What the checks share."""

from __future__ import annotations

import threading
from collections.abc import Callable
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

DEVICE = torch.device(
    torch._C._get_privateuse1_backend_name() if not torch.backends.mps.is_available() else "mps"
)


def ops() -> Any:
    return torch.ops.mps_stress_sim


def raised(expected: type[BaseException], call: Callable[[], object]) -> str:
    """Return the text of the error that `call` raises."""
    try:
        call()
    except expected as error:
        return str(error)
    raise AssertionError(f"no {expected.__name__}")


def same(got: Tensor, expected: Tensor) -> None:
    """Assert equal values, dtype and shape; `got` is on the device."""
    assert got.device == torch.device(DEVICE.type, 0), got.device
    torch.testing.assert_close(got.cpu(), expected, rtol=0, atol=0, equal_nan=True)


def in_threads(*works: Callable[[], object]) -> None:
    """Run each function in a thread of its own, at the same time; raise what the first failing one raised."""
    errors: list[BaseException] = []
    barrier = threading.Barrier(len(works))

    def run(work: Callable[[], object]) -> None:
        try:
            barrier.wait()
            work()
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=run, args=(work,)) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]


def slow(x: Tensor) -> Tensor:
    """Return `x`, after work that keeps its stream busy for some milliseconds."""
    busy = torch.ones(256, 256, device=x.device)
    for _ in range(8):
        busy = busy @ busy * 1e-3
    return x + busy[: x.numel(), 0].reshape(x.shape).clamp(0, 0)


def counted(call: Callable[[], object]) -> Mapping[str, int]:
    """Return how the statistics change during `call`."""
    before = dict(ops().statistics())
    call()
    return {name: value - before.get(name, 0) for name, value in ops().statistics().items()}
