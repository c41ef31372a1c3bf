"""`--mps-seconds`: all attempts, where the time suffices; else a first one for every item, and equal shares for more.

Sharing all the time equally was tried: early and quick items used up what late and slow ones needed for their only
attempt. On two cores the last quarter of the quick profile did not run. Equal shares alone were tried, too: quick items left
most of theirs, and dear ones, of which some come first, were cut short although there was time for all.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import NamedTuple

_MARGIN = 1.2
"""How many times as long as the items that ran those still to come may take, on average."""
_EXPECTED_ITEMS, _EXPECTED_PART = 30, 0.6
"""Before anything has run, all attempts are expected to take this part of the time; that counts like so many items."""
_PART_MAX = 0.05
"""An item takes no more than this part of the time, or its equal share, beyond its first attempt because all seems to fit."""


class Budget:
    """The seconds of one process's run; without a limit, everything runs as often as requested."""

    def __init__(self, seconds: float | None, clock: Callable[[], float] = time.monotonic) -> None:
        self.seconds = seconds
        self.items_left = 0
        """Items that are still to come, without the one that runs."""
        self._clock = clock
        self._begun: float | None = None
        self._first_s = 0.0
        self._items = 0
        self._whole_s = 0.0
        """What all attempts of the items before the last one took, or would have taken."""
        self._last: _Item | None = None

    def begin(self) -> None:
        """Start the clock at the first item: building the device, which happens once, would use up the items' time."""
        self._begun = self._clock()

    def begin_item(self) -> None:
        """Count an item that begins. Under xdist `items_left` is an equal share, and a quick worker gets more than that."""
        self.items_left = max(0, self.items_left - 1)

    @property
    def left_s(self) -> float | None:
        """Return the seconds left; None without a limit."""
        if self.seconds is None or self._begun is None:
            return self.seconds
        return self.seconds - (self._clock() - self._begun)

    @property
    def is_spent(self) -> bool:
        left_s = self.left_s
        return left_s is not None and left_s <= 0

    def item_limit_s(self, first_s: float, rest_s: float) -> float | None:
        """Return how long an item may take whose references and first attempt took `first_s`; None without a limit.

        `rest_s` is what its other attempts would take if each took as long as the first. To be asked once for each item,
        after its first attempt.
        """
        left_s, now = self.left_s, self._clock()
        if left_s is None or self.seconds is None:
            return None
        if self._last is not None:
            self._whole_s += self._last.whole_s if self._last.is_limited else now - first_s - self._last.begun
        expected_s = self._whole_expected_s(self.seconds)
        suffices = left_s >= rest_s + _MARGIN * self.items_left * expected_s and rest_s <= left_s * max(
            _PART_MAX, 1 / (self.items_left + 1)
        )
        self._items += 1
        self._first_s += first_s
        self._last = _Item(now - first_s, first_s + rest_s, not suffices)
        if suffices:
            return None
        needed_s = self.items_left * _MARGIN * self._first_s / self._items
        return first_s + max(0.0, left_s - needed_s) / (self.items_left + 1)

    def _whole_expected_s(self, seconds: float) -> float:
        """Return what all attempts of an item are expected to take, on average."""
        known = self._items + _EXPECTED_ITEMS
        return (
            self._whole_s + _EXPECTED_ITEMS * _EXPECTED_PART * seconds / (self._items + self.items_left + 1)
        ) / known


class _Item(NamedTuple):
    begun: float
    whole_s: float
    is_limited: bool
