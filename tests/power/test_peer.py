"""What a session of the other tool found, from its report file and its end; and a real session on the CPU."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

import pytest

from benchmarks.power.peer import job
from benchmarks.power.peer.job import Case
from benchmarks.power.peer.job import Job
from benchmarks.power.peer.session import Peer
from benchmarks.power.peer.session import result_of
from benchmarks.power.peer.tally import PeerTally
from benchmarks.power.peer.tally import SessionResult
from stress.commands.power.allocation import Entry
from stress.commands.power.runnable import resolve
from stress.commands.power.subject import Subject
from stress.device.sim.zoo import BY_NAME
from stress.model.verdict import Verdict

FINISHED: dict[str, Any] = {"finished": True}


def line(*, failed: bool, wrong_value: bool = False, text: str = "") -> dict[str, Any]:
    return {"test": "one", "failed": failed, "wrong_value": wrong_value, "text": text}


class TestResults:
    def test_every_failing_test_counts_by_how_it_failed(self) -> None:
        lines = [
            line(failed=False),
            line(failed=True, wrong_value=True, text="not close"),
            line(failed=True, text="boom"),
            FINISHED,
        ]
        expected = SessionResult((Verdict.MISMATCH, Verdict.RACE), 3, 4.0, "not close")
        assert result_of(1, lines, 4.0, "") == expected

    @pytest.mark.parametrize("number", [signal.SIGSEGV, signal.SIGABRT])
    def test_a_process_that_dies_is_a_crash_after_what_it_had_found(self, number: int) -> None:
        result = result_of(-number, [line(failed=True, wrong_value=True)], 4.0, "last words")
        assert result.failures == ("mismatch", "crash")

    def test_pytest_timeout_is_a_hang(self) -> None:
        text = "+++++++++++++++++++++ Timeout +++++++++++++++++++++"
        assert result_of(1, [line(failed=False)], 9.0, text).failures == ("hang",)

    def test_a_crash_at_exit_is_a_crash(self) -> None:
        assert result_of(-signal.SIGSEGV, [FINISHED], 4.0, "").failures == ("crash",)

    def test_a_session_without_a_failure_has_none(self) -> None:
        assert result_of(0, [line(failed=False), FINISHED], 4.0, "").failures == ()


class TestTally:
    def test_only_the_declared_verdict_kills(self) -> None:
        tally = PeerTally(Subject("upstream", BY_NAME["commit_twice"]))
        tally.add(result_of(1, [line(failed=True, wrong_value=True), FINISHED], 5.0, ""))
        tally.add(result_of(-signal.SIGABRT, [], 3.0, ""))
        assert (tally.kills, tally.sessions, tally.tests) == (1, 2, 1)
        assert tally.rate.per_s == pytest.approx(1 / 8)


def test_what_fails_without_a_fault_is_not_compared_and_then_left_out() -> None:
    ref = resolve(Entry("linear.py::SharedLinear", (("dtype", "float32"),))).ref
    left = {"one": Case("one", ref)}
    assert Peer._relax(left, "one", "not close\nmore") == "one: not compared (not close)"
    assert left == {"one": Case("one", ref, compares=False)}
    assert Peer._relax(left, "one", "boom") == "one: left out (boom)"
    assert left == {}


def test_a_job_is_read_as_it_was_written(tmp_path: Path) -> None:
    ref = resolve(Entry("linear.py::SharedLinear", (("dtype", "float16"),))).ref
    given = Job((Case("one", ref, compares=False),), 8, 7, None, "report")
    given.dump(tmp_path / "job")
    assert job.load(tmp_path / "job") == given


def test_real_sessions_on_the_cpu_run_scenarios_from_threads_and_find_nothing(tmp_path: Path) -> None:
    pytest.importorskip("pytest_run_parallel")
    entries = [
        resolve(Entry("linear.py::SharedLinear", (("dtype", "float32"),))),
        resolve(Entry("op_pairs.py::ProjectionBesideAttention")),
        resolve(Entry("autograd_threads.py::SharedGradient")),
    ]
    peer = Peer(None, 4, 1, tmp_path)
    notes = peer.calibrate("fork", entries)
    # Threads that add to one gradient have no value of their own that a test could compare.
    assert not [note for note in notes if "SharedGradient" not in note]
    assert list(tmp_path.iterdir()) == []
