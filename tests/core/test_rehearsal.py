"""What isolation does where nothing of Linux' own can be used: a rehearsal of macOS, on which nothing has run.

`stress.model.system` answers as on macOS: children are spawned under guardians, nothing of /proc is read.
"""

from __future__ import annotations

import ast
import os
import signal
from pathlib import Path

import psutil
import pytest

from stress.model import system
from stress.record import RunReader
from tests.acceptance import Ran
from tests.acceptance import run_in
from tests.core.processes import start_pytest
from tests.core.processes import wait_for
from tests.core.processes import wait_until_gone
from tests.core.processes import write_scenarios

STRESS = Path(system.__file__).parents[1]
SOURCE = """
import ctypes, subprocess
import psutil

def in_company():
    return sum(one.name.startswith("crew") for one in threading.enumerate()) > 1

class _Faulty(Scenario):
    iterations = 1
    def step(self, state, x):
        if in_company():
            self.fault()
        return torch.ones(2) * stress.current().thread_index
    def fault(self):
        pass

class A_Fine(_Faulty):
    pass

class _First(Scenario):
    # Something that the first thread of a crew does, whatever the other one is at.
    iterations = 1
    def step(self, state, x):
        if threading.current_thread().name == "crew-0-0":
            self.first()
        return torch.ones(2) * stress.current().thread_index

class B_Leaks(_First):
    def first(self):
        torch.kept = torch.ones(600 << 18)  # of 4 bytes: more than a process may grow by

class C_Aborts(_Faulty):
    def fault(self):
        os.write(2, b"last words\\n")
        os.abort()

class D_HoldsTheInterpreterLock(_Faulty):
    def fault(self):
        libc = ctypes.PyDLL(None)
        while True:
            libc.pause()

FIRST, SECOND = threading.Lock(), threading.Lock()
BOTH_HOLD_ONE = threading.Barrier(2)

class E_Deadlocks(_Faulty):
    def fault(self):
        mine, other = (FIRST, SECOND) if stress.current().thread_index % 2 else (SECOND, FIRST)
        if stress.current().thread_index < 2:
            with mine:
                BOTH_HOLD_ONE.wait()
                with other:
                    pass

class F_IsWrong(_Faulty):
    def step(self, state, x):
        return torch.ones(2) * stress.current().thread_index + in_company()

class G_IsKilled(_Faulty):
    def fault(self):
        if stress.current().thread_index == 0:
            subprocess.run(["kill", "-9", str(os.getpid())])
        time.sleep(1000)

class H_NotesItsProcess(_First):
    def first(self):
        with open("pid", "w") as file:
            file.write(str(os.getpid()))

class I_IsMadeAfterAKill(_Faulty):
    def setup(self, device):
        if os.path.exists("pid"):
            with open("pid") as file:
                killed = psutil.Process(int(file.read()))
            killed.kill()
            # Its parent takes it for alive until its last thread has gone, too, which may be after the first one.
            while killed.status() != psutil.STATUS_ZOMBIE or len(os.listdir(f"/proc/{killed.pid}/task")) > 1:
                time.sleep(0.001)
            os.unlink("pid")
"""


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Ran:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(system.REHEARSAL, "macos")
        return run_in(
            tmp_path_factory.mktemp("rehearsal"), SOURCE, "--mps-threads=2", "--mps-attempts=1",
            "--mps-deadline=8", "--mps-perturb=off", "-v",
        )  # fmt: skip


def item(ran: Ran, name: str) -> dict[str, object]:
    return dict(ran.items[f"{name}[t2]"])


def only_end(ran: Ran, name: str) -> dict[str, object]:
    (end,) = ran.ends(f"{name}[t2]")
    return end


class TestARehearsal:
    def test_says_that_it_is_one(self, ran: Ran) -> None:
        assert (
            "mps: a rehearsal of macOS on linux (MPS_STRESS_REHEARSE): it proves nothing about macOS"
            in ran.text
        )

    def test_comes_to_the_verdicts_of_any_run(self, ran: Ran) -> None:
        assert {name[0]: one["verdict"] for name, one in ran.items.items()} == {
            "A": "pass", "B": "pass", "C": "crash", "D": "hang", "E": "hang", "F": "mismatch", "G": "inconclusive",
            "H": "pass", "I": "pass",
        }  # fmt: skip

    def test_counts_resident_sizes_in_bytes(self, ran: Ran) -> None:
        sizes = [one["memory_bytes_max"] for one in ran.records if one["kind"] == "attempt_end"]
        assert all(50 << 20 < size < 20 << 30 for size in sizes), sizes


