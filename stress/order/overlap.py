"""Which bytes of its storage a tensor covers, and whether two tensors of one storage share any."""

from __future__ import annotations

import functools
from typing import Any
from typing import NamedTuple

try:
    import numpy
except ImportError:  # no dependency of ours, and torch works without it
    numpy = None  # type: ignore[assignment]

_BASE = 1 << 40
"""Any address will do: numpy compares ranges and reads no byte. 0 is none."""
_WORK_MAX = 100_000


class Extent(NamedTuple):
    """Bytes `begin` to `end` (not included) of a storage; where there are gaps, also the strides between its items."""

    begin: int
    end: int
    grid: tuple[tuple[int, ...], tuple[int, ...], int] | None = None
    """(sizes, strides in bytes, bytes of an item); None where every byte from `begin` to `end` is covered."""

    @property
    def is_dense(self) -> bool:
        return self.grid is None

    def covers(self, other: Extent) -> bool:
        return self.grid is None and self.begin <= other.begin and other.end <= self.end

    def moved(self, bytes_: int) -> Extent:
        return Extent(self.begin + bytes_, self.end + bytes_, self.grid)


def extent_of(
    offset: int, sizes: tuple[int, ...], strides: tuple[int, ...], item_bytes: int
) -> Extent | None:
    """Return what a tensor covers; None where it has no item. `offset` and `strides` count items."""
    last, items = 0, 1
    for size, stride in zip(sizes, strides, strict=True):
        if size == 0:
            return None
        if size > 1 and stride:
            last += (size - 1) * stride
            items *= size
    begin = offset * item_bytes
    end = begin + (last + 1) * item_bytes
    if items == last + 1:
        return Extent(begin, end)
    kept = [
        (size, stride * item_bytes)
        for size, stride in zip(sizes, strides, strict=True)
        if size > 1 and stride
    ]
    grid = (tuple(size for size, _ in kept), tuple(stride for _, stride in kept), item_bytes)
    return Extent(begin, end, grid)


def overlap(one: Extent, other: Extent) -> bool:
    """Whether the two share a byte. Without numpy, tensors with gaps are taken to be without them."""
    if one.end <= other.begin or other.end <= one.begin:
        return False
    if one.grid is None and other.grid is None:
        return True
    return _exactly(one, other)


def is_exact() -> bool:
    """Whether tensors with gaps are compared item by item, which needs numpy."""
    return numpy is not None


@functools.lru_cache(maxsize=4096)
def _exactly(one: Extent, other: Extent) -> bool:
    if numpy is None:
        return True
    try:
        return bool(numpy.shares_memory(_array(one), _array(other), max_work=_WORK_MAX))  # type: ignore[arg-type]
    except numpy.exceptions.TooHardError:
        return False  # no finding without proof: a pattern like this is rare, and a false alarm is worse


class _Memory:
    """What numpy takes for memory at an address."""

    def __init__(self, interface: dict[str, Any]) -> None:
        self.__array_interface__ = interface


def _array(extent: Extent) -> Any:
    sizes, strides, item_bytes = extent.grid or ((extent.end - extent.begin,), (1,), 1)
    return numpy.asarray(
        _Memory(
            {
                "version": 3,
                "data": (_BASE + extent.begin, True),
                "shape": sizes,
                "strides": strides,
                "typestr": f"|V{item_bytes}",
            }
        )
    )
