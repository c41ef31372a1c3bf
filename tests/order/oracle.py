"""An independent answer to "is this pair ordered?": reachability over an explicit graph of everything that happened.

It shares no code with `stress.order`: no clocks, no epochs, no last write, and ranges are sets of bytes.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from dataclasses import field
from typing import NamedTuple


class Step(NamedTuple):
    """One action of a program: who does what. `args` are small numbers."""

    thread: int
    what: str
    args: tuple[int, ...] = ()


class Cover(NamedTuple):
    """A tensor: bytes of a storage, as (offset, sizes, strides) of one-byte items."""

    storage: int
    offset: int
    sizes: tuple[int, ...]
    strides: tuple[int, ...]

    def bytes(self) -> frozenset[int]:
        found = {self.offset}
        for size, stride in zip(self.sizes, self.strides, strict=True):
            found = {one + index * stride for one in found for index in range(size)}
        return frozenset(found)


@dataclass
class Kernel:
    node: int
    launcher: int
    thread: int
    stream: int | None
    """None for the host's own work."""
    serial: int
    """Which step of the program it is."""
    reads: list[Cover] = field(default_factory=list)
    writes: list[Cover] = field(default_factory=list)


class Graph:
    """Nodes in the order in which they were made, so that a path only goes up."""

    def __init__(self) -> None:
        self._before: list[int] = []
        """Of each node, a bit set of the nodes that reach it."""

    def node(self, *after: int | None) -> int:
        mask = 0
        for one in after:
            if one is not None:
                mask |= self._before[one] | 1 << one
        self._before.append(mask)
        return len(self._before) - 1

    def reaches(self, one: int, other: int) -> bool:
        return one == other or bool(self._before[other] >> one & 1)


class Program:
    """A random program: threads, streams of two devices, events, locks, tensors."""

    def __init__(self, seed: int, *, threads: int, streams: int, length: int, level: str) -> None:
        self.rng = random.Random(seed)
        self.threads, self.streams, self.level = threads, streams, level
        self.covers = [self._cover(storage) for storage in range(3) for _ in range(3)]
        self.steps = [self._step() for _ in range(length)]

    def _cover(self, storage: int) -> Cover:
        shape = self.rng.randrange(4)
        if shape == 0:
            return Cover(storage, 0, (16,), (1,))
        if shape == 1:
            return Cover(storage, self.rng.randrange(2) * 8, (8,), (1,))
        if shape == 2:
            return Cover(storage, self.rng.randrange(2), (8,), (2,))
        return Cover(storage, self.rng.randrange(4), (2, 2), (8, 3))

    def _step(self) -> Step:
        rng, thread = self.rng, self.rng.randrange(self.threads)
        stream, event = rng.randrange(self.streams), rng.randrange(3)
        what = rng.choices(
            (
                "kernel",
                "host",
                "record",
                "wait",
                "event_sync",
                "stream_sync",
                "device_sync",
                "lock",
                "forget",
            ),
            (10, 2, 3, 3, 1, 1, 0.4, 3, 0.3),
        )[0]
        if what in ("kernel", "host"):
            pick = range(len(self.covers))
            return Step(thread, what, (stream, *rng.sample(pick, 2), rng.randrange(4)))
        return Step(thread, what, (stream, event, rng.randrange(2)))

    def device_of(self, stream: int) -> int:
        return stream % 2

    def covers_of(self, step: Step) -> tuple[list[Cover], list[Cover]]:
        """Return what a kernel reads and writes. The host touches storage 2 only: the others are a device's."""
        first, second, how = step.args[1:]
        one, two = self.covers[first], self.covers[second]
        if step.what == "host":
            one, two = one._replace(storage=2), two._replace(storage=2)
        return ([one, two] if how == 0 else [one] if how < 3 else []), ([two] if how else [])

    def kernels(self) -> tuple[Graph, list[Kernel]]:
        """Return the graph of the program, run in the order of its steps."""
        graph = Graph()
        host: dict[int, int | None] = {}
        last: dict[int, int | None] = {}
        gate: dict[int, list[int]] = {}
        events: dict[int, int | None] = {}
        locks: dict[int, int | None] = {}
        kernels = []
        one_host = self.level == "device"
        for serial, step in enumerate(self.steps):
            who = 0 if one_host else step.thread
            stream = step.args[0]
            if step.what in ("kernel", "host"):
                launcher = host[who] = graph.node(host.get(who))
                reads, writes = self.covers_of(step)
                if step.what == "kernel":
                    node = last[stream] = graph.node(last.get(stream), launcher, *gate.pop(stream, ()))
                    kernels.append(Kernel(node, launcher, who, stream, serial, reads, writes))
                else:
                    kernels.append(Kernel(launcher, launcher, who, None, serial, reads, writes))
                continue
            now = host[who] = graph.node(host.get(who))
            event, lock = step.args[1], step.args[2]
            if step.what == "record":
                pending = gate.get(stream, ())
                events[event] = graph.node(now, last.get(stream), *pending)
            elif step.what == "wait":
                waited = events.get(event)
                gate.setdefault(stream, []).append(now)
                if waited is not None:
                    gate[stream].append(waited)
            elif step.what == "event_sync":
                host[who] = graph.node(now, events.get(event))
            elif step.what == "stream_sync":
                host[who] = graph.node(now, last.get(stream), *gate.get(stream, ()))
            elif step.what == "device_sync":
                same = [one for one in range(self.streams) if self.device_of(one) == self.device_of(stream)]
                host[who] = graph.node(
                    now, *(last.get(one) for one in same), *(w for o in same for w in gate.get(o, ()))
                )
            elif step.what == "lock" and not one_host:  # taken and let go, by one thread after another
                locks[lock] = host[who] = graph.node(now, locks.get(lock))
            elif step.what == "forget":
                events[event] = None
        return graph, kernels

    def races(self) -> Iterator[tuple[int, int, int]]:
        """Yield (storage, step of the earlier access, step of the later one) of every pair without an order."""
        graph, kernels = self.kernels()
        for index, now in enumerate(kernels):
            for then in kernels[:index]:
                if self._ordered(graph, then, now):
                    continue
                for storage in range(3):
                    if self._conflict(then, now, storage):
                        yield storage, then.serial, now.serial

    def _ordered(self, graph: Graph, then: Kernel, now: Kernel) -> bool:
        if self.level == "device":
            return then.stream is None or graph.reaches(then.node, now.node)
        # What streams order is no order where it is chance which thread launched first.
        return graph.reaches(then.node, now.node) and graph.reaches(then.launcher, now.launcher)

    @staticmethod
    def _conflict(then: Kernel, now: Kernel, storage: int) -> bool:
        def bytes_of(covers: list[Cover]) -> frozenset[int]:
            return frozenset().union(*(one.bytes() for one in covers if one.storage == storage))

        then_w, now_w = bytes_of(then.writes), bytes_of(now.writes)
        return bool(then_w & now_w or then_w & bytes_of(now.reads) or bytes_of(then.reads) & now_w)
