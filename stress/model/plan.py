"""The plan of one attempt: the iterations of each thread, their states, and the sequential orders."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

from stress.model.hand_overs import StepBegin
from stress.model.hand_overs import fingerprint

ORDERS = ("thread-by-thread", "round-robin", "shuffled")


@dataclass(frozen=True, slots=True)
class Slot:
    """One iteration of one thread.

    ``worker`` counts threads through all waves (it owns the per-thread state and the inputs), ``thread``
    within the wave.
    """

    wave: int
    thread: int
    worker: int
    iteration: int

    def __str__(self) -> str:
        wave = f"wave {self.wave} " if self.wave else ""
        return f"{wave}thread {self.thread} iteration {self.iteration}"


@dataclass(frozen=True)
class Plan:
    """All slots of an attempt, in canonical order: by wave, thread, iteration."""

    waves: tuple[tuple[int, int], ...]
    slots: tuple[Slot, ...]

    @classmethod
    def make(cls, waves: Sequence[tuple[int, int]]) -> Plan:
        """Build the plan for ``[(threads, iterations), ...]``; raise ``ValueError`` for one that runs nothing."""
        if not waves or any(threads < 1 or iterations < 1 for threads, iterations in waves):
            raise ValueError(f"waves {list(waves)!r}: every wave needs at least one thread and one iteration")
        slots: list[Slot] = []
        first_worker = 0
        for wave, (threads, iterations) in enumerate(waves):
            slots += [
                Slot(wave, thread, first_worker + thread, iteration)
                for thread in range(threads)
                for iteration in range(iterations)
            ]
            first_worker += threads
        return cls(tuple(waves), tuple(slots))

    @property
    def workers(self) -> int:
        return sum(threads for threads, _ in self.waves)

    @property
    def threads_max(self) -> int:
        return max(threads for threads, _ in self.waves)

    def of_thread(self, wave: int, thread: int) -> list[int]:
        """Return the indices into `slots` that one thread runs, in program order."""
        return [i for i, slot in enumerate(self.slots) if slot.wave == wave and slot.thread == thread]

    def hand_overs(self, began_ns: Sequence[int]) -> str:
        """Return which thread's step began after which, by the times at which those of the slots did, 0 for never."""
        return fingerprint(
            StepBegin(slot.wave, slot.thread, slot.iteration, began)
            for slot, began in zip(self.slots, began_ns, strict=True)
            if began
        )

    def order(self, kind: str, seed: int) -> list[int]:
        """Return slot indices in the sequential order `kind`; each thread's program order is kept."""
        ordered: list[int] = []
        for wave, (threads, _) in enumerate(self.waves):
            queues = [self.of_thread(wave, thread) for thread in range(threads)]
            if kind == "thread-by-thread":
                ordered += [index for queue in queues for index in queue]
            elif kind == "round-robin":
                ordered += [index for round_ in zip(*queues, strict=True) for index in round_]
            elif kind == "shuffled":
                turns = [thread for thread, queue in enumerate(queues) for _ in queue]
                random.Random(seed).shuffle(turns)
                cursors = [iter(queue) for queue in queues]
                ordered += [next(cursors[thread]) for thread in turns]
            else:
                raise ValueError(f"unknown order {kind!r}")
        return ordered
