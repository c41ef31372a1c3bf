"""What runs once is not taken for threaded, and what fails alone is not taken for a race."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.ordinary.running import ALL
from tests.ordinary.running import Ran
from tests.ordinary.running import run

THREADS = ("--mps-threads=8", "--mps-device=cpu", "--mps-no-isolation")
ONCE = '''
import pytest

@pytest.mark.parametrize("number", range(3))
def test_plain(number):
    """
    >>> 1 + 1
    2
    """

def test_skipped():
    pytest.skip("not here")

@pytest.mark.mps_stress(threads=1)
def test_one_thread():
    pass

@pytest.mark.mps_stress(threads=2)
def test_two_threads():
    pass
'''


class TestWhatRunsOnce:
    def test_is_counted_where_threads_were_asked_for(self, tmp_path: Path) -> None:
        ran = run(tmp_path, ONCE, "-q", "--doctest-modules", "test_it.py", *THREADS)
        assert ran.code == 0
        assert (
            "mps-stress: 4 ordinary tests ran once, on one thread: --mps-all-tests or @pytest.mark.mps_stress runs "
            "them from threads" in ran.text
        )
        assert "mps-stress: 1 ordinary test, 16 calls from threads" in ran.text
        assert "mps-stress: not threaded: one thread" in ran.text

    def test_is_counted_by_workers_too(self, tmp_path: Path) -> None:
        ran = run(tmp_path, ONCE, "-n1", "test_it.py", *THREADS)
        assert "mps-stress: 3 ordinary tests ran once, on one thread" in ran.text

    def test_is_named_where_all_tests_were_to_run_from_threads(self, tmp_path: Path) -> None:
        ran = run(tmp_path, ONCE, "--doctest-modules", *ALL, "--mps-device=cpu")
        assert "ran once" not in ran.text
        assert "mps-stress: not threaded: DoctestItem is no test function, one thread" in ran.text

    def test_is_nobodys_business_without_threads(self, tmp_path: Path) -> None:
        assert "ran once" not in run(tmp_path, ONCE).text


ALONE = """
import threading
import pytest

CALLS = []

def test_fails_when_repeated():
    CALLS.append(1)
    assert len(CALLS) < 20

class Counter:
    value = 0

def test_race(thread_index):
    Counter.value = thread_index
    for _ in range(2000):
        pass
    assert Counter.value == thread_index

BROKEN = []

def test_race_that_leaves_broken_state(thread_index):
    BROKEN.append(1)
    if len(BROKEN) <= 64:  # the calls from threads, whichever is first
        raise ValueError("a race")
    raise RuntimeError("what the race left behind")

def test_sees_its_own_numbers(thread_index, iteration_index):
    assert (thread_index, iteration_index) != (5, 3)

def test_always():
    assert False

@pytest.mark.xfail
def test_expected():
    assert False
"""


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Ran:
    return run(tmp_path_factory.mktemp("alone"), ALONE, *ALL, "--mps-device=cpu")


class TestATestThatFailedFromThreads:
    def test_and_alone_too_shows_no_race(self, alone: Ran) -> None:
        told = alone.message("test_fails_when_repeated")
        assert re.match(
            r"fails on one thread too, no race shown: failed in \d\d of 64 calls \(threads 0, 1", told
        )
        block = alone.block("test_fails_when_repeated")
        assert "control: on one thread, call 1 of 64 fails with the same error, so no race is shown." in block
        way_out = "pytest 'test_it.py::test_fails_when_repeated' --mps-all-tests --mps-threads=1 --mps-iterations=64"
        assert way_out in block
        assert "sometimes fails" not in block

    def test_and_not_alone_is_a_race(self, alone: Ran) -> None:
        assert alone.message("test_race").startswith("sometimes fails: failed in ")
        assert "control: one thread, same 64 calls: 0 failed" in alone.block("test_race")

    def test_and_otherwise_alone_is_not_excused(self, alone: Ran) -> None:
        name = "test_race_that_leaves_broken_state"
        assert "no race shown" not in alone.message(name)
        assert (
            "control: on one thread, call 1 of 64 fails otherwise: RuntimeError: what the race left behind. The "
            "threads may have left broken state behind" in alone.block(name)
        )

    def test_makes_the_same_calls_alone(self, alone: Ran) -> None:
        block = alone.block("test_sees_its_own_numbers")
        assert "control: on one thread, call 30 of 64 fails with the same error" in block, "3 * 8 + 5, from 0"

    def test_always_fails_as_before(self, alone: Ran) -> None:
        assert alone.message("test_always").startswith("always fails: 64 of 64 calls")
        assert "call 1 of 64 fails with the same error, so no race is shown" in alone.block("test_always")

    def test_and_hangs_alone_is_not_excused(self, tmp_path: Path) -> None:
        source = """
        import threading
        barrier = threading.Barrier(4)
        def test_meets(thread_index):
            barrier.wait()
            assert thread_index != 2
        """
        ran = run(
            tmp_path, source, "--mps-threads=4", "--mps-all-tests", "--mps-no-isolation", "--mps-deadline=3"
        )
        assert "sometimes fails" in ran.message("test_meets")
        assert "control: one thread did not get through the same 32 calls in 3 s" in ran.block("test_meets")
