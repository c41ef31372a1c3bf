"""Which tests run from threads, and how that goes together with pytest's options and other plugins."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.ordinary.running import ALL
from tests.ordinary.running import run

COUNTING = """
import threading
import pytest

calls = {}
lock = threading.Lock()

def count(name):
    with lock:
        threads, times = calls.setdefault(name, (set(), []))
        threads.add(threading.get_ident())
        times.append(1)

@pytest.fixture(scope="module", autouse=True)
def told():
    yield
    for name, (threads, times) in sorted(calls.items()):
        print(f"{name}: {len(threads)} threads, {len(times)} calls;")

@pytest.mark.mps_stress(threads=3, iterations=5)
def test_counts():
    count("counts")

@pytest.mark.mps_stress(threads=3)
def test_threads():
    count("threads")

@pytest.mark.mps_stress
def test_bare():
    count("bare")

def test_plain():
    count("plain")
"""


class TestCounts:
    @pytest.mark.parametrize(
        ("args", "expected"),
        [
            ((), ("counts: 3 threads, 15 calls", "threads: 3 threads, 24 calls", "bare: 1 threads, 1 calls", "plain: 1 threads, 1 calls")),
            (("--mps-threads=2,4", "--mps-no-isolation", "-m", "mps_stress or not mps_stress"), ("counts: 3 threads, 15 calls", "threads: 3 threads, 24 calls", "bare: 4 threads, 32 calls", "plain: 1 threads, 1 calls")),
            (("--mps-threads=4", "--mps-all-tests", "--mps-no-isolation", "--mps-iterations=3"), ("counts: 3 threads, 15 calls", "threads: 3 threads, 9 calls", "bare: 4 threads, 12 calls", "plain: 4 threads, 12 calls")),
        ],
    )  # fmt: skip
    def test_marker_and_options(
        self, tmp_path: Path, args: tuple[str, ...], expected: tuple[str, ...]
    ) -> None:
        ran = run(tmp_path, COUNTING, "-s", *args)
        assert ran.code == 0
        for text in expected:
            assert text + ";" in ran.text

    @pytest.mark.parametrize(
        ("marker", "problem"),
        [
            ("threads=0", "threads=0"),
            ("iterations=0", "iterations=0"),
            ("threads='8'", "threads='8'"),
            ("threads=True", "threads=True"),
            ("workers=3", "workers"),
            ("1, 2, 3", "too many positional"),
        ],
    )
    def test_a_marker_that_makes_no_sense_is_a_usage_error(
        self, tmp_path: Path, marker: str, problem: str
    ) -> None:
        ran = run(tmp_path, f"import pytest\n@pytest.mark.mps_stress({marker})\ndef test_it(): pass\n")
        assert ran.code == 4
        assert "test_it.py::test_it: mps_stress: " in ran.text
        assert problem in ran.text
        assert "@pytest.mark.mps_stress(threads=8, iterations=10)" in ran.text


SUITE = """
import pytest
import unittest
from unittest import mock

@pytest.mark.parametrize("n", [1, 2, 3])
def test_one(n):
    assert n != 2

class TestIt:
    def test_two(self):
        pass

class Old(unittest.TestCase):
    def test_three(self):
        self.assertEqual(1, 1)

    @unittest.skip("no")
    def test_skipped(self):
        pass

    @unittest.expectedFailure
    def test_expected(self):
        self.assertEqual(1, 2)

class OldAsync(unittest.IsolatedAsyncioTestCase):
    async def test_four(self):
        self.assertEqual(1, 1)

@mock.patch("os.getcwd")
def test_patched(getcwd):
    pass
