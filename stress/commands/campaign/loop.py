"""The campaign's loop: canaries, one turn for every item, then turns where they find most, until the time is up."""

from __future__ import annotations

import random
import secrets
import time
from collections.abc import Iterator
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from stress.commands.campaign.allocation import chances
from stress.commands.campaign.folding import bytes_in
from stress.commands.campaign.folding import fold_oldest
from stress.commands.campaign.progress import RateLine
from stress.commands.campaign.tally import Arm
from stress.commands.campaign.tally import CampaignTally
from stress.plugin import late_crash_reports
from stress.plugin.item import Turn
from stress.plugin.item_runner import ItemRunner
from stress.plugin.items import ScenarioItem
from stress.plugin.run import Run

TURN_ATTEMPTS = 25
TURN_S = 20.0
"""A turn has one seed and one set of references. Longer ones see fewer inputs, shorter ones make more references."""
CANARY_ATTEMPTS = 5
CANARY_PERIOD_S = (30.0, 600.0)
CANARIES_PER_CAMPAIGN = 50
FILE_BYTES_MAX = 32_000_000
"""A file of records is closed at this size: one that is being written cannot be folded."""
_DISK_LOOK_S = 30.0


class Campaign:
    """One process's part of a campaign."""

    def __init__(
        self,
        run: Run,
        items: Sequence[ScenarioItem],
        tally: CampaignTally,
        line: RateLine,
        *,
        until: float,
        seconds: float,
        disk_bytes_max: int,
    ) -> None:
        self.run, self.tally, self.line = run, tally, line
        self._items = {one.nodeid: one for one in items}
        self._until, self._disk_bytes_max = until, disk_bytes_max
        low_s, high_s = CANARY_PERIOD_S
        self._canary_period_s = min(max(seconds / CANARIES_PER_CAMPAIGN, low_s), high_s)
        self._draw = random.Random(secrets.randbits(64))
        self._canaries_at = 0.0
        self._disk_at = time.monotonic()
        self.late: list[str] = []
        self.folded = 0
        self.stopped = ""
        """Why it ended before its time."""

    @property
    def left_s(self) -> float:
        """Return the seconds left by the clock of the day: a night ends in the morning, however long the machine slept."""
        return self._until - time.time()

    def go(self) -> None:
        """Run until the time is up, or nothing is left to run."""
        self._run_canaries()
        for arm in self._in_turn():
            if self.stopped or self.left_s <= 0:
                break
            self._turn(arm)
            if time.monotonic() >= self._canaries_at:
                self._run_canaries()
        if not self.stopped:
            # Once more at the end: what has broken in between must not pass for green.
            self._run_canaries()

    def _in_turn(self) -> Iterator[Arm]:
        arms = [one for one in self.tally.arms.values() if not one.is_canary]
        fresh = [one for one in arms if not one.turns]
        self._draw.shuffle(fresh)
        yield from fresh
        while True:
            arms = [one for one in arms if not one.is_set_aside]
            if not arms:
                nothing = "no item has an attempt that counts"
                self.stopped = "every item was set aside" if self._anything_counts else nothing
                return
            yield self._draw.choices(arms, chances([one.standing for one in arms]))[0]

    @property
    def _anything_counts(self) -> bool:
        return any(one.counted for one in self.tally.arms.values() if not one.is_canary)

    def _run_canaries(self) -> None:
        for arm in self.tally.canaries:
            if not arm.is_set_aside:
                self._turn(arm)
        self._canaries_at = time.monotonic() + self._canary_period_s

    def _turn(self, arm: Arm) -> None:
        item = self._items[arm.item]
        self.line.now(arm.item.rpartition("/")[2])
        spec = item.spec(self.run)
        attempts = CANARY_ATTEMPTS if arm.is_canary else TURN_ATTEMPTS
        settings = replace(
            self.run.settings, seed=secrets.randbits(32), attempts=attempts, attempts_asked=True
        )
        share_s = TURN_S if arm.is_canary else max(0.0, min(TURN_S, self.left_s))
        before = len(self.tally.news)
        ItemRunner(self.run, spec, Turn(settings, dict(arm.first), share_s)).execute()
        self.late += late_crash_reports.settle(self.run)
        for news in list(self.tally.news.values())[before:]:
            self.line.say(f"new: {news.name}  {news.item}  {self.run.replay_command(news.serial)}")
        self._keep_house()

    def _keep_house(self) -> None:
        """Close a long file of records; keep the folder of results within its limit; end where records are lost."""
        if self.run.writer.lost:
            self.stopped = f"records are lost: no room in {self.run.folder_path}"
            return
        if self.run.writer.path.stat().st_size > FILE_BYTES_MAX:
            self.run.next_file()
        if time.monotonic() < self._disk_at:
            return
        self._disk_at = time.monotonic() + _DISK_LOOK_S
        results: Path = self.run.settings.results
        if bytes_in(results) <= self._disk_bytes_max:
            return
        self.folded += fold_oldest(results, self.run.writer.path, self._disk_bytes_max)
        size = bytes_in(results)
        if size > self._disk_bytes_max:
            self.stopped = (
                f"disk limit: {size / 1e6:.0f} MB in {results}, allowed: {self._disk_bytes_max / 1e6:.0f}, and no file "
                "without a finding is left to fold; move old runs away, or raise --disk-mb"
            )


def usable(items: Sequence[ScenarioItem]) -> tuple[list[ScenarioItem], dict[str, list[str]]]:
    """Return the items that can run here, and reason -> node ids of those that cannot."""
    fit: list[ScenarioItem] = []
    out: dict[str, list[str]] = {}
    for one in items:
        try:
            one.setup()
            fit.append(one)
        except pytest.skip.Exception as error:
            out.setdefault(str(error.msg), []).append(one.nodeid)
    return fit, out