class TestItsChildren:
    def test_keep_their_last_words(self, ran: Ran) -> None:
        end = only_end(ran, "C_Aborts")
        assert end["signal"] == "SIGABRT"
        assert ran.folder is not None
        assert set((ran.folder / str(end["stderr"])).read_text().splitlines()) == {"last words"}

    @pytest.mark.parametrize(
        ("name", "function"), [("D_HoldsTheInterpreterLock", "fault"), ("E_Deadlocks", "fault")]
    )
    def test_leave_their_stacks_where_they_hang(self, ran: Ran, name: str, function: str) -> None:
        assert ran.folder is not None
        stacks = (ran.folder / str(only_end(ran, name)["stacks"])).read_text()
        assert f"in {function}" in stacks

    def test_end_at_their_bound_of_memory(self, ran: Ran) -> None:
        assert only_end(ran, "B_Leaks")["age"] == 1
        assert item(ran, "B_Leaks")["notes"] == [
            "its process served no other attempt: memory did not come back"
        ]

    def test_are_killed_without_a_finding(self, ran: Ran) -> None:
        assert "killed by SIGKILL, which the framework did not send" in str(
            item(ran, "G_IsKilled")["headline"]
        )
        pid = only_end(ran, "H_NotesItsProcess")["pid"]
        assert item(ran, "I_IsMadeAfterAKill")["notes"] == [
            f"process {pid} was killed while it had nothing to do"
        ]

    def test_are_all_gone(self, ran: Ran) -> None:
        wait_until_gone(*(int(one["pid"]) for one in ran.records if one["kind"] == "attempt_end"))


class TestAKilledPytest:
    def test_leaves_no_worker(self, tmp_path: Path) -> None:
        source = """
        import ctypes
        class Hangs(Scenario):
            iterations = 1
            def step(self, state, x):
                if threading.active_count() > 2:
                    open("hangs", "w").close()
                    libc = ctypes.PyDLL(None)
                    while True:
                        libc.pause()
                return torch.ones(2) * stress.current().thread_index
        """
        write_scenarios(tmp_path, source)
        run = start_pytest(
            tmp_path,
            "--mps-threads=2",
            "--mps-attempts=1",
            "--mps-deadline=600",
            **{system.REHEARSAL: "macos"},
        )
        try:
            wait_for("the hang", lambda: (tmp_path / "hangs").exists() or run.poll() is not None)
            assert run.poll() is None, (tmp_path / "output").read_text()
            (folder,) = (tmp_path / "results" / "runs").iterdir()
            idle = {int(str(one.get("pid"))) for one in RunReader(folder) if one["kind"] == "attempt_end"}
            helpers = [one.pid for one in psutil.Process(run.pid).children(recursive=True)]
            assert idle < set(helpers), "the one of the reference waits"
            os.kill(run.pid, signal.SIGKILL)
        finally:
            run.kill()
            run.wait()
        wait_until_gone(*helpers)


LINUX_ONLY = (
    "/proc", "prctl", "prlimit", "sched_getaffinity", "ru_maxrss", "wait4", "getrusage", "pidfd_open", "pidfd_send_signal",
)  # fmt: skip


def test_nothing_else_asks_what_only_linux_answers() -> None:
    """Names and texts of all files but `stress.model.system`; what they say in words is not looked at."""
    found = []
    for path in STRESS.rglob("*.py"):
        if path == Path(system.__file__):
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            said = (
                node.attr
                if isinstance(node, ast.Attribute)
                else node.id
                if isinstance(node, ast.Name)
                else ""
            )
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and " " not in node.value:
                said = node.value
            found += [f"{path.name}:{node.lineno}: {said}" for one in LINUX_ONLY if one in said]  # type: ignore[attr-defined]
    assert not found
