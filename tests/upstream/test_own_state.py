"""Why upstream's tests fail from threads on the simulated device: what they share is in one process, and the baseline names it.

They need the release's sources: `make core` puts them into build/pytorch-2.6.0; TESTS_PYTORCH names another place.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from stress.commands.upstream import baseline
from tests.sim.programs import ROOT
from tests.sim.programs import answer
from tests.upstream.from_processes import AT_ONCE

TREE = Path(os.environ.get("TESTS_PYTORCH", ROOT / "build" / "pytorch-2.6.0"))
KNOWN = baseline.read(baseline.SHIPPED / "pytorch-2.6.0a0-sim.json")


def failing_from_threads() -> list[str]:
    return [name for name, one in KNOWN.tests.items() if one.fails_from_threads]


def test_each_difference_from_threads_has_a_reason_that_says_whose_state_it_is() -> None:
    assert failing_from_threads()
    for name in failing_from_threads():
        reason = KNOWN.reason(name, from_threads=True)
        assert reason is not None, f"{name}: no reason"
        assert "the test's own" in reason.reason


@pytest.mark.slow
@pytest.mark.skipif(not (TREE / "test" / "test_mps.py").is_file(), reason=f"no PyTorch tree at {TREE}")
def test_they_fail_from_threads_of_one_process_and_from_no_processes() -> None:
    found = answer("tests.upstream.from_processes", str(TREE), *failing_from_threads())
    for name, failed in found.items():
        assert failed["processes"] == 0, (
            f"{name} fails from {AT_ONCE} processes, too: it is not the process's state"
        )
        assert failed["threads"] > 0, (
            f"{name} does not fail from threads: the reason of the baseline is not shown"
        )
