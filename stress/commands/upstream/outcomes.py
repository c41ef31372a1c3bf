"""What became of each test: put together from the records of a run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from dataclasses import field
from typing import Any

from stress.model.spec import TEST_S
from stress.model.verdict import Verdict

PASSED, FAILED, SKIPPED, XFAILED, CRASH, HANG = "passed", "failed", "skipped", "xfailed", "crash", "hang"
BAD = (FAILED, CRASH, HANG)
GREEN = str(Verdict.PASS)
TESTS_MAX = 100_000


@dataclass
class SuiteOutcome:
    """One test."""

    alone: str
    """"passed", "failed", "skipped", "xfailed", "crash" or "hang"."""
    text: str = ""
    """The line that matters, where it is not green."""
    alone_s: float = 0.0
    threads: str = ""
    """The verdict from threads, in the words of the records; empty where it did not run from threads."""
    threads_s: float = 0.0
    """Of its longest attempt."""
    failures: int = 0
    attempts: int = 0
    """That count, from threads."""

    @property
    def fails_alone(self) -> bool:
        return self.alone in BAD

    @property
    def fails_from_threads(self) -> bool:
        """Whether it passes alone and fails from threads: not where one thread fails as well that calls it as often."""
        return bool(self.threads) and Verdict(self.threads).is_failure

    @property
    def is_good(self) -> bool:
        """Whether it passes alone, or fails as expected, and does so from threads where it ran from them."""
        return self.alone in (PASSED, XFAILED) and not self.fails_from_threads

    @property
    def ran(self) -> bool:
        return self.alone in (PASSED, XFAILED) or self.fails_alone


@dataclass
class SuiteOutcomes:
    """Collects those of one run."""

    tests: dict[str, SuiteOutcome] = field(default_factory=dict)
    _seconds: dict[tuple[str, str], float] = field(default_factory=dict)

    def add(self, record: Mapping[str, Any]) -> None:
        """Take in a record of the run, of any kind."""
        kind = record["kind"]
        if kind == "attempt_end" and record["role"] in ("reference", "crew"):
            key = str(record["item"]), str(record["role"])
            seconds = (record.get("times") or {}).get(TEST_S, record["seconds"])
            self._seconds[key] = max(self._seconds.get(key, 0.0), float(seconds))
        elif kind == "item" and "alone" in record and len(self.tests) < TESTS_MAX:
            test = str(record["item"])
            from_threads = int(record["attempts"]) > 0
            self.tests[test] = SuiteOutcome(
                str(record["alone"]),
                str(record.get("headline", "")),
                self._seconds.pop((test, "reference"), 0.0),
                str(record["verdict"]) if from_threads else "",
                self._seconds.pop((test, "crew"), 0.0),
                int(record["failures"]),
                int(record["counted"]),
            )
