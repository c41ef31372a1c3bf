"""Which tests `mps-stress upstream` calls slower: beside what all tests of the run take longer than those of the baseline."""

from __future__ import annotations

import pytest

from stress.commands.upstream.baseline import SuiteBaseline
from stress.commands.upstream.news import news_of
from stress.commands.upstream.outcomes import SuiteOutcome

OTHERS = {f"test_mps.py::TestMPS::test_{number}": 2.0 for number in range(5)}
ONE = "test_mps.py::TestMPS::test_one"


def outcomes(seconds: dict[str, float], *, from_threads: bool) -> dict[str, SuiteOutcome]:
    return {
        name: SuiteOutcome("passed", alone_s=1.0, threads="pass", threads_s=taken, attempts=1)
        if from_threads
        else SuiteOutcome("passed", alone_s=taken)
        for name, taken in seconds.items()
    }


@pytest.mark.parametrize("from_threads", [False, True])
@pytest.mark.parametrize(("pace", "before", "after", "is_slower"), [
    (1, 2.0, 8.0, True),
    (1, 2.0, 5.9, False),  # not three times as long
    (1, 0.1, 4.0, False),  # not five seconds longer
    (4, 2.0, 16.0, False),  # a machine that is four times as slow
    (4, 2.0, 26.0, True),
    (1, 0.0, 60.0, False),  # the baseline has no time of it
])  # fmt: skip
def test_slower_is_more_than_the_machine(
    from_threads: bool, pace: float, before: float, after: float, is_slower: bool
) -> None:
    baseline = SuiteBaseline(tests=outcomes({**OTHERS, ONE: before}, from_threads=from_threads))
    slowed = {name: taken * pace for name, taken in OTHERS.items()}
    news = news_of(baseline, outcomes({**slowed, ONE: after}, from_threads=from_threads), is_whole=True)
    assert [one.kind for one in news if one.test == ONE] == (["SLOWER"] if is_slower else [])
    assert [one for one in news if one.test != ONE] == []
    for one in news:
        assert ("from threads" if from_threads else "alone") in one.text
        assert f"was {before:.1f} s (all tests: {pace:.1f} times)" in one.text
