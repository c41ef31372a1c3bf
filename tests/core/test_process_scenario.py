"""`ProcessScenario`: judged by how a fresh interpreter ends, with the marks that its body and finalisation leave."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.acceptance import Ran
from tests.acceptance import run_in

DEADLINE_S = 20
"""Of the program that never ends; by then it must have imported torch, on a busy machine, too."""

SOURCE = """
import atexit, ctypes, signal

class Passes(ProcessScenario):
    def body(self, device):
        assert device.type == "cpu"
        assert threading.current_thread() is threading.main_thread()
        assert "__main__" in sys.modules and "pytest" not in sys.modules

class Raises(ProcessScenario):
    def body(self, device):
        raise RuntimeError("the stream is gone")

class LeavesInTheBody(ProcessScenario):
    def body(self, device):
        os._exit(0)

class ExitsInTheBody(ProcessScenario):
    def body(self, device):
        sys.exit(0)

class SkipsFinalisation(ProcessScenario):
    def body(self, device):
        atexit.register(os._exit, 0)

class AbortsAtExit(ProcessScenario):
    def body(self, device):
        atexit.register(os.abort)

class SegfaultsInTheBody(ProcessScenario):
    def body(self, device):
        os.write(2, b"about to fall\\n")
        ctypes.string_at(0)

class ForksAndWaits(ProcessScenario):
    def body(self, device):
        pid = os.fork()
        if not pid:
            os._exit(7)
        _, status = os.waitpid(pid, 0)
        assert os.waitstatus_to_exitcode(status) == 7

class TwoColours(ProcessScenario):
    params = {"colour": ["red", "green"]}
    env = {"MPS_STRESS_COLOUR": "red"}
    def body(self, device):
        assert os.environ["MPS_STRESS_COLOUR"] == self.colour, "one colour is not another"
"""
NEVER_ENDS = """
class NeverEnds(ProcessScenario):
    def body(self, device):
        threading.Thread(target=time.sleep, args=(1000,), name="a thread that is not a daemon").start()
"""
ONCE = ("--mps-threads=1", "--mps-attempts=1", "-v")


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> tuple[Ran, Ran]:
    """The program that never ends waits for its deadline while the others run."""
    with ThreadPoolExecutor() as pool:
        waits = pool.submit(
            run_in, tmp_path_factory.mktemp("never"), NEVER_ENDS, f"--mps-deadline={DEADLINE_S}", *ONCE
        )
        return run_in(tmp_path_factory.mktemp("programs"), SOURCE, *ONCE), waits.result()


@pytest.fixture
def ran(both: tuple[Ran, Ran]) -> Ran:
    return both[0]


@pytest.fixture
def never_ended(both: tuple[Ran, Ran]) -> Ran:
    return both[1]


def end(ran: Ran, name: str) -> dict[str, object]:
    (only,) = ran.ends(f"{name}[t1]")
    return only


def block(ran: Ran, name: str) -> str:
    found = re.search(rf"^_+ {name}\[t1\] _+$(.*?)^(?:_+ |=+ )", ran.text, re.MULTILINE | re.DOTALL)
    assert found is not None, ran.text
    return found[1]


class TestABody:
    @pytest.mark.parametrize("name", ["Passes", "ForksAndWaits"])
    def test_that_ends_as_a_program_does_passes(self, ran: Ran, name: str) -> None:
        assert end(ran, name)["verdict"] == "pass"
        assert end(ran, name)["exit_status"] == 0

    def test_that_raises_is_a_race_with_its_trace(self, ran: Ran) -> None:
        assert end(ran, "Raises")["verdict"] == "race"
        assert "the body raised RuntimeError: the stream is gone" in block(ran, "Raises")
        assert 'raise RuntimeError("the stream is gone")' in block(ran, "Raises")

    def test_that_leaves_the_process_is_a_crash(self, ran: Ran) -> None:
        assert end(ran, "LeavesInTheBody")["verdict"] == "crash"
        assert "exit status 0 before its body finished" in block(ran, "LeavesInTheBody")

    def test_that_raises_system_exit_has_not_finished(self, ran: Ran) -> None:
        assert end(ran, "ExitsInTheBody")["verdict"] == "race"
        assert "the body raised SystemExit" in block(ran, "ExitsInTheBody")

    def test_that_dies_keeps_its_last_words_and_its_stack(self, ran: Ran) -> None:
        one = end(ran, "SegfaultsInTheBody")
        assert (one["verdict"], one["signal"]) == ("crash", "SIGSEGV")
        text = block(ran, "SegfaultsInTheBody")
        assert "about to fall" in text
        assert re.search(r"^ +body \(.*subject.py:\d+\)$", text, re.MULTILINE)


class TestTheEnd:
    def test_by_abort_while_finalising_is_an_exit_crash(self, ran: Ran) -> None:
        one = end(ran, "AbortsAtExit")
        assert (one["verdict"], one["signal"], one["signature"]) == ("crash", "SIGABRT", "process/exit-crash")
        assert "after the body had finished: while the interpreter finalised" in block(ran, "AbortsAtExit")

    def test_without_finalisation_is_a_crash(self, ran: Ran) -> None:
        one = end(ran, "SkipsFinalisation")
        assert (one["verdict"], one["exit_status"]) == ("crash", 0)
        assert "exit status 0 without finalising" in block(ran, "SkipsFinalisation")

    def test_that_never_comes_is_a_hang_and_names_what_it_waits_for(self, never_ended: Ran) -> None:
        assert end(never_ended, "NeverEnds")["verdict"] == "hang"
        text = block(never_ended, "NeverEnds")
        assert f"no end after {DEADLINE_S} s" in text
        assert "after the body had finished" in text
        assert "_shutdown" in text


class TestAnItem:
    def test_has_parameters_and_environment(self, ran: Ran) -> None:
        verdicts = {name: one["verdict"] for name, one in ran.items.items() if name.startswith("TwoColours")}
        assert verdicts == {
            "TwoColours[red-MPS_STRESS_COLOUR=red-t1]": "pass",
            "TwoColours[green-MPS_STRESS_COLOUR=red-t1]": "mismatch",
        }
        assert "AssertionError: one colour is not another" in ran.text

    def test_has_no_control_and_says_so(self, ran: Ran) -> None:
        assert "control: none (a process scenario)" in block(ran, "Raises")
        assert {one["role"] for one in ran.records if one["kind"] == "attempt_end"} == {"crew"}
