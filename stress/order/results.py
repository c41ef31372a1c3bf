"""What a call's results and copies say about its accesses: new memory, and copies that go on after they have returned."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch

from stress.order.op_plan import Touch


def fresh(made: list[torch.Tensor], touched: list[Touch]) -> Iterator[Touch]:
    """Yield the results that are new memory: some operators return an argument, or a view of it, and no schema says so."""
    for one in made:
        try:
            own = one.untyped_storage()._cdata
            if all(own != other.untyped_storage()._cdata for other, _, _ in touched):
                yield one, "", True
        except (NotImplementedError, RuntimeError):
            yield one, "", True


def reads_later(
    touched: list[Touch], made: list[torch.Tensor], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> bool:
    """Whether a copy between host and device touches the host's memory after it has returned."""
    non_blocking = kwargs.get(
        "non_blocking", args[2] if len(args) > 2 and isinstance(args[2], bool) else False
    )
    if not non_blocking:
        return False
    tensors = [*(tensor for tensor, _, _ in touched), *made]
    if any(one.device.type == "cuda" for one in tensors):  # pageable memory is staged, or waited for
        return all(one.is_pinned() for one in tensors if one.device.type == "cpu")
    return any(one.device.type != "cpu" for one in tensors)


def copies_to_host(touched: list[Touch], kwargs: dict[str, Any]) -> bool:
    """Whether a copy that raised, so that it has no result to look at, was one to the CPU."""
    device = kwargs.get("device")
    if device is not None:
        return torch.device(device).type == "cpu"
    return any(is_write and tensor.is_cpu for tensor, _, is_write in touched)


def waits_as_copy(
    touched: list[Touch], made: list[torch.Tensor], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> bool:
    """Whether the host waits within a copy: one to the CPU that may not return before it is done."""
    targets = made or [tensor for tensor, _, is_write in touched if is_write]
    to_host = any(one.device.type == "cpu" for one in targets)
    return to_host and not reads_later(touched, made, args, kwargs)
