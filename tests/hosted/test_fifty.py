"""The acceptance figure: a crash, a deadlock in native code and a wrong value among fifty good tests, from eight threads."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.hosted.fifty_tests import BAD
from tests.hosted.fifty_tests import GOOD
from tests.hosted.fifty_tests import SOURCE
from tests.hosted.fifty_tests import THREADS
from tests.ordinary.running import Ran
from tests.ordinary.running import run

ARGUMENTS = (f"--mps-threads={THREADS}", "--mps-all-tests", "--mps-device=sim", "-p", "no:run-parallel")


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Ran:
    return run(tmp_path_factory.mktemp("fifty"), SOURCE, *ARGUMENTS)


class TestFiftyTests:
    def test_none_is_lost_and_three_fail(self, ran: Ran) -> None:
        assert ran.counts() == {"passed": GOOD, "failed": BAD}
        assert f"{GOOD} PASSED" in ran.text

    def test_the_crash_names_the_authors_line(self, ran: Ran) -> None:
        block = ran.block("test_segfault")
        assert "CRASH SIGSEGV in 5 of 5 attempts" in block
        assert "ctypes.string_at" in SOURCE.splitlines()[_line(block, "test_segfault") - 1]

    def test_the_deadlock_is_found_by_threads_that_sleep_and_not_by_the_deadline(self, ran: Ran) -> None:
        block = ran.block("test_deadlock")
        assert "HANG in 2 of 2 attempts" in block
        assert "every thread asleep for " in block
        assert "pthread_mutex_lock(order[1])" in SOURCE.splitlines()[_line(block, "test_deadlock", -1) - 1]

    def test_the_wrong_value_is_a_race_with_its_assertion(self, ran: Ran) -> None:
        block = ran.block("test_wrong_value")
        assert "RACE in 5 of 5 attempts" in block
        assert "Tensor-likes are not close!" in block

    def test_each_failure_needs_the_threads(self, ran: Ran) -> None:
        for name in ("test_segfault", "test_deadlock", "test_wrong_value"):
            assert "control: one thread, same total work: 0 of " in ran.block(name)

    def test_all_has_records(self, ran: Ran) -> None:
        (file,) = ran.folder.glob("results/runs/*/*.jsonl")
        records = [json.loads(line) for line in file.read_text().splitlines()]
        items = [one for one in records if one["kind"] == "item"]
        assert len(items) == GOOD + BAD
        ends = sum(one["kind"] == "attempt_end" and not one.get("amends") for one in records)
        assert ends == sum(one["kind"] == "attempt_start" for one in records)


def _line(block: str, function: str, index: int = 0) -> int:
    """Return the number of the line of the test file in which `function` stood, as the stacks of the block have it."""
    lines = [one for one in block.splitlines() if one.strip().startswith(f"{function} (")]
    return int(lines[index].rpartition(":")[2].rstrip(")"))


IMPORTS = """
import os

with open("imports.log", "a") as file:
    file.write(f"{os.getpid()}\\n")
%s

def test_crashes(thread_index):
    if thread_index:
        os.abort()

def test_passes():
    pass
"""


@pytest.mark.parametrize(
    ("more", "is_imported_again"),
    [
        ("", False),
        ("import threading\nthreading.Thread(target=threading.Event().wait, daemon=True).start()", True),
    ],
)
def test_a_file_is_imported_once_unless_that_leaves_threads(
    tmp_path: Path, more: str, *, is_imported_again: bool
) -> None:
    """A fork has none of the threads: who waits for one would wait for ever."""
    arguments = ("--mps-threads=2", "--mps-all-tests", "--mps-device=cpu", "--mps-attempts=3")
    ran = run(tmp_path, IMPORTS % more, *arguments, "-p", "no:run-parallel")
    assert ran.counts() == {"passed": 1, "failed": 1}
    imports = len((tmp_path / "imports.log").read_text().splitlines())
    assert imports > 5 if is_imported_again else imports == 1


SEEDS = """
import torch

assert torch.backends.mps.is_available()

def test_seeds():
    torch.manual_seed(230)
    x = torch.randn(5, device="mps")
    torch.manual_seed(230)
    assert torch.equal(x, torch.randn(5, device="mps"))
"""


def test_a_file_that_asks_for_the_device_can_seed_it(tmp_path: Path) -> None:
    """Torch takes the device for lost in a fork of a process that asked."""
    arguments = ("--mps-threads=1", "--mps-all-tests", "--mps-device=sim", "-p", "no:run-parallel")
    assert run(tmp_path, SEEDS, *arguments).counts() == {"passed": 1}
