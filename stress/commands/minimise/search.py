"""The search: measures the recorded configuration, then tries smaller ones until the seconds are spent."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from dataclasses import field

from stress.commands.minimise.candidates import Axes
from stress.commands.minimise.candidates import Candidate
from stress.commands.minimise.candidates import described
from stress.commands.replay.failure_kind import FailureKind
from stress.commands.replay.find import shown
from stress.commands.replay.repetition import Configuration
from stress.commands.replay.repetition import Repetition
from stress.model import seeds
from stress.model.errors import BrokenScenario
from stress.model.sequential import SHARE_DEFAULT
from stress.model.sequential import Rates
from stress.model.sequential import SequentialTest
from stress.model.sequential import estimate

PARENT_FAILURES = 12
PARENT_ATTEMPTS_MIN = 16
PARENT_ATTEMPTS_MAX = 1000
PARENT_SHARE = 0.25
"""Of the search's seconds, at most: without any failure by then there is nothing to make smaller."""
CANDIDATE_SHARE = 0.25
"""A single candidate may take this share of what is left of the seconds. Undecided is not kept."""
ITEM_PREFIX = "minimise::"


@dataclass(frozen=True)
class Trial:
    """What one configuration came to."""

    text: str
    case: Configuration
    failures: int
    n: int
    kept: bool
    why: str = ""
    """Why it was not kept, where it was not the rate."""


@dataclass
class Search:
    """One search. `wanted` is the failure that has to come again; any other one does not count as it."""

    repetition: Repetition
    wanted: FailureKind
    case: Configuration
    until: float
    """On the monotonic clock."""
    tell: Callable[[Trial], None]
    share: float = SHARE_DEFAULT
    trials: list[Trial] = field(default_factory=list)
    others: dict[str, int] = field(default_factory=dict)
    """Other failures that came up on the way, and how often."""
    _count: int = 0

    @property
    def parent(self) -> Trial:
        return self.trials[0]

    @property
    def rates(self) -> Rates:
        return Rates.below(estimate(self.parent.failures, self.parent.n), self.share)

    @property
    def kept(self) -> list[Trial]:
        """Return the configurations that were kept, the recorded one first, the smallest last."""
        return [one for one in self.trials if one.kept]

    def measure_parent(self) -> Trial:
        """Measure how often the recorded configuration fails, with separate seeds for each attempt."""
        end = time.monotonic() + PARENT_SHARE * max(0.0, self.until - time.monotonic())
        failures = n = 0
        while n < PARENT_ATTEMPTS_MAX and time.monotonic() < end:
            failures += self._fails(self.case)
            n += 1
            if failures >= PARENT_FAILURES and n >= PARENT_ATTEMPTS_MIN:
                break
        trial = Trial("as recorded", self.case, failures, n, bool(failures))
        self._note(trial)
        return trial

    def run(self) -> None:
        """Try all axes, and again as long as something was kept and there is time: one change may allow another."""
        before = -1
        while len(self.kept) != before and time.monotonic() < self.until:
            before = len(self.kept)
            axes = Axes(self.repetition.what, self.kept[-1].case, self.repetition.device.name, self._try)
            axes.walk()

    def _try(self, candidate: Candidate) -> bool:
        now = time.monotonic()
        if now >= self.until or any(one.case == candidate.case for one in self.trials):
            return False
        trial = self._decide(candidate, now + CANDIDATE_SHARE * (self.until - now))
        self._note(trial)
        return trial.kept

    def _decide(self, candidate: Candidate, end: float) -> Trial:
        test = SequentialTest(self.rates)
        try:
            while test.decision is None and time.monotonic() < end:
                test.add(self._fails(candidate.case))
        except (BrokenScenario, ValueError) as error:
            why = f"cannot run: {shown(error, 120)}"
            return Trial(candidate.text, candidate.case, test.failures, test.n, kept=False, why=why)
        undecided = "" if test.decision is not None else "undecided when its time was up"
        return Trial(
            candidate.text, candidate.case, test.failures, test.n, kept=test.decision is True, why=undecided
        )

    def _fails(self, case: Configuration) -> bool:
        """Run one attempt; return whether it failed in the way that is looked for."""
        self._count += 1
        lots = seeds.derive(self.repetition.recorded.seed, "minimise", self._count)
        text = described(self.repetition.what, case, self.repetition.device.name)
        done = self.repetition.attempt(
            case,
            lots,
            item=f"{ITEM_PREFIX}{self.repetition.what.nodeid}: {text}",
            deadline_s=self.repetition.pace_deadline_s(),
        )
        if done.kind != self.wanted and done.kind.verdict != "pass":
            self.others[str(done.kind)] = self.others.get(str(done.kind), 0) + 1
        return done.kind == self.wanted

    def _note(self, trial: Trial) -> None:
        self.trials.append(trial)
        self.tell(trial)
