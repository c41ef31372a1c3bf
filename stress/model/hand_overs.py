"""Hand-overs: whose step began next. Which of them an attempt had is its fingerprint, and how many are new is saturation.

A whole order of steps hardly ever comes twice, so that comparing whole orders would say "all new" for ever. Here a hand-over
is (thread, next thread, how many iterations the next one is ahead), and an attempt has a set of them. Good-Turing: the probability that
the next one to be seen is a new one is about the share of those that were seen in one attempt only (Good 1953; for sets per
attempt, Chao and Jost 2012).
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from collections.abc import Sequence
from dataclasses import dataclass

from stress.model.text import count

THREADS = 8
"""Threads are distinguished modulo this many: more would make the sets larger than a record should be."""
AHEAD_MAX = 3
"""Iterations ahead, or behind, from which on all count as one."""
_AHEADS = 2 * AHEAD_MAX + 1
BITS = THREADS * THREADS * _AHEADS
CAVEAT = "biased where failing or slow items get more or fewer attempts"


@dataclass(frozen=True)
class StepBegin:
    """The beginning of one step."""

    wave: int
    thread: int
    iteration: int
    began_ns: int


def fingerprint(steps: Iterable[StepBegin]) -> str:
    """Return the set of hand-overs as a hexadecimal number, a bit for each; empty where one thread ran alone."""
    ordered = sorted(steps, key=lambda one: (one.wave, one.began_ns))
    bits = 0
    for one, after in itertools.pairwise(ordered):
        if one.wave == after.wave and one.thread != after.thread:
            ahead = max(-AHEAD_MAX, min(AHEAD_MAX, after.iteration - one.iteration))
            pair = one.thread % THREADS * THREADS + after.thread % THREADS
            bits |= 1 << (pair * _AHEADS + ahead + AHEAD_MAX)
    return f"{bits:x}" if bits else ""


@dataclass
class HandOverCounts:
    """Hand-overs of an item's attempts: those of one attempt alone, and those of several. Two numbers, whatever the attempts."""

    attempts: int = 0
    total: int = 0
    """Over all attempts."""
    _once: int = 0
    _several: int = 0

    def add(self, text: str) -> None:
        """Take in the fingerprint of an attempt; an empty one says nothing, nor does one that is no number."""
        try:
            bits = int(text, 16) if text else 0
        except ValueError:
            return
        if not 0 < bits < 1 << BITS:
            return
        self.attempts += 1
        self.total += bits.bit_count()
        self._several |= bits & self._once
        self._once = (self._once | bits) & ~self._several

    @property
    def once(self) -> int:
        """Return how many were in one attempt only."""
        return self._once.bit_count()

    @property
    def counts(self) -> tuple[int, int, int]:
        """Return (attempts, total, once), as `sentence` takes them."""
        return self.attempts, self.total, self.once


def sentence(counts: Sequence[tuple[int, int, int]]) -> str:
    """Return what (attempts, total, once) of items say together; empty where none has two attempts to compare."""
    several = [one for one in counts if one[0] > 1]
    total = sum(one[1] for one in several)
    if not total:
        return ""
    share = 100 * sum(one[2] for one in several) / total
    return (
        f"orders: in one more attempt about {share:.0f} % of the hand-overs between threads would be new "
        f"(Good-Turing, {count(len(several), 'item')}; {CAVEAT})"
    )
