"""Tests that do not end well: hangs, crashes, exits."""

from __future__ import annotations

from pathlib import Path

from tests.ordinary.running import ALL
from tests.ordinary.running import run

HANG = """
import threading

never = threading.Event()

def test_hang(thread_index, iteration_index):
    if thread_index in (2, 5) and iteration_index == 1:
        never.wait()

def test_next(thread_index):
    assert thread_index < 8
"""


class TestHang:
    def test_the_deadline_fails_the_test_with_stacks_and_the_next_one_runs(self, tmp_path: Path) -> None:
        ran = run(tmp_path, HANG, *ALL, "--mps-deadline=1.5")
        assert ran.code == 1
        assert ran.outcome("test_hang") == "FAILED"
        assert ran.outcome("test_next") == "PASSED"
        block = ran.block("test_hang")
        assert (
            "HANG: not done after 1.5 s; threads in the body: thread 2 in iteration 1, thread 5 in iteration 1"
            in block
        )
        assert "never.wait()" in block
        assert "thread 0, iteration 2, waiting for the other threads" in block

    def test_it_is_called_a_hang_in_one_line(self, tmp_path: Path) -> None:
        ran = run(tmp_path, HANG, *ALL, "--mps-deadline=1")
        assert "HANG: not done after 1 s" in ran.message("test_hang")

    def test_a_timeout_of_pytest_timeout_ends_too(self, tmp_path: Path) -> None:
        """There, with threads that were no daemons, the process never ended."""
        ran = run(tmp_path, HANG, *ALL, "--timeout=2", "--timeout-method=signal", "-k", "hang")
        assert ran.code == 1
        assert "Timeout" in ran.message("test_hang")


class TestCrash:
    SOURCE = """
        import os

        def test_before():
            pass

        def test_abort(thread_index, iteration_index):
            if thread_index == 3 and iteration_index == 2:
                os.abort()

        def test_after():
            pass
        """

    def test_the_journal_names_the_test_that_killed_the_run(self, tmp_path: Path) -> None:
        ran = run(tmp_path, self.SOURCE, *ALL)
        assert ran.code == -6
        journal = "".join(path.read_text() for path in sorted((tmp_path / "results").rglob("*.jsonl")))
        last = [line for line in journal.splitlines() if '"journal"' in line][-1]
        assert "test_it.py::test_abort" in last

    def test_a_worker_contains_it(self, tmp_path: Path) -> None:
        ran = run(tmp_path, self.SOURCE, *ALL, "-n1")
        assert ran.code == 1
        assert ran.outcome("test_before") == "PASSED"
        assert ran.outcome("test_after") == "PASSED"
        assert "crashed while running 'test_it.py::test_abort'" in ran.text

    def test_the_header_says_that_nothing_is_isolated(self, tmp_path: Path) -> None:
        ran = run(tmp_path, self.SOURCE, *ALL, "-k", "before")
        assert "1 ordinary test runs from threads inside this process, not isolated" in ran.text


class TestExit:
    def test_pytest_exit_in_a_thread_stops_the_run(self, tmp_path: Path) -> None:
        source = """
            import pytest

            def test_exit(thread_index):
                if thread_index == 2:
                    pytest.exit("enough", returncode=7)

            def test_never():
                pass
            """
        ran = run(tmp_path, source, *ALL)
        assert ran.code == 7
        assert "enough" in ran.text
        assert "test_never" not in ran.text

    def test_ctrl_c_while_threads_run_ends_the_run(self, tmp_path: Path) -> None:
        source = """
            import os, signal, threading

            never = threading.Event()

            def test_interrupted(thread_index):
                if thread_index == 0:
                    os.kill(os.getpid(), signal.SIGINT)
                never.wait()
            """
        ran = run(tmp_path, source, *ALL)
        assert ran.code == 2
        assert "KeyboardInterrupt" in ran.text

    def test_the_switch_interval_is_back_afterwards(self, tmp_path: Path) -> None:
        source = """
            import sys
            import pytest

            seen = set()

            def test_threads():
                seen.add(sys.getswitchinterval())

            @pytest.mark.mps_stress(threads=2)
            def test_failing():
                raise ValueError

            @pytest.fixture(scope="module", autouse=True)
            def interval():
                before = sys.getswitchinterval()
                yield
                assert sys.getswitchinterval() == before
                assert seen and max(seen) < before
            """
        ran = run(tmp_path, source, *ALL)
        assert ran.counts() == {"failed": 1, "passed": 1}
