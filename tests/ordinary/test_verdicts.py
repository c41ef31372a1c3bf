"""Strict verdicts: what another plugin reported green (peers.md 2.4), and what must stay green."""

from __future__ import annotations

import re

import pytest

from tests.ordinary.running import ALL
from tests.ordinary.running import Ran
from tests.ordinary.running import run

CASES = """
import asyncio, sys, threading, unittest, warnings
import pytest

def test_skip_beside_failures(thread_index):
    if thread_index == 0:
        pytest.skip("zero")
    assert False

def test_keyboard_interrupt_in_one_thread(thread_index):
    if thread_index == 3:
        raise KeyboardInterrupt

def test_system_exit_in_all():
    sys.exit(2)

def test_warning_raised():
    raise UserWarning("as an error")

async def test_async():
    assert False

def test_coroutine_returned():
    async def body():
        assert False
    return body()

def test_future_returned():
    class Awaitable:
        def __await__(self):
            yield
    return Awaitable()

def test_generator_returned():
    return (value for value in [1])

def test_eight_errors(thread_index):
    raise ValueError(f"from thread {thread_index}")

def test_base_exception(thread_index):
    if thread_index == 5:
        raise GeneratorExit("odd")

def test_all_skip():
    pytest.skip("nothing here")

def test_unittest_skip():
    raise unittest.SkipTest("nothing here either")

def test_some_skip(thread_index):
    if thread_index in (0, 4):
        pytest.skip("only some")

def test_skip_in_the_second_half(iteration_index):
    if iteration_index >= 4:
        pytest.skip("later")

def test_three_of_64(thread_index, iteration_index):
    if iteration_index == 2:
        assert thread_index not in (0, 4, 5), "planted"

def test_error_in_a_thread_of_the_body(thread_index):
    if thread_index == 0:
        thread = threading.Thread(target=lambda: 1 / 0, name="helper")
        thread.start()
        thread.join()

never = threading.Event()

def test_thread_left_running(thread_index, iteration_index):
    if thread_index == 0 and iteration_index == 0:
        threading.Thread(target=never.wait, name="left-behind", daemon=True).start()

def test_thread_that_ends_in_time(thread_index):
    threading.Thread(target=sum, args=([1, 2],)).start()

def test_message_cannot_be_made():
    class Nasty(Exception):
        def __str__(self):
            raise RuntimeError("no text")
    raise Nasty

@pytest.mark.xfail(raises=ZeroDivisionError, strict=True)
def test_expected_failure(thread_index):
    1 / (thread_index - 1)

@pytest.mark.xfail(raises=KeyError, strict=True)
def test_other_failure_than_expected():
    1 / 0

@pytest.mark.xfail(strict=True)
def test_unexpected_pass():
    pass

def test_imperative_xfail():
    pytest.xfail("known")

def test_xfail_beside_failure(thread_index):
    if thread_index == 0:
        pytest.xfail("known")
    assert False

def test_value_returned():
    return 3

def test_fine():
    pass
"""


@pytest.fixture(scope="module")
def cases(tmp_path_factory: pytest.TempPathFactory) -> Ran:
    return run(tmp_path_factory.mktemp("verdicts"), CASES, *ALL)


class TestWhatMustNotPass:
    @pytest.mark.parametrize(
        ("name", "text"),
        [
            ("test_skip_beside_failures", "failed in 56 of 64 calls (threads 1, 2, 3, 4, 5, 6, 7)"),
            ("test_keyboard_interrupt_in_one_thread", "failed in 8 of 64 calls (thread 3)"),
            ("test_system_exit_in_all", "SystemExit(2) in thread 0, iteration 0"),
            ("test_warning_raised", "always fails: 64 of 64 calls: UserWarning: as an error"),
            ("test_async", "async def functions are not natively supported"),
            ("test_coroutine_returned", "a coroutine that nothing awaited: its body never ran"),
            ("test_future_returned", "Awaitable, which nothing awaited"),
            ("test_generator_returned", "a generator that nothing advanced: its body never ran"),
            ("test_eight_errors", "ValueError: from thread 0"),
            ("test_base_exception", "the body raised GeneratorExit: odd in thread 5, iteration 0"),
            ("test_some_skip", "16 of 64 calls skipped (threads 0, 4: Skipped: only some)"),
            ("test_skip_in_the_second_half", "32 of 64 calls skipped"),
            (
                "test_three_of_64",
                "fails on one thread too, no race shown: failed in 3 of 64 calls (threads 0, 4, 5)",
            ),
            ("test_error_in_a_thread_of_the_body", "(helper, helper, helper, ...) raised ZeroDivisionError"),
            ("test_thread_left_running", "the body left a thread running: left-behind"),
            ("test_message_cannot_be_made", "always fails: 64 of 64 calls"),
            ("test_other_failure_than_expected", "ZeroDivisionError"),
            ("test_unexpected_pass", "[XPASS(strict)]"),
            ("test_xfail_beside_failure", "failed in 56 of 64 calls"),
        ],
    )
    def test_it_fails_and_says_why(self, cases: Ran, name: str, text: str) -> None:
        assert cases.outcome(name) == "FAILED"
        assert text in cases.message(name) + cases.block(name)

    def test_the_session_went_on_to_its_end(self, cases: Ran) -> None:
        assert cases.code == 1
        assert cases.counts()["failed"] == 19

    def test_every_kind_of_error_is_shown_with_thread_and_iteration(self, cases: Ran) -> None:
        block = cases.block("test_eight_errors")
        for thread in range(8):
            assert f"8 x ValueError: from thread {thread} " in block
        assert "thread 1, iteration 0:" in block
        assert "thread 2, iteration 0:" in block

    def test_equal_errors_are_one_line(self, cases: Ran) -> None:
        block = cases.block("test_three_of_64")
        assert block.count("3 x AssertionError: planted") == 1
        assert "(threads 0, 4, 5; first: thread 0, iteration 2)" in block

    def test_the_traceback_is_the_tests_own(self, cases: Ran) -> None:
        block = cases.block("test_three_of_64")
        assert 'assert thread_index not in (0, 4, 5), "planted"' in block
        assert "plugin/ordinary" not in block
        assert "plugin/ordinary" not in cases.block("test_keyboard_interrupt_in_one_thread")

    def test_the_conditions_are_told(self, cases: Ran) -> None:
        block = cases.block("test_eight_errors")
        assert "8 threads x 8 iterations, seed 0x" in block
        assert "perturbation: low, at line boundaries" in block
        assert "% of the calls" in block


class TestWhatMustNotFail:
    @pytest.mark.parametrize(
        ("name", "outcome"),
        [
            ("test_fine", "PASSED"),
            ("test_thread_that_ends_in_time", "PASSED"),
            ("test_value_returned", "PASSED"),
            ("test_expected_failure", "XFAIL"),
            ("test_imperative_xfail", "XFAIL"),
        ],
    )
    def test_outcome(self, cases: Ran, name: str, outcome: str) -> None:
        assert cases.outcome(name) == outcome

    def test_skipped_by_all_calls_is_a_skip(self, cases: Ran) -> None:
        assert cases.counts()["skipped"] == 2
        assert "nothing here either" in cases.text

    def test_a_returned_value_gets_pytests_own_warning(self, cases: Ran) -> None:
        assert "Test functions should return None, but test_it.py::test_value_returned" in cases.text

    def test_the_closing_line_tells_calls_and_overlap(self, cases: Ran) -> None:
        assert re.search(
            r"calls from threads; \d+% of the calls overlapped with another thread's", cases.text
        )
        assert "not threaded: async function" in cases.text
