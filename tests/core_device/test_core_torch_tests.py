"""The benchmark that runs a tree's test_mps.py: what counts, and which failures have a reason."""

from __future__ import annotations

import os
import unittest

import pytest

from benchmarks import core_torch_tests as benchmark
from benchmarks.core_torch_tests import Outcome
from benchmarks.core_torch_tests import Reason


class Tests(unittest.TestCase):
    def passes(self) -> None:
        pass

    def fails(self) -> None:
        raise ValueError("no such value")

    def is_skipped(self) -> None:
        self.skipTest("not here")

    @unittest.expectedFailure
    def must_fail(self) -> None:
        raise ValueError("as on a Mac")

    @unittest.expectedFailure
    def must_fail_and_passes(self) -> None:
        pass

    @unittest.expectedFailure
    def must_fail_and_ends(self) -> None:
        os._exit(3)

    def ends(self) -> None:
        os.write(2, b"-[X y]: failed assertion `a rule'\n")
        os._exit(3)


@pytest.mark.parametrize(
    ("name", "outcome"),
    [
        ("passes", Outcome("passed")),
        ("fails", Outcome("failed", "ValueError: no such value")),
        ("is_skipped", Outcome("skipped")),
        ("must_fail", Outcome("as_expected", "ValueError: as on a Mac")),
        ("must_fail_and_passes", Outcome("unexpected")),
        ("must_fail_and_ends", Outcome("as_expected", "child ended with 3")),
        ("ends", Outcome("ended", "a rule")),
    ],
)
def test_what_becomes_of_a_test(name: str, outcome: Outcome) -> None:
    assert benchmark._run_alone(Tests(name)) == outcome


def test_the_rate_is_of_tests_that_pass_on_a_mac(capsys: pytest.CaptureFixture[str]) -> None:
    kinds = ("passed", "passed", "passed", "ended", "as_expected", "unexpected", "skipped")
    benchmark.show({f"f.Tests.test_{at}": Outcome(kind) for at, kind in enumerate(kinds)})
    assert capsys.readouterr().out.splitlines()[-1].rstrip().endswith("75.0 %")


def test_a_failure_without_a_reason_is_listed(capsys: pytest.CaptureFixture[str]) -> None:
    reasons = [Reason("tree", "no barrier", ("*test_mm_*",))]
    known = {"f.Tests.test_mm_2": Outcome("failed", "wrong"), "f.Tests.test_other": Outcome("skipped")}
    assert not benchmark.show_reasons(known, reasons)
    assert "    1 tree: no barrier" in capsys.readouterr().out
    assert benchmark.show_reasons({**known, "f.Tests.test_new": Outcome("late")}, reasons)
    assert "without a reason: f.Tests.test_new: late" in capsys.readouterr().out


def test_each_reason_names_a_side_and_tests() -> None:
    for one in benchmark.read_reasons():
        assert one.side in benchmark.SIDES
        assert one.why
        assert one.tests
