"""Attempts that die, hang or are killed: each is named, its evidence is kept, and the run goes on."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from tests.acceptance import Ran
from tests.acceptance import RunStress
from tests.acceptance import run_in
from tests.core.processes import wait_until_gone

DEADLINE_S = 2

# Every fault needs company, so that the sequential references and the one-thread control are fine.
HELPERS = """
import ctypes, signal, subprocess

def in_company():
    return sum(one.name.startswith("crew") for one in threading.enumerate()) > 1

class _Faulty(Scenario):
    iterations = 2
    def step(self, state, x):
        if in_company():
            self.fault()
        return torch.ones(2) * stress.current().thread_index
    def fault(self):
        raise NotImplementedError
"""

ENDINGS = (
    HELPERS
    + """
METAL = "-[AGXG13XFamilyCommandBuffer computeCommandEncoder]:1091: failed assertion `A command encoder is already encoding to this command buffer'"

def start_process(marker):
    started = subprocess.Popen(["sleep", "1000"], stdin=subprocess.DEVNULL)
    with open(marker, "w") as file:
        file.write(str(started.pid))

class Aborts(_Faulty):
    def fault(self):
        os.write(2, METAL.encode() + b"\\n")
        os.abort()

class Segfaults(_Faulty):
    def fault(self):
        ctypes.string_at(0)

class LeavesQuietly(_Faulty):
    def fault(self):
        os._exit(0)

class LeavesWithAStatus(_Faulty):
    def fault(self):
        os._exit(3)

class PretendsToBeTheFramework(_Faulty):
    def fault(self):
        os._exit(70)

class RaisesSystemExit(_Faulty):
    def fault(self):
        sys.exit(0)

class IsKilled(_Faulty):
    def fault(self):
        os.kill(os.getpid(), signal.SIGKILL)

class IsTerminated(_Faulty):
    def fault(self):
        os.kill(os.getpid(), signal.SIGTERM)

class SleepsForever(_Faulty):
    def setup(self, device):
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    def fault(self):
        if stress.current().thread_index == 0:
            start_process("grandchild-of-a-hang.pid")
        time.sleep(1000)

class HoldsTheInterpreterLock(_Faulty):
    def fault(self):
        libc = ctypes.PyDLL(None)  # unlike CDLL, keeps the GIL
        while True:
            libc.pause()

FIRST, SECOND = threading.Lock(), threading.Lock()
BOTH_HOLD_ONE = threading.Barrier(2)

class TakesTwoLocksInTwoOrders(Scenario):
    iterations = 1
    def forwards(self, state, x):
        if in_company() and stress.current().thread_index < 2:
            with FIRST:
                BOTH_HOLD_ONE.wait()
                with SECOND:
                    pass
        return torch.ones(2) * stress.current().thread_index
    def backwards(self, state, x):
        if in_company() and stress.current().thread_index < 2:
            with SECOND:
                BOTH_HOLD_ONE.wait()
                with FIRST:
                    pass
        return torch.ones(2) * stress.current().thread_index
    def steps(self):
        return [self.forwards, self.backwards]

class StartsAProcess(_Faulty):
    iterations = 1
    def fault(self):
        if stress.current().thread_index == 0:
            start_process("grandchild.pid")

class ZIsFine(_Faulty):
    def fault(self):
        pass
