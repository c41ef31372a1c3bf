"""Memory of storages that are gone, with the accesses that its next owner has to come after.

An allocator gives freed memory out again at once, to work of the stream that it was allocated on: it counts on that
stream's order. What another stream did to it is in no such order, unless `record_stream` said so. Blocks are found by
address, not by equality: an allocator splits and merges them.
"""

from __future__ import annotations

import bisect

from stress.order.clocks import Site
from stress.order.history import AccessedRange
from stress.order.overlap import Extent

BLOCKS_MAX = 4096
"""Blocks kept of one device; beyond, the oldest is forgotten."""


Name = tuple[object, Site | None]
"""How to call a storage: what it holds, and where it was made. Its text takes long to make, and few are ever read."""


class _Block:
    __slots__ = ("begin", "end", "name", "ranges")

    def __init__(self, begin: int, end: int, ranges: list[AccessedRange], name: Name) -> None:
        self.begin, self.end, self.ranges, self.name = begin, end, ranges, name


class RetiredMemory:
    """The blocks of one device, by address; no two overlap."""

    def __init__(self) -> None:
        self._begins: list[int] = []
        self.forgotten = 0
        """Blocks that were dropped because there are too many: what their next owner has to come after is lost."""
        self._blocks: dict[int, _Block] = {}
        """By `begin`, in the order in which they were put here."""

    def __len__(self) -> int:
        return len(self._blocks)

    def put(self, begin: int, bytes_: int, ranges: list[AccessedRange], name: Name) -> None:
        """Keep a storage's ranges; those extents are relative to `begin`."""
        for one in self._overlapping(begin, begin + bytes_):  # its death was not seen
            self._remove(one)
        self._insert(_Block(begin, begin + bytes_, [_moved(one, begin) for one in ranges], name))
        if len(self._blocks) > BLOCKS_MAX:
            self._remove(next(iter(self._blocks.values())))
            self.forgotten += 1

    def take(self, begin: int, bytes_: int) -> tuple[list[AccessedRange], Name | None]:
        """Return what the new owner of these addresses inherits, relative to `begin`, and whose it was."""
        end = begin + bytes_
        found: list[AccessedRange] = []
        name: Name | None = None
        for block in self._overlapping(begin, end):
            self._remove(block)
            for low, high in ((block.begin, begin), (end, block.end)):
                kept = [one for one in block.ranges if one.extent.begin < high and low < one.extent.end]
                if low < high and kept:
                    self._insert(_Block(low, high, kept, block.name))
            found += [
                _moved(one, -begin)
                for one in block.ranges
                if one.extent.begin < end and begin < one.extent.end
            ]
            name = name or block.name
        return found, name

    def clear(self) -> None:
        self._begins.clear()
        self._blocks.clear()

    def _overlapping(self, begin: int, end: int) -> list[_Block]:
        if not self._begins:
            return []
        first = max(bisect.bisect_right(self._begins, begin) - 1, 0)
        last = bisect.bisect_left(self._begins, end)
        near = [self._blocks[one] for one in self._begins[first:last]]
        return [one for one in near if one.begin < end and begin < one.end]

    def _insert(self, block: _Block) -> None:
        bisect.insort(self._begins, block.begin)
        self._blocks[block.begin] = block

    def _remove(self, block: _Block) -> None:
        del self._blocks[block.begin]
        del self._begins[bisect.bisect_left(self._begins, block.begin)]


def _moved(one: AccessedRange, bytes_: int) -> AccessedRange:
    extent = one.extent
    moved = AccessedRange(Extent(extent.begin + bytes_, extent.end + bytes_, extent.grid))
    moved.write, moved.reads = one.write, dict(one.reads)
    return moved
