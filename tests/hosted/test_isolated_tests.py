"""Ordinary tests in child processes: what becomes of each, with crashes, hangs and races beside tests that pass."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.ordinary.running import Ran
from tests.ordinary.running import run

ISOLATED = ("--mps-threads=4", "--mps-all-tests", "--mps-device=cpu", "-p", "no:run-parallel")
MIXED = '''
import ctypes
import os
import threading

import pytest
import torch

def is_crew():
    return threading.current_thread() is not threading.main_thread()

@pytest.mark.parametrize("number", range(6))
def test_good(number, thread_index, tmp_path):
    (tmp_path / "own").write_text(str(thread_index))
    assert float(torch.full((8,), float(number)).sum()) == 8 * number
    assert (tmp_path / "own").read_text() == str(thread_index)

def test_crash(thread_index):
    if is_crew() and thread_index == 1:
        ctypes.string_at(0)

def test_hang_with_the_gil(thread_index):
    if is_crew() and thread_index == 1:
        ctypes.PyDLL(None).pause()

class Shared:
    at_once = 0
    barrier = threading.Barrier(4)

class TestShared:
    def test_race(self, thread_index):
        """All four threads see what the last of them wrote."""
        if not is_crew():
            return
        Shared.at_once = thread_index
        Shared.barrier.wait()
        assert Shared.at_once == thread_index

    @pytest.mark.skip(reason="not today")
    def test_skipped(self):
        raise AssertionError

    @pytest.mark.xfail(reason="known")
    def test_expected(self):
        raise AssertionError

def test_changes_the_process(capsys):
    print("out")
    assert capsys.readouterr().out == "out\\n"

def test_fails_alone():
    assert 1 == 2

CALLS = []

def test_cannot_be_repeated():
    CALLS.append(1)
    assert len(CALLS) == 1

def test_after_all_of_them():
    pass
'''


def mixed(folder: Path) -> Ran:
    return run(folder, MIXED, *ISOLATED, "--mps-attempts=2", "--mps-deadline=4")


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Ran:
    return mixed(tmp_path_factory.mktemp("hosted"))


class TestEachTest:
    def test_none_takes_others_along(self, ran: Ran) -> None:
        assert ran.counts() == {"failed": 5, "passed": 8, "skipped": 1, "xfailed": 1}
        assert "mps: 15 ordinary tests, isolated: collected and run in child processes" in ran.text

    def test_that_kills_its_process_is_a_crash_with_the_authors_line(self, ran: Ran) -> None:
        block = ran.block("test_crash")
        assert "CRASH SIGSEGV in 2 of 2 attempts" in block
        assert "control: one thread, same total work: 0 of 2 failed" in block
        assert re.search(r"test_crash \(.*test_it.py:\d+\)", block)

    def test_that_keeps_the_gil_is_a_hang_with_stacks(self, ran: Ran) -> None:
        block = ran.block("test_hang_with_the_gil")
        assert "HANG in 2 of 2 attempts" in block
        assert re.search(r"threads? [\d, ]*\b1\b[\d, ]*: running, iteration 0, step", block)
        assert re.search(r"test_hang_with_the_gil \(.*test_it.py:\d+\)", block)

    def test_that_shares_state_is_a_race_which_one_thread_has_not(self, ran: Ran) -> None:
        block = ran.block("test_race")
        assert "RACE in 2 of 2 attempts" in block
        assert "calls (threads " in block
        assert "assert Shared.at_once == thread_index" in block

    def test_that_fails_alone_is_an_error_at_a_glance(self, ran: Ran) -> None:
        assert "fails on one thread, too: assert 1 == 2" in ran.block("test_fails_alone")
        assert "ERROR" in ran.block("test_fails_alone")

    def test_that_cannot_be_repeated_shows_no_race(self, ran: Ran) -> None:
        block = ran.block("test_cannot_be_repeated")
        assert "RACE in" not in block
        assert "fails on one thread, too, when it is called as often" in ran.text

    def test_that_changes_the_process_runs_once_and_says_why(self, ran: Ran) -> None:
        assert "note, 1 item: not threaded: uses capsys, which changes the whole process" in ran.text

    def test_has_records(self, ran: Ran) -> None:
        (file,) = ran.folder.glob("results/runs/*/*.jsonl")
        records = [json.loads(line) for line in file.read_text().splitlines()]
        ends = [
            one for one in records if one["kind"] == "attempt_end" and one["item"].endswith("::test_crash")
        ]
        assert [one["verdict"] for one in ends if one["role"] == "crew"] == ["crash", "crash"]
        starts = [one for one in records if one["kind"] == "attempt_start"]
        assert all(one["ordinary"] for one in starts)
        assert {one["scenario"] for one in starts} >= {"TestShared::test_race", "test_good[3]"}


FIXTURES = """
import os
from pathlib import Path
import pytest
import unittest

