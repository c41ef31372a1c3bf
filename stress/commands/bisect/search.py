"""The search: the rate at the bad end, the good end checked, then halves, each decided by a sequential test. No processes here.

A build that does not fail in N attempts proves little where a failure comes in one attempt of twenty, and a wrong answer at
one build sends all that follow to the wrong half. So each build is attempted until the test decides, with an error
probability that the number of decisions divides: together they are wrong no more often than `confidence` allows.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from collections.abc import Sequence
from dataclasses import dataclass
from dataclasses import field

from stress.model.sequential import Rates
from stress.model.sequential import SequentialTest
from stress.model.sequential import estimate

GOOD_SHARE = 0.1
"""A build is good when its failure rate is this share of the bad end's, or less: it need not be zero."""
BAD_FAILURES = 12
"""So many failures at the bad end tell its rate."""
BATCH_MIN, BATCH_MAX = 20, 100
"""Attempts that are asked for at once: a build's process takes seconds to start."""
_BATCH_FAILURES = 3
"""So many failures are expected of a batch at a bad build: a decision takes some more, and few attempts are one too many."""


@dataclass(frozen=True)
class Batch:
    """What some attempts of a build came to."""

    failures: int
    n: int


RunBatch = Callable[[int, int], Batch | None]
"""Index of a build, attempts wanted -> what came of them (as many or fewer); None where the build cannot run it."""


@dataclass
class Probe:
    """One build, as far as it was looked at."""

    name: str
    failures: int = 0
    n: int = 0
    is_bad: bool | None = None
    """None: not decided, or not looked at."""
    cannot_run: bool = False


@dataclass
class Bisection:
    """One search over builds, the first of which is good and the last bad."""

    names: Sequence[str]
    run_batch: RunBatch
    time_is_up: Callable[[], bool]
    confidence: float = 0.99
    tell: Callable[[Probe], object] = lambda _: None
    probes: list[Probe] = field(default_factory=list)
    first_bad: int = 0
    """Index; what came in is known to be after `last_good` and not after this one."""
    last_good: int = 0
    problem: str = ""
    """Why there is no answer, or none to a single build."""

    def __post_init__(self) -> None:
        self.probes = [Probe(name) for name in self.names]
        self.first_bad = len(self.probes) - 1

    @property
    def decisions(self) -> int:
        """Return how many builds the search decides at most: the good end, and each half."""
        return 1 + math.ceil(math.log2(max(2, len(self.probes) - 1)))

    @property
    def error(self) -> float:
        """Return the error probability of one decision."""
        return (1 - self.confidence) / self.decisions

    @property
    def rates(self) -> Rates:
        bad = self.probes[-1]
        return Rates.below(estimate(bad.failures, bad.n), GOOD_SHARE)

    @property
    def is_single(self) -> bool:
        """Whether the build that brought it in is known."""
        return not self.problem and self.first_bad == self.last_good + 1

    def run(self) -> None:
        """Search until one build is left, or the time is up; `problem` says what kept it from that."""
        self.problem = self._measure_bad() or self._check_good()
        while not self.problem and (middle := self._next()) is not None:
            decided = self._decide(middle)
            if decided is None:
                if not self.probes[middle].cannot_run:
                    self.problem = f"the time was up at {self.probes[middle].name}, which is not decided"
            elif decided:
                self.first_bad = middle
            else:
                self.last_good = middle
        if not self.problem and not self.is_single:
            between = self.probes[self.last_good + 1 : self.first_bad]
            self.problem = f"{', '.join(one.name for one in between)} could not run it"

    def _measure_bad(self) -> str:
        bad = self.probes[-1]
        while bad.failures < BAD_FAILURES and not self.time_is_up():
            if not self._add(len(self.probes) - 1, self._batch()):
                return f"{bad.name} cannot run it"
        if not bad.failures:
            return f"0 of {bad.n} attempts at {bad.name}, which should be bad, failed as recorded"
        bad.is_bad = True
        self.tell(bad)
        return ""

    def _check_good(self) -> str:
        good, decided = self.probes[0], self._decide(0)
        if good.cannot_run:
            return f"{good.name} cannot run it"
        if decided is None:
            return f"the time was up at {good.name}, which is not decided"
        if decided:
            return (
                f"{good.name}, which should be good, fails as well: {good.failures} of {good.n} attempts; "
                "name an earlier one"
            )
        return ""

    def _next(self) -> int | None:
        """Return the build to look at: the nearest to the middle of what is left that can run it."""
        left = [
            index for index in range(self.last_good + 1, self.first_bad) if not self.probes[index].cannot_run
        ]
        middle = (self.last_good + self.first_bad) / 2
        return min(left, key=lambda index: abs(index - middle), default=None)

    def _decide(self, index: int) -> bool | None:
        """Attempt a build until the test decides; return whether it is bad, None where that is not known."""
        probe = self.probes[index]
        test = SequentialTest(self.rates, alpha=self.error, beta=self.error)
        while (decision := test.decision) is None and not self.time_is_up():
            if not (added := self._add(index, self._batch())):
                break
            test.failures, test.n = test.failures + added.failures, test.n + added.n
        probe.is_bad = decision
        self.tell(probe)
        return decision

    def _batch(self) -> int:
        """Return how many attempts to ask for: more where failures are rare, as far as is known by then."""
        bad = self.probes[-1]
        expected = math.ceil(_BATCH_FAILURES / estimate(bad.failures, bad.n)) if bad.n else BATCH_MIN
        return min(BATCH_MAX, max(BATCH_MIN, expected))

    def _add(self, index: int, attempts: int) -> Batch | None:
        probe = self.probes[index]
        added = self.run_batch(index, attempts)
        if added is None or not added.n:
            probe.cannot_run = True
            return None
        probe.failures, probe.n = probe.failures + added.failures, probe.n + added.n
        return added
