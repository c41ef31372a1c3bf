"""A thread's decisions at its n-th boundary, drawn from a seed, and the budget that bounds them.

Decisions and budget are separate on purpose. Decisions depend on the seed alone, so the same seed gives the
same choices for the same sequence of boundaries; the budget depends on the clock and can only drop or
shorten a choice, never change the following ones.
"""

from __future__ import annotations

import hashlib
import math
import struct
import time
from dataclasses import dataclass

YIELD_S = 1e-6
"""How long a yield sleeps. `os.sched_yield` does not give the GIL away, any sleep does. Where others wait for
the GIL already, 0 does as well (a double initialisation was found in 0.90 of the runs against 0.91); where
they are still waking up or inside an op, a sleep that the kernel rounds up (to about 55 us on Linux, its
timer slack) leaves them the time. With the slack set to 1 ns yields got cheaper and found nothing: 0.10."""

_BLOCK = struct.Struct("<16I")
_UNIT = 1.0 / 2**32


@dataclass(frozen=True)
class Level:
    """A level of disturbance of the schedule.

    The shape is rr's chaos mode: few victims that get long delays of log-uniform length, everybody gets
    short yields, and all of it stays below a share of the time so that a test is not slowed out of failing.
    """

    share_max: float
    """Largest share of the thread's time spent in yields and delays together, beyond the allowance."""
    allowance_s: float
    """What yields may take before any time has passed: state is cold in the first iteration only."""
    victim_probability: float
    delay_probability: float
    """Of a victim's actions, how many are delays instead of yields."""
    delay_s_min: float
    delay_s_max: float


LEVELS = {
    "low": Level(0.20, 0.0003, 0.25, 0.25, 50e-6, 2e-3),
    "high": Level(0.50, 0.0020, 0.50, 0.50, 50e-6, 20e-3),
}

# Mean number of boundaries between two actions. The first boundaries are acted upon more often: state is
# cold only once, and a race that needs the first iteration has one chance per attempt.
EARLY_BOUNDARIES = {"op": 8, "line": 8, "opcode": 32}
GAP_EARLY = {"op": 1.5, "line": 1.25, "opcode": 4.0}
GAP_LATER = {"op": 4.0, "line": 16.0, "opcode": 48.0}


class Draws:
    """Numbers in [0, 1) from a hash of the key and a counter: no two keys can share a stretch of them."""

    __slots__ = ("_counter", "_key", "_left")

    def __init__(self, *key: object) -> None:
        text = "\x1f".join(map(str, key))
        self._key = hashlib.blake2b(text.encode(), digest_size=32).digest()
        self._counter = 0
        self._left: list[int] = []

    def next(self) -> float:
        """Return the next number."""
        if not self._left:
            block = hashlib.blake2b(self._counter.to_bytes(8, "big"), key=self._key, digest_size=64).digest()
            self._left = list(_BLOCK.unpack(block))
            self._counter += 1
        return self._left.pop() * _UNIT


@dataclass(frozen=True, slots=True)
class Decision:
    """Act after `gap` more boundaries: sleep for `seconds` (a yield when `is_yield`)."""

    gap: int
    is_yield: bool
    seconds: float


class Decisions:
    """The endless sequence of decisions of one thread: a function of its arguments alone."""

    __slots__ = ("_draws", "_level", "_mode", "_reached", "is_victim")

    def __init__(self, mode: str, level: Level, seed: int, thread: object) -> None:
        self._draws = Draws("perturb", mode, seed, thread)
        self._mode = mode
        self._level = level
        self._reached = 0
        self.is_victim = self._draws.next() < level.victim_probability

    def next(self) -> Decision:
        """Draw the next decision. Always the same number of draws, whatever they say."""
        draws = self._draws
        mean = (GAP_EARLY if self._reached < EARLY_BOUNDARIES[self._mode] else GAP_LATER)[self._mode]
        gap = 1 + int(math.log(1.0 - draws.next()) / math.log(1.0 - 1.0 / mean))
        self._reached += gap
        is_delay = draws.next() < self._level.delay_probability and self.is_victim
        low, high = self._level.delay_s_min, self._level.delay_s_max
        delay_s = low * (high / low) ** draws.next()
        return Decision(gap, not is_delay, delay_s if is_delay else YIELD_S)


def affordable_s(level: Level, decision: Decision, *, elapsed_s: float, delayed_s: float) -> float:
    """Return how long the thread may sleep for `decision` now: all of it, less of it, or 0 for not at all.

    Delays have to fit into what the share of the elapsed time has earned: paid from the allowance, a delay
    in each of a test's eight threads cost more than the test. One that does not fit becomes a yield.
    """
    earned_s = level.share_max * elapsed_s - delayed_s
    if not decision.is_yield and earned_s >= level.delay_s_min:
        return min(decision.seconds, earned_s)
    return YIELD_S if earned_s + level.allowance_s > 0.0 else 0.0


class Disturber:
    """Count one thread's boundaries and act on some of them. Not thread-safe: one per thread."""

    __slots__ = (
        "_decision",
        "_decisions",
        "_level",
        "_until",
        "delayed_s",
        "delays",
        "dropped",
        "longest_s",
        "points",
        "started_s",
        "yields",
    )

    def __init__(self, mode: str, level_name: str, seed: int, thread: object) -> None:
        self._level = LEVELS[level_name]
        self._decisions = Decisions(mode, self._level, seed, thread)
        self._decision = self._decisions.next()
        self._until = self._decision.gap
        self.points = 0
        self.yields = 0
        self.delays = 0
        self.dropped = 0
        self.delayed_s = 0.0
        self.longest_s = 0.0
        self.started_s = time.perf_counter()

    def point(self) -> None:
        """Note one boundary; yield or sleep when the seed says so and the budget allows it."""
        self.points += 1
        if self.points >= self._until:
            self._act()

    def _act(self) -> None:
        decision = self._decision
        self._decision = self._decisions.next()
        self._until = self.points + self._decision.gap
        now_s = time.perf_counter()
        sleep_s = affordable_s(
            self._level, decision, elapsed_s=now_s - self.started_s, delayed_s=self.delayed_s
        )
        if sleep_s <= 0.0:
            self.dropped += 1
            return
        time.sleep(sleep_s)
        # The measured time, not the requested one: waking up and getting the GIL back is part of the cost.
        took_s = time.perf_counter() - now_s
        self.delayed_s += took_s
        self.longest_s = max(self.longest_s, took_s)
        if sleep_s <= YIELD_S:
            self.yields += 1
        else:
            self.delays += 1