@pytest.fixture(scope="module", autouse=True)
def of_module(request):
    log(request, "up")
    yield
    log(request, "down")

def log(request, what):
    with open("fixtures.log", "a") as file:
        file.write(f"{os.getpid()} {what}\\n")

class TestOld(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.made = []

    def setUp(self):
        self.own = []

    def test_has_its_own_instance(self):
        self.own.append(1)

    def test_once_more(self):
        for number in range(3):
            with self.subTest(number=number):
                self.assertEqual(self.made, [])

def test_behind_the_class():
    pass
"""


class TestFixtures:
    def test_of_a_module_are_set_up_once_in_each_process_and_torn_down(self, tmp_path: Path) -> None:
        ran = run(tmp_path, FIXTURES, *ISOLATED, "--mps-attempts=3", "--mps-attempts-per-process=50")
        assert ran.counts() == {"passed": 3}
        lines = (tmp_path / "fixtures.log").read_text().split("\n")[:-1]
        processes = {line.split()[0] for line in lines}
        assert len(processes) == 2  # one for the runs on one thread, one for those from threads
        assert sorted(lines) == sorted(f"{pid} {what}" for pid in processes for what in ("up", "down"))


LOCALS = """
import threading
import unittest
import pytest
import torch

class TestDevice(unittest.TestCase):
    tls = threading.local()
    tls.precision = 0.5

    def setUp(self):
        self.tls.seen = True

    def test_reads_what_the_main_thread_has_set(self):
        self.assertTrue(self.tls.seen and self.tls.precision == 0.5)

    @unittest.expectedFailure
    def test_fails_late(self):
        torch.empty(3, device="mps").index_copy_(0, torch.tensor([9], device="mps"), torch.ones(1, device="mps"))
        raise AssertionError
"""


class TestUnittest:
    def test_thread_local_attributes_are_those_of_the_main_thread(self, tmp_path: Path) -> None:
        ran = run(tmp_path, LOCALS, *ISOLATED[:2], "--mps-device=sim", "--mps-attempts=1")
        assert ran.outcome("test_reads_what_the_main_thread_has_set") == "PASSED"

    def test_an_expected_failure_hides_no_error_of_the_device(self, tmp_path: Path) -> None:
        ran = run(tmp_path, LOCALS, *ISOLATED[:2], "--mps-device=sim", "--mps-attempts=1", "-k", "late")
        assert ran.counts()["failed"] == 1
        assert "at the synchronisation after the test" in ran.text


class TestSelection:
    SOURCE = """
import pytest

@pytest.mark.mps_stress(threads=2)
def test_marked(thread_index):
    pass

@pytest.mark.slow
class TestClass:
    @pytest.mark.parametrize("name", ["one", "two"])
    def test_named(self, name):
        pass
"""
    INI = "markers =\n    slow: takes long"

    def test_by_names_markers_and_node_ids(self, tmp_path: Path) -> None:
        arguments = ("test_it.py::TestClass", "test_it.py::test_marked", "-m", "slow", "-k", "not one", "-n2")
        ran = run(tmp_path, self.SOURCE, *ISOLATED, "--mps-attempts=1", *arguments, ini=self.INI)
        assert ran.counts() == {"passed": 1}
        assert ran.outcome("test_named[two]") == "PASSED"

    def test_without_all_tests_a_marked_one_is_isolated_and_others_run_once(self, tmp_path: Path) -> None:
        ran = run(tmp_path, self.SOURCE, *ISOLATED[:1], *ISOLATED[2:], "test_it.py", ini=self.INI)
        assert ran.counts() == {"passed": 3}
        assert "mps-stress: 1 ordinary test, 80 calls from threads" in ran.text
        assert "2 ordinary tests ran once, on one thread" in ran.text


def test_the_order_of_accesses_is_checked_too(tmp_path: Path) -> None:
    source = "import torch\nshared = torch.ones(8)\ndef test_shares():\n    shared.add_(1)\n"
    ran = run(tmp_path, source, *ISOLATED, "--mps-attempts=2", "--mps-order=strict")
    assert ran.counts() == {"failed": 1}
    assert "UNORDERED in 1 (1 checked the order) of 2 attempts" in ran.block("test_shares")
    assert "write after write" in ran.block("test_shares")


FILES = {
    "test_raises.py": "import no_such_module",
    "test_kills.py": "import os\nos.abort()",
    "test_skips.py": 'import pytest\npytest.skip("no GPU", allow_module_level=True)',
    "test_marks.py": "import pytest\n@pytest.mark.mps_stress(threads=0)\ndef test_it():\n    pass",
}
ON_DEVICE = """
import torch
ON_DEVICE = torch.ones(3, device=torch.accelerator.current_accelerator())

def test_it():
    assert float((ON_DEVICE + 1).sum()) == 6
"""


def test_files_are_imported_with_the_device_and_may_fail_to_be(tmp_path: Path) -> None:
    for name, source in FILES.items():
        (tmp_path / name).write_text(source)
    more = ("--mps-device=sim", "--mps-attempts=1", "--continue-on-collection-errors")
    ran = run(tmp_path, ON_DEVICE, *ISOLATED[:2], *more)
    assert ran.counts() == {"passed": 1, "skipped": 1, "errors": 3}
    assert "No module named 'no_such_module'" in ran.text
    assert "the child that imported it said nothing: it ended with -6" in ran.text
    assert "no GPU" in ran.text
    assert "mps_stress: threads=0; write @pytest.mark.mps_stress(threads=8" in ran.text
    assert "simulated device: this proves the detector" in ran.text


UNCHECKED_VALUES = """
import torch
from torch.nn import functional

def test_linear():
    device = torch.accelerator.current_accelerator()
    x, weight = torch.ones(64, 64, device=device), torch.ones(64, 64, device=device)
    for _ in range(20):
        functional.linear(x, weight)

def test_sum():
    assert float(torch.ones(8, device=torch.accelerator.current_accelerator()).sum()) == 8
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the simulated device is for Linux")
def test_a_promise_that_the_device_broke_fails_the_test_that_has_right_values(tmp_path: Path) -> None:
    more = ("--mps-device=sim", "--mps-attempts=1", "--mps-sim-faults=linear_shared_scratch:1")
    ran = run(tmp_path, UNCHECKED_VALUES, *ISOLATED[:2], *more)
    assert ran.counts() == {"failed": 1, "passed": 1}
    assert "UNKEPT" in ran.text
    assert "owner         the device" in ran.text
    sound = run(tmp_path, UNCHECKED_VALUES, *ISOLATED[:2], *more[:2])
    assert sound.counts() == {"passed": 2}


def test_replay_runs_a_recorded_attempt_again(ran: Ran) -> None:
    (folder,) = (ran.folder / "results" / "runs").iterdir()
    records = [json.loads(line) for file in folder.glob("*.jsonl") for line in file.read_text().splitlines()]
    serial = next(
        one["serial"] for one in records
        if one["kind"] == "attempt_end" and one["role"] == "crew" and one["item"].endswith("::test_race")
    )  # fmt: skip
    command = [sys.executable, "-m", "stress", "replay", f"{folder.name}/{serial}", "--attempts=2"]
    done = subprocess.run(command, cwd=ran.folder, capture_output=True, text=True, check=False)
    print(done.stdout, done.stderr)
    assert done.returncode == 0
    assert "TestShared::test_race, crew attempt 0" in done.stdout
    assert "fails 2 of 2" in done.stdout
    assert "2  RACE AssertionError   as recorded" in done.stdout or "2  RACE   as recorded" in done.stdout
