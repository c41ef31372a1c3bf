"""`--mps-seconds`: a first attempt for every item, and the remaining time in equal shares for more attempts.

Sharing all the time equally was tried: early and quick items used up what late and slow ones needed for their only
attempt. On two cores the last quarter of the quick profile did not run.
"""

from __future__ import annotations

import time
from collections.abc import Callable

_MARGIN = 1.2
"""How many times as long as the items that ran those still to come may take, on average."""


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

    def item_limit_s(self, first_s: float) -> float | None:
        """Return how long an item may take whose references and first attempt took `first_s`; None without a limit.

        To be asked once for each item, after its first attempt.
        """
        self._items += 1
        self._first_s += first_s
        left_s = self.left_s
        if left_s is None:
            return None
        needed_s = self.items_left * _MARGIN * self._first_s / self._items
        return first_s + max(0.0, left_s - needed_s) / (self.items_left + 1)
