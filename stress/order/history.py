"""Who accessed which bytes of a storage last: the last write of each range, and one read per agent since.

An access that comes after the last write of its bytes, and after all reads since, comes after everything before those
too (or was reported then). So this is all that has to be kept, and it is bounded.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from stress.order.clocks import Site
from stress.order.overlap import Extent
from stress.order.overlap import overlap

RANGES_MAX = 128
"""Ranges kept of one storage; beyond, the oldest is forgotten, and counted."""


Place = str | tuple[int, int]
"""What a launching thread was at: a text, or a crew thread's (index, iteration), which only a report puts into words."""


def place_text(place: Place) -> str:
    return place if isinstance(place, str) else f"thread {place[0]}, iteration {place[1]}"


class Launch(NamedTuple):
    """One operation of an agent: a kernel on a stream, or work that a thread did itself."""

    agent: int
    epoch: int
    op: str
    thread: int
    thread_epoch: int
    is_host: bool = False
    site: Site | None = None
    step: Place = ""


class Use(NamedTuple):
    """A launch's access by one of its arguments."""

    launch: Launch
    argument: str
    is_write: bool
    is_retired: bool = False
    """Of the storage that had the memory before."""


class Metadata:
    """Who wrote a part of a tensor's metadata last, and who has read it since: one of each thread."""

    __slots__ = ("reads", "write")

    def __init__(self) -> None:
        self.write: Launch | None = None
        self.reads: dict[int, Launch] = {}


class AccessedRange:
    """The last write of a range and the reads since, one per agent (and per launching thread, if that counts)."""

    __slots__ = ("extent", "reads", "write")

    def __init__(self, extent: Extent) -> None:
        self.extent = extent
        self.write: Use | None = None
        self.reads: dict[tuple[int, int], Use] = {}

    def uses(self) -> Iterator[Use]:
        if self.write is not None:
            yield self.write
        yield from self.reads.values()


class AccessHistory:
    """The ranges of one storage."""

    __slots__ = ("ranges",)

    def __init__(self) -> None:
        self.ranges: list[AccessedRange] = []

    def conflicts(self, extent: Extent, is_write: bool) -> list[Use]:
        """Return the earlier uses that an access has to come after."""
        found: list[Use] = []
        for one in self.ranges:
            if one.extent != extent and not overlap(one.extent, extent):
                continue
            if one.write is not None:
                found.append(one.write)
            if is_write:
                found += one.reads.values()
        return found

    def add(self, extent: Extent, use: Use, reader: tuple[int, int]) -> int:
        """Remember an access; return how many ranges had to be forgotten."""
        if use.is_write:
            if len(self.ranges) == 1 and self.ranges[0].extent == extent:  # as mostly
                own = self.ranges[0]
                own.write, own.reads = use, {}
                return 0
            if self.ranges:
                self.ranges = [
                    one for one in self.ranges if one.extent != extent and not extent.covers(one.extent)
                ]
            new = AccessedRange(extent)
            new.write = use
            return self._append(new)
        for one in self.ranges:
            if one.extent == extent:
                one.reads[reader] = use
                return 0
        new = AccessedRange(extent)
        new.reads[reader] = use
        return self._append(new)

    def _append(self, new: AccessedRange) -> int:
        self.ranges.append(new)
        if len(self.ranges) <= RANGES_MAX:
            return 0
        del self.ranges[0]
        return 1
