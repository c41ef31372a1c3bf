"""What one run of the default command makes of a fault: read from its records, and counted over the faults."""

from __future__ import annotations

from typing import Any

import pytest

from benchmarks.default_command import Found
from benchmarks.default_command import _add
from benchmarks.default_command import text
from stress.commands.power.outcome import Kind
from stress.device.sim.zoo import BY_NAME

TORN = BY_NAME["copy_torn"]


def end(verdict: str, item: str = "scenarios/a.py::A[t8]", **more: Any) -> dict[str, Any]:
    return {"item": item, "verdict": verdict, "findings": [], "headline": "", **more}


@pytest.mark.parametrize(
    ("ends", "kind", "by"),
    [
        ([end("pass", strikes={TORN.name: 3})], Kind.CLEAN, ""),
        ([end("mismatch")], Kind.KILL, "scenarios/a.py::A[t8]"),
        ([end("mismatch", "scenarios/canary.py::LostUpdate[t8]")], Kind.CLEAN, ""),
        ([end("crash", "scenarios/b.py::B[t8]"), end("mismatch")], Kind.KILL, "scenarios/a.py::A[t8]"),
        ([end("mismatch"), end("crash", "scenarios/b.py::B[t8]")], Kind.KILL, "scenarios/a.py::A[t8]"),
        ([end("crash")], Kind.WRONG_VERDICT, "scenarios/a.py::A[t8]"),
        ([end("inconclusive")], Kind.CLEAN, ""),
    ],
)  # fmt: skip
def test_found_is_an_attempt_with_the_verdict_that_the_fault_declares(
    ends: list[dict[str, Any]], kind: str, by: str
) -> None:
    found = Found(TORN.name)
    for one in ends:
        _add(found, TORN, one)
    assert (found.kind, found.by) == (kind, by)
    assert found.strikes == (3 if "strikes" in ends[0] else 0)


def test_the_score_counts_other_verdicts_apart() -> None:
    rows = [
        Found("a", Kind.KILL, "native::x", "tsan"),
        Found("b", Kind.WRONG_VERDICT),
        Found("c", strikes=7),
        Found("d"),
    ]
    told = text(rows)
    assert "found in one run of the default command: 1 of 4 = 25 %" in told
    assert "1 more with another verdict" in told
    assert "| `c` | no, struck 7 times |" in told
