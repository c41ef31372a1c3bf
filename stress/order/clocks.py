"""Vector clocks: what an agent (a host thread or a stream) knows of every other, and where it learned that.

An agent is a small number, an epoch the count of an agent's operations. "a has seen b up to 4" means that whatever a does
next comes after b's first four operations.
"""

from __future__ import annotations

from typing import NamedTuple


class Site(NamedTuple):
    """A line of the author's."""

    file: str
    line: int


class Edge(NamedTuple):
    """How one agent learned of another: an event, a synchronisation, a launch, a lock."""

    what: str
    """As in "event recorded"."""
    site: Site | None


class VectorClock:
    """One agent's knowledge. `version` changes with it, so that a join with what is known already costs one look."""

    __slots__ = ("_joined", "seen", "version", "why")

    def __init__(self) -> None:
        self.seen: dict[int, int] = {}
        self.why: dict[int, Edge] = {}
        self.version = 0
        self._joined: dict[int, int] = {}

    def has_seen(self, agent: int, epoch: int) -> bool:
        return self.seen.get(agent, 0) >= epoch

    def learn(
        self, seen: dict[int, int], why: dict[int, Edge], own: int = -1, edge: Edge | None = None
    ) -> None:
        """Join with a copy of another's knowledge. `edge` is how this agent learned of agent `own`."""
        mine, changed = self.seen, False
        for agent, epoch in seen.items():
            if epoch > mine.get(agent, 0):
                mine[agent] = epoch
                changed = True
                told = edge if agent == own else why.get(agent)
                if told is not None:
                    self.why[agent] = told
        if changed:
            self.version += 1

    def learn_from(self, number: int, other: VectorClock) -> None:
        """Join with agent `number`'s clock, unless it has not changed since this one did so last."""
        if self._joined.get(number) != other.version:
            self._joined[number] = other.version
            self.learn(other.seen, other.why)


class EventClock(NamedTuple):
    """What a recorded event stands for: a copy of what its stream, and the recording thread, knew."""

    seen: dict[int, int]
    why: dict[int, Edge]

    @classmethod
    def of(cls, *clocks: VectorClock, own: int, edge: Edge) -> EventClock:
        joined = VectorClock()
        for one in clocks:
            joined.learn(one.seen, one.why, own, edge)
        joined.why[own] = edge
        return cls(joined.seen, joined.why)
