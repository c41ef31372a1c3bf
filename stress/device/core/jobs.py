"""Jobs of a build that wait for each other: as many at a time as there are cores, what matters most of those that can begin."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from collections.abc import Iterable
from concurrent.futures import FIRST_COMPLETED
from concurrent.futures import Future
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import wait
from graphlib import TopologicalSorter
from os import cpu_count

Work = Callable[[], object]


class Jobs:
    """A graph of jobs by name; `run` runs all of them."""

    def __init__(self) -> None:
        self._work: dict[str, Work] = {}
        self._priorities: dict[str, tuple[float, ...]] = {}
        self._graph: TopologicalSorter[str] = TopologicalSorter()

    def __contains__(self, name: str) -> bool:
        return name in self._work

    def add(
        self, name: str, work: Work, *, after: Iterable[str] = (), priority: tuple[float, ...] = (0,)
    ) -> str:
        """Add a job that begins when those named in `after` have ended; the least `priority` first. Return its name."""
        self._work[name], self._priorities[name] = work, priority
        self._graph.add(name, *after)
        return name

    def run(self) -> None:
        """Run all jobs; where one raises, begin no other, wait for those that run, and raise its error."""
        self._graph.prepare()
        ready: list[tuple[tuple[float, ...], str]] = []
        running: dict[Future[object], str] = {}
        at_once = cpu_count() or 1
        with ThreadPoolExecutor(at_once) as pool:
            while self._graph.is_active():
                for name in self._graph.get_ready():
                    heapq.heappush(ready, (self._priorities[name], name))
                while ready and len(running) < at_once:
                    _, name = heapq.heappop(ready)
                    running[pool.submit(self._work[name])] = name
                ended, _ = wait(running, return_when=FIRST_COMPLETED)
                for one in ended:
                    self._graph.done(running.pop(one))
                    one.result()
