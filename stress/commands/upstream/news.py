"""What is new: the tests of a run beside those of the baseline."""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from collections.abc import Mapping
from dataclasses import dataclass

from stress.commands.upstream.baseline import SuiteBaseline
from stress.commands.upstream.outcomes import SKIPPED
from stress.commands.upstream.outcomes import SuiteOutcome

SLOWER_FACTOR, SLOWER_S_MIN = 3.0, 5.0
"""A test is slower where it takes so many times as long as the baseline's, after what all tests here take more, and by so much."""
_PACE_S_MIN = 0.05
"""Shorter tests say nothing about the machine."""


@dataclass(frozen=True)
class SuiteNews:
    """One test that differs from the baseline."""

    kind: str
    """"FAILS ALONE", "CRASHES ALONE", "HANGS ALONE", "RACE", "CRASH", "HANG", ... from threads, "NOT RUN", "SLOWER"."""
    test: str
    text: str


_ALONE = {"failed": "FAILS ALONE", "crash": "CRASHES ALONE", "hang": "HANGS ALONE"}


def news_of(baseline: SuiteBaseline, now: Mapping[str, SuiteOutcome], *, is_whole: bool) -> list[SuiteNews]:
    """Return what is new; `is_whole`: what the baseline has and this run has not is missing."""
    found = [one for test, outcome in now.items() for one in _of_test(baseline, test, outcome)]
    if is_whole:
        missing = [test for test, one in baseline.tests.items() if test not in now and _has_file(test, now)]
        found += [
            SuiteNews("NOT RUN", test, "in the baseline, and not among the tests of this tree")
            for test in missing
        ]
    return sorted([*found, *_slower(baseline, now)], key=lambda one: (one.kind, one.test))


def mended(baseline: SuiteBaseline, now: Mapping[str, SuiteOutcome]) -> list[str]:
    """Return the tests that fail alone in the baseline, and pass."""
    known = baseline.tests
    return [
        test
        for test, one in now.items()
        if test in known and known[test].fails_alone and one.alone == "passed"
    ]


def _of_test(baseline: SuiteBaseline, test: str, now: SuiteOutcome) -> Iterator[SuiteNews]:
    was = baseline.tests.get(test)
    if now.fails_alone:
        if was is None or was.alone != now.alone:
            yield SuiteNews(_ALONE[now.alone], test, now.text)
    elif now.alone == SKIPPED:
        if was is not None and was.ran:
            yield SuiteNews("NOT RUN", test, f"skipped: {now.text}")
    elif now.fails_from_threads and (was is None or was.threads != now.threads):
        before = f"0 of {was.attempts} before: " if was is not None and was.attempts else ""
        yield SuiteNews(f"{now.threads.upper()} FROM THREADS", test, f"{before}{now.text}")


def _slower(baseline: SuiteBaseline, now: Mapping[str, SuiteOutcome]) -> Iterator[SuiteNews]:
    for name in ("alone_s", "threads_s"):
        both = [
            (test, getattr(baseline.tests[test], name), getattr(one, name))
            for test, one in now.items()
            if test in baseline.tests and not one.fails_alone and not one.fails_from_threads
        ]
        ratios = [after / before for _, before, after in both if before >= _PACE_S_MIN]
        pace = max(1.0, statistics.median(ratios)) if ratios else 1.0
        for test, before, after in both:
            if before and after > SLOWER_FACTOR * pace * before and after - pace * before > SLOWER_S_MIN:
                where = "alone" if name == "alone_s" else "from threads"
                yield SuiteNews(
                    "SLOWER", test, f"{where} {after:.1f} s, was {before:.1f} s (all tests: {pace:.1f} times)"
                )


def _has_file(test: str, now: Mapping[str, SuiteOutcome]) -> bool:
    file = test.partition("::")[0]
    return any(one.startswith(f"{file}::") for one in now)
