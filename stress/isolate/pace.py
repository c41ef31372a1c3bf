"""The time limit of an attempt, derived from clean ones: a hang costs all of it, and a busy machine must not look like one."""

from __future__ import annotations

import math
import statistics
from collections import deque
from dataclasses import dataclass
from dataclasses import field

DEADLINE_S_MIN = 5.0
DEADLINE_FACTOR = 20.0
"""The deadline, in medians of clean attempts."""
CLEAN_ATTEMPTS_MAX = 21
"""Older ones are forgotten: a machine gets busy, and idle again."""
STALL_S = 1.2
"""On the simulated device, every thread asleep for so long is a deadlock: no shipped scenario sleeps, yields end in
20 ms, and the framework itself waits 1 s for a thread that a step left behind. A real device may keep all threads waiting."""


@dataclass
class Pace:
    """Seconds of the last clean attempts, and the bounds of the deadline that follows from them."""

    least_s: float = DEADLINE_S_MIN
    most_s: float = math.inf
    """Also the deadline as long as there are too few clean attempts."""
    expected_s: float = 0.0
    """The time that an attempt is known to take: the median is not lower."""
    clean_min: int = 0
    """Clean attempts that a median needs."""
    _clean_s: deque[float] = field(default_factory=lambda: deque(maxlen=CLEAN_ATTEMPTS_MAX))

    def add(self, seconds: float) -> None:
        """Take in a clean attempt."""
        self._clean_s.append(seconds)

    @property
    def deadline_s(self) -> float:
        if len(self._clean_s) < self.clean_min:
            return self.most_s
        median_s = max(self.expected_s, statistics.median(self._clean_s or [0.0]))
        return min(self.most_s, max(self.least_s, DEADLINE_FACTOR * median_s))