"""


class TestWithPytest:
    def test_a_mixed_suite(self, tmp_path: Path) -> None:
        ran = run(tmp_path, SUITE, *ALL)
        assert ran.counts() == {"failed": 1, "passed": 6, "skipped": 1, "xfailed": 1}
        for reason in ("skipped by unittest", "unittest.expectedFailure", "asyncio test case", "mock.patch"):
            assert reason in ran.text.partition("not threaded:")[2]

    def test_exit_first_keyword_and_last_failed(self, tmp_path: Path) -> None:
        assert run(tmp_path, SUITE, *ALL, "-x").counts() == {"failed": 1, "passed": 1}
        assert run(tmp_path, SUITE, *ALL, "-k", "two or three").counts() == {"passed": 2, "deselected": 7}
        run(tmp_path, SUITE, *ALL)
        assert run(tmp_path, SUITE, *ALL, "--lf").counts()["failed"] == 1

    def test_over_two_workers(self, tmp_path: Path) -> None:
        ran = run(tmp_path, SUITE, *ALL, "-n2")
        assert ran.counts() == {"failed": 1, "passed": 6, "skipped": 1, "xfailed": 1}
        assert "always fails: 64 of 64 calls" in ran.message("test_one[2]")
        assert "ordinary tests, 320 calls from threads" in ran.text
        assert "not threaded: " in ran.text

    def test_collecting_and_planning_run_nothing(self, tmp_path: Path) -> None:
        source = "def test_it(tmp_path, thread_index):\n    raise SystemExit\n"
        assert run(tmp_path, source, *ALL, "--collect-only").code == 0
        ran = run(tmp_path, source, *ALL, "--setup-plan")
        assert ran.code == 0
        assert "SETUP    F tmp_path" in ran.text

    def test_showing_set_up(self, tmp_path: Path) -> None:
        ran = run(tmp_path, "def test_it(tmp_path):\n    pass\n", *ALL, "--setup-show")
        assert ran.code == 0
        assert "TEARDOWN F tmp_path" in ran.text

    def test_junit_has_the_headline(self, tmp_path: Path) -> None:
        run(tmp_path, SUITE, *ALL, "--junitxml=out.xml")
        xml = (tmp_path / "out.xml").read_text()
        assert 'message="always fails: 64 of 64 calls: assert 2 != 2' in xml
        assert xml.count("<failure") == 1
        assert "<error" not in xml
        assert xml.count('<property name="mps_calls" value="64"') == 5
        assert xml.count('<property name="mps_overlap"') == 5

    def test_torch_is_not_imported(self, tmp_path: Path) -> None:
        source = "import sys\ndef test_it():\n    assert 'torch' not in sys.modules\n"
        assert run(tmp_path, source, *ALL).code == 0


class TestWithOtherPlugins:
    @pytest.mark.parametrize("args", [("--parallel-threads=4",), ("--iterations=2",)])
    def test_both_plugins_for_one_test_is_a_usage_error(self, tmp_path: Path, args: tuple[str, ...]) -> None:
        pytest.importorskip("pytest_run_parallel")
        ran = run(tmp_path, "def test_it(): pass\n", *ALL, *args)
        assert ran.code == 4
        assert "both mps-stress and pytest-run-parallel" in ran.text
        assert args[0].partition("=")[0] in ran.text
        assert "-p no:run-parallel" in ran.text

    def test_its_marker_for_tests_that_share_something_is_honoured(self, tmp_path: Path) -> None:
        pytest.importorskip("pytest_run_parallel")
        source = """
            import pytest, threading

            @pytest.mark.thread_unsafe(reason="shares")
            def test_unsafe():
                assert threading.current_thread() is threading.main_thread()

            @pytest.mark.parallel_threads(1)
            def test_one_thread():
                assert threading.current_thread() is threading.main_thread()
            """
        ran = run(tmp_path, source, *ALL)
        assert ran.counts()["passed"] == 2
        assert "not threaded: marked thread_unsafe (2)" in ran.text

    def test_hypothesis_drives_its_tests_itself(self, tmp_path: Path) -> None:
        pytest.importorskip("hypothesis")
        source = """
            from hypothesis import given, strategies

            @given(strategies.integers())
            def test_it(n):
                assert n == n
            """
        ran = run(tmp_path, source, *ALL)
        assert ran.counts() == {"passed": 1}
        assert "not threaded: Hypothesis calls the body itself" in ran.text

    def test_a_coverage_like_trace_function_stays_and_the_report_says_so(self, tmp_path: Path) -> None:
        """Coverage sets its trace function in every new thread in this way."""
        source = """
            import sys, threading

            def tracer(frame, event, arg):
                return None

            threading.settrace(tracer)

            def test_it():
                if sys.version_info < (3, 12):
                    assert sys.gettrace() is tracer
                assert False
            """
        ran = run(tmp_path, source, *ALL)
        if "assert sys.gettrace() is tracer" in ran.message("test_it"):
            pytest.fail("our tracer replaced another one")
        import sys

        if sys.version_info < (3, 12):
            assert "perturbation: none, the thread has a trace function already" in ran.text
