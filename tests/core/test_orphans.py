"""Whoever is killed, nothing is left running: not the fork server, not the children, not what they started."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import psutil
import pytest

from stress.record import RunReader
from tests.core.processes import WAIT_S_MAX
from tests.core.processes import pid_in
from tests.core.processes import start_pytest
from tests.core.processes import wait_for
from tests.core.processes import wait_until_gone
from tests.core.processes import write_scenarios

HANGS = """
import ctypes, subprocess

def note(name, pid):
    with open(name + ".part", "w") as file:
        file.write(f"{pid}\\n")
    os.replace(name + ".part", name)

class Hangs(Scenario):
    iterations = 1
    def step(self, state, x):
        if threading.current_thread().name == "crew-0-0":
            note("grandchild", subprocess.Popen(["sleep", "1000"], stdin=subprocess.DEVNULL).pid)
            note("server", os.getppid())
            note("child", os.getpid())
            libc = ctypes.PyDLL(None)  # keeps the GIL: no Python code of this process runs any more
            while True:
                libc.pause()
        return torch.ones(2) * stress.current().thread_index

class IsFine(Scenario):
    iterations = 1
    def step(self, state, x):
        return torch.ones(2) * stress.current().thread_index
"""

pytestmark = pytest.mark.skipif(os.name != "posix", reason="process groups")


class Pytest:
    """A pytest process that is killed at the end of the test in any case."""

    def __init__(self, folder: Path, *args: str, **environment: str) -> None:
        self.folder = folder
        self.process = start_pytest(folder, "--mps-threads=2", "--mps-attempts=1", *args, **environment)

    @property
    def output(self) -> str:
        return (self.folder / "output").read_text()

    @property
    def records(self) -> RunReader:
        (folder,) = (self.folder / "results" / "runs").iterdir()
        return RunReader(folder)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def __enter__(self) -> Pytest:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()


def start_hang(folder: Path, **environment: str) -> tuple[Pytest, dict[str, int]]:
    """Start a run and wait until its child hangs; return it and the process ids."""
    write_scenarios(folder, HANGS)
    run = Pytest(folder, "--mps-deadline=600", **environment)
    wait_for("the hang", lambda: pid_in(folder / "child") or run.process.poll() is not None)
    assert run.process.poll() is None, run.output
    pids = {name: pid_in(folder / name) or 0 for name in ("server", "child", "grandchild")}
    return run, pids


class TestAKilledPytest:
    @pytest.mark.parametrize("method", ["fork", "spawn"])
    def test_takes_everything_along_and_leaves_a_start_without_an_end(
        self, tmp_path: Path, method: str
    ) -> None:
        run, pids = start_hang(tmp_path, MPS_STRESS_START_METHOD=method)
        with run:
            helpers = [one.pid for one in psutil.Process(run.process.pid).children(recursive=True)]
            assert {pids["child"], pids["grandchild"]} <= set(helpers)
            assert (pids["server"] == run.process.pid) == (method == "spawn")
            run.kill()
            wait_until_gone(*helpers)
        reader = run.records
        kinds = [one["kind"] for one in reader]
        assert kinds == ["run", "attempt_start", "attempt_end", "attempt_start"]
        (unfinished,) = reader.unfinished
        assert unfinished.item == "scenarios/subject.py::Hangs[t2]"
        assert (unfinished.role, unfinished.attempt) == ("crew", 0)
        assert not reader.problems
        assert not reader.torn_lines


class TestAnInterruptedPytest:
    def test_takes_everything_along_and_closes_the_record(self, tmp_path: Path) -> None:
        run, pids = start_hang(tmp_path)
        with run:
            helpers = [one.pid for one in psutil.Process(run.process.pid).children(recursive=True)]
            run.process.send_signal(signal.SIGINT)
            assert run.process.wait(WAIT_S_MAX) == pytest.ExitCode.INTERRUPTED
            wait_until_gone(*helpers, *(pids[name] for name in ("child", "grandchild")))
            assert "INTERNALERROR" not in run.output
        last = list(run.records)[-1]
        assert last["kind"] == "run_end"
        assert last["exit_status"] == pytest.ExitCode.INTERRUPTED


class TestAKilledForkServer:
    def test_costs_one_item_and_the_run_goes_on(self, tmp_path: Path) -> None:
        run, pids = start_hang(tmp_path)
        with run:
            os.kill(pids["server"], signal.SIGKILL)
            assert run.process.wait(WAIT_S_MAX) == pytest.ExitCode.TESTS_FAILED, run.output
            wait_until_gone(*pids.values())
        reader = run.records
        items = {one["item"].rpartition("::")[2]: one for one in reader if one["kind"] == "item"}
        assert items["Hangs[t2]"]["verdict"] == "inconclusive"
        assert "fork server" in items["Hangs[t2]"]["headline"]
        assert items["IsFine[t2]"]["verdict"] == "pass"
        assert not reader.unfinished
        assert "Traceback" not in run.output