"""
)


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Ran:
    """One run of all endings."""
    folder = tmp_path_factory.mktemp("endings")
    return run_in(folder, ENDINGS, "--mps-attempts=1", f"--mps-deadline={DEADLINE_S}", "-v", "-rA")


def only_end(ran: Ran, name: str) -> dict[str, object]:
    (end,) = ran.ends(f"{name}[t4]")
    return end


def block(ran: Ran, name: str) -> str:
    """Return the failure block of one item."""
    found = re.search(rf"^_+ {name}\[t4\] _+$(.*?)^(?:_+ |=+ )", ran.text, re.MULTILINE | re.DOTALL)
    assert found is not None, ran.text
    return found[1]


class TestACrash:
    def test_by_abort_is_named_by_the_native_text(self, ran: Ran) -> None:
        end = only_end(ran, "Aborts")
        assert (end["verdict"], end["signal"]) == ("crash", "SIGABRT")
        assert end["signature"] == "metal/encoder-overlap"
        text = block(ran, "Aborts")
        assert "CRASH SIGABRT in 1 of 1 attempts" in text
        assert "signature: metal/encoder-overlap" in text
        assert "failed assertion `A command encoder is already encoding to this command buffer'" in text

    def test_leaves_the_last_stamps_of_all_threads(self, ran: Ran) -> None:
        stamps = only_end(ran, "Aborts")["stamps"]
        assert isinstance(stamps, list)
        assert {one["worker"] for one in stamps} == {0, 1, 2, 3, None}
        assert re.search(r"threads? [\d, ]+: running, iteration 0, step, op ", block(ran, "Aborts"))

    def test_by_a_segmentation_fault_keeps_the_python_stack(self, ran: Ran) -> None:
        end = only_end(ran, "Segfaults")
        assert (end["verdict"], end["signal"]) == ("crash", "SIGSEGV")
        assert re.search(r"^ +fault \(.*subject.py:\d+\)$", block(ran, "Segfaults"), re.MULTILINE)
        assert ran.folder is not None
        assert "string_at" in (ran.folder / str(end["stacks"])).read_text()

    @pytest.mark.parametrize(
        ("name", "status"), [("LeavesQuietly", 0), ("LeavesWithAStatus", 3), ("PretendsToBeTheFramework", 70)]
    )
    def test_is_also_an_exit_in_the_middle_of_the_work(self, ran: Ran, name: str, status: int) -> None:
        end = only_end(ran, name)
        assert (end["exit_status"], end["signal"]) == (status, None)
        assert end["verdict"] == "crash"
        assert f"exit status {status} at stage crew" in block(ran, name)

    def test_has_a_control_that_does_not_fail(self, ran: Ran) -> None:
        assert [one["verdict"] for one in ran.ends("Segfaults[t4]", "control")] == ["pass"]
        assert "control: one thread, same total work: 0 of 1 failed" in block(ran, "Segfaults")


class TestAnExceptionThatEndsPrograms:
    def test_is_a_race_and_not_an_end(self, ran: Ran) -> None:
        end = only_end(ran, "RaisesSystemExit")
        assert end["verdict"] == "race"
        assert "SystemExit" in block(ran, "RaisesSystemExit")


class TestASignalFromOutside:
    @pytest.mark.parametrize(("name", "signal"), [("IsKilled", "SIGKILL"), ("IsTerminated", "SIGTERM")])
    def test_says_nothing_about_the_device(self, ran: Ran, name: str, signal: str) -> None:
        assert only_end(ran, name)["verdict"] == "inconclusive"
        item = ran.items[f"{name}[t4]"]
        assert (item["verdict"], item["counted"], item["failures"]) == ("inconclusive", 0, 0)
        assert f"killed by {signal}, which the framework did not send" in block(ran, name)


class TestAHang:
    @pytest.mark.parametrize("name", ["SleepsForever", "HoldsTheInterpreterLock"])
    def test_ends_at_the_deadline_with_the_stacks_of_all_threads(self, ran: Ran, name: str) -> None:
        end = only_end(ran, name)
        assert end["verdict"] == "hang"
        assert ran.folder is not None
        stacks = (ran.folder / str(end["stacks"])).read_text()
        assert stacks.count("hread 0x") == 5, "four of the crew and the main thread"
        assert "in fault" in stacks
        text = block(ran, name)
        assert f"no end after {DEADLINE_S} s (stage crew" in text
        assert re.search(r"^ +fault \(.*subject.py:\d+\)$", text, re.MULTILINE)
        assert re.search(r"threads? [\d, ]+: running, iteration 0, step, op ", text)

    def test_of_two_locks_shows_both_places(self, ran: Ran) -> None:
        assert only_end(ran, "TakesTwoLocksInTwoOrders")["verdict"] == "hang"
        text = block(ran, "TakesTwoLocksInTwoOrders")
        assert re.search(r"^ +forwards \(.*subject.py:\d+\)$", text, re.MULTILINE)
        assert re.search(r"^ +backwards \(.*subject.py:\d+\)$", text, re.MULTILINE)
        assert "threads 2, 3: finished" in text

    def test_stops_the_item_after_two(self, run_stress: RunStress) -> None:
        source = HELPERS + (
            "class Hangs(_Faulty):\n    def fault(self):\n        time.sleep(1000)\n"
            "class Fine(_Faulty):\n    def fault(self):\n        pass\n"
        )
        ran = run_stress(source, "--mps-attempts=4", "--mps-deadline=1")
        item = ran.items["Hangs[t4]"]
        assert (item["attempts"], item["failures"]) == (2, 2)
        assert "stopped after 2 hangs" in ran.text
        assert ran.items["Fine[t4]"]["attempts"] == 4


class TestTheRun:
    def test_goes_on_after_every_end(self, ran: Ran) -> None:
        assert ran.items["ZIsFine[t4]"]["verdict"] == "pass"
        assert ran.result.ret == pytest.ExitCode.TESTS_FAILED
        ran.result.assert_outcomes(passed=2, failed=11)

    def test_shows_our_words_and_keeps_categories(self, ran: Ran) -> None:
        for name, word in {
            "Aborts": "CRASH SIGABRT",
            "Segfaults": "CRASH SIGSEGV",
            "LeavesQuietly": "CRASH",
            "RaisesSystemExit": "RACE",
            "IsKilled": "INCONCLUSIVE",
            "SleepsForever": "HANG",
            "ZIsFine": "PASSED",
        }.items():
            assert re.search(rf"::{name}\[t4\] {word} +\[", ran.text), name
            assert re.search(rf"^{word} scenarios/subject.py::{name}\[t4\]", ran.text, re.MULTILINE), name

    def test_counts_only_what_tells_about_the_device(self, ran: Ran) -> None:
        assert "\n9 of 13 items failed, 2 could not be decided\n" in ran.text


class TestNothingIsLeftBehind:
    @pytest.mark.parametrize("name", ["grandchild.pid", "grandchild-of-a-hang.pid"])
    def test_of_what_a_step_started(self, ran: Ran, name: str) -> None:
        assert ran.folder is not None
        pid = int((ran.folder.parents[2] / name).read_text())
        wait_until_gone(pid)

    def test_of_the_children(self, ran: Ran) -> None:
        pids = [int(one["pid"]) for one in ran.records if one["kind"] == "attempt_end"]
        assert len(pids) > 25
        wait_until_gone(*pids)

    def test_of_scratch_files(self, ran: Ran) -> None:
        assert ran.folder is not None
        kept = {end[key] for end in ran.records for key in ("stderr", "stacks") if end.get(key)}
        others = {path.name for path in ran.folder.iterdir()} - kept
        assert {Path(name).suffix for name in others} == {".jsonl"}, sorted(others)

    def test_outside_the_results(self, ran: Ran) -> None:
        assert ran.folder is not None
        left = {path.name for path in ran.folder.parents[2].iterdir()}
        assert left == {"scenarios", "results", "grandchild.pid", "grandchild-of-a-hang.pid"}
        assert os.listdir(ran.folder.parent) == [ran.folder.name]
