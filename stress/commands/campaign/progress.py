"""The line that says how the campaign goes: live on a terminal, else one plain line a minute."""

from __future__ import annotations

import time
from collections.abc import Callable
from types import TracebackType

from rich.console import Console
from rich.live import Live
from rich.text import Text

from stress.commands.campaign.tally import CampaignTally
from stress.model import stats
from stress.model.text import count
from stress.model.text import one_line

PLAIN_PERIOD_S = 60.0
ITEM_CHARS_MAX = 60


def duration(seconds: float) -> str:
    """Return "8 h 5 min", "12 min 30 s" or "40 s"."""
    whole = max(0, round(seconds))
    hours, minutes, rest = whole // 3600, whole // 60 % 60, whole % 60
    if hours:
        return f"{hours} h {minutes} min" if minutes else f"{hours} h"
    if minutes:
        return f"{minutes} min {rest} s" if rest else f"{minutes} min"
    return f"{rest} s"


def rate_line(tally: CampaignTally, *, spent_s: float, seconds: float, here_s: float) -> str:
    """Return how the campaign stands. `here_s` is the age of this process, which alone has a speed."""
    found, rounds = tally.canary_rounds
    failed = sum(one.failures for one in tally.failing)
    speed = (tally.attempts - tally.counted_before) / max(here_s, 1e-9)
    parts = [
        f"{duration(spent_s)} of {duration(seconds)}: {count(tally.attempts, 'attempt')}, {speed:.1f} per s",
        f"{failed} failed in {count(len(tally.failing), 'item')}{_most_often(tally)}, {len(tally.news)} new",
        f"canaries {found} of {rounds}" if rounds else "no canary yet",
    ]
    if tally.foreign_kills:
        parts.append(f"{tally.foreign_kills} killed by others")
    return "; ".join(parts)


def _most_often(tally: CampaignTally) -> str:
    """Return the rate of the item that fails most often, with an interval that may be watched."""
    if not tally.failing:
        return ""
    worst = max(tally.failing, key=lambda one: (one.failures / max(one.counted, 1), one.counted))
    low, high = stats.rate_interval(worst.failures, worst.counted)
    often = f"{worst.failures} of {worst.counted}, {stats.percent(low)}-{stats.percent(high)} %"
    return f" (most often {often}: {one_line(worst.item.rpartition('::')[2], ITEM_CHARS_MAX)})"


class RateLine:
    """Shows the line on stderr while it is entered; stdout is for the result alone."""

    def __init__(self, text: Callable[[], str], console: Console | None = None) -> None:
        self._text, self._console = text, console or Console(stderr=True, highlight=False)
        self._doing = ""
        self._next_plain = time.monotonic() + PLAIN_PERIOD_S
        self._live: Live | None = None
        if self._console.is_terminal:
            self._live = Live(get_renderable=self._renderable, console=self._console, refresh_per_second=2, transient=True)  # fmt: skip

    def __enter__(self) -> RateLine:
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.stop()

    def now(self, doing: str) -> None:
        """Say what runs now."""
        self._doing = doing
        if self._live is None and time.monotonic() >= self._next_plain:
            self._next_plain = time.monotonic() + PLAIN_PERIOD_S
            self.say(self._text())

    def say(self, text: str) -> None:
        """Print a line that stays."""
        self._console.print(text, markup=False, soft_wrap=True)

    def _renderable(self) -> Text:
        return Text(f"{self._text()}; now {self._doing}", overflow="ellipsis", no_wrap=True)
