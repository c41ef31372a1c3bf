"""Deals out the wall seconds of the command: most faults are decided long before their share is used up."""

from __future__ import annotations

import time
from collections.abc import Callable

OVERSUBSCRIPTION, OVERSUBSCRIPTION_BLIND = 3.0, 1.0
"""A measurement may take so many fair shares of what is left: those that end early pay for those that do not. Blind, half of
them do not: with three shares for each of those, the last ten of 53 faults had no seconds at all."""


class Shares:
    """Seconds left, and the weights of the measurements that are still to come."""

    def __init__(
        self,
        seconds: float,
        weight: float,
        clock: Callable[[], float] = time.monotonic,
        *,
        oversubscription: float = OVERSUBSCRIPTION,
    ) -> None:
        self._clock, self._oversubscription = clock, oversubscription
        self._end = clock() + seconds
        self._weight_left = weight

    @property
    def left_s(self) -> float:
        return max(0.0, self._end - self._clock())

    def end(self) -> None:
        """Leave no second to any measurement that runs or is still to come."""
        self._end = self._clock()

    def take(self, weight: float, *, reserved: float = 0.0) -> float:
        """Return the seconds for the next measurement, which then no longer waits for any.

        `reserved` is the part of the weights still to come that keeps its fair share untouched: without it a
        short run would spend everything on its first faults and never come to a twin.
        """
        others = max(self._weight_left - reserved, weight)
        free_s = self.left_s * others / max(self._weight_left, others)
        self._weight_left -= weight
        return free_s * min(1.0, self._oversubscription * weight / others)
