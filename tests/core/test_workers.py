"""Processes that serve several attempts: what is shared, what is not, what ends them, and what a failure there is worth."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

import psutil
import pytest

from stress.record import RunReader
from tests import warm
from tests.acceptance import Ran
from tests.acceptance import run_in
from tests.core.processes import start_pytest
from tests.core.processes import wait_for
from tests.core.processes import wait_until_gone
from tests.core.processes import write_scenarios

SPAWN = {"MPS_STRESS_START_METHOD": "spawn"}
SEVERAL = "--mps-attempts-per-process=50"
"""Of forked processes, which start much faster than spawned ones and run attempts in the same way."""
SOURCE = """
import inspect, warnings

SEEN = []

def in_crew():
    return threading.current_thread().name.startswith("crew")

def in_reference():
    return any("reference.py" in frame.filename for frame in inspect.stack())

class _Fine(Scenario):
    iterations = 1
    def setup(self, device):
        SEEN.append(self)
        return torch.ones(2)
    def step(self, state, x):
        return state * stress.current().thread_index

class A_Untidy(_Fine):
    def setup(self, device):
        if not in_reference():
            assert not SEEN, "the module is that of an earlier attempt"
        assert "UNTIDY" not in os.environ
        assert sys.getswitchinterval() < 1
        assert torch.is_grad_enabled()
        assert torch.get_default_dtype() == torch.float32
        assert not torch.are_deterministic_algorithms_enabled()
        assert not any(one[0] == "error" and one[2] is ResourceWarning for one in warnings.filters)
        return super().setup(device)
    def finish(self, state):
        if in_reference():
            return torch.ones(1)
        os.environ["UNTIDY"] = "1"
        sys.setswitchinterval(2.0)
        torch.set_grad_enabled(False)
        torch.set_default_dtype(torch.float16)
        torch.use_deterministic_algorithms(True)
        warnings.filterwarnings("error", category=ResourceWarning)
        return torch.ones(1, dtype=torch.float32)

class B_AfterIt(A_Untidy):
    pass

class C_Cold(_Fine):
    fresh_process = True

class D_ChangesTorch(_Fine):
    def finish(self, state):
        torch.set_float32_matmul_precision("high")
        return torch.ones(1)

class E_Replaces(_Fine):
    def finish(self, state):
        torch.relu = lambda x: x
        return torch.ones(1)

class F_Counts(_Fine):
    # What nobody can know of: an attribute of a module that stays.
    def step(self, state, x):
        if in_crew() and stress.current().thread_index == 0:
            torch.attempts_here = getattr(torch, "attempts_here", 0) + 1
        wrong = in_crew() and getattr(torch, "attempts_here", 0) > 2
        return state * stress.current().thread_index + wrong

class G_Fails(_Fine):
    def step(self, state, x):
        return state * stress.current().thread_index + in_crew() * (threading.active_count() > 2)

class H_ImportedOnce(_Fine):
    def setup(self, device):
        if hasattr(torch, "imported_once"):
            raise RuntimeError("twice in one process")
        if not in_reference():
            torch.imported_once = True
        return super().setup(device)

class I_IsKilled(_Fine):
    def step(self, state, x):
        if in_crew() and threading.active_count() > 2:
            os.kill(os.getpid(), 9)
        return super().step(state, x)
"""


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Ran:
    folder = tmp_path_factory.mktemp("workers")
    return run_in(folder, SOURCE, SEVERAL, "--mps-attempts=3", "--mps-perturb=off", "-v")


def ages(ran: Ran, name: str, role: str = "crew") -> list[int]:
    return [one["age"] for one in ran.ends(f"{name}[t4]", role) if not one.get("amends")]


def notes(ran: Ran, name: str) -> list[str]:
    return list(ran.items[f"{name}[t4]"]["notes"])


class TestAProcessThatServesSeveral:
    def test_goes_on_over_items_as_long_as_they_are_green(self, ran: Ran) -> None:
        assert ages(ran, "A_Untidy") == [0, 1, 2]
        assert ages(ran, "B_AfterIt") == [3, 4, 5]
        ends = [*ran.ends("A_Untidy[t4]"), *ran.ends("B_AfterIt[t4]")]
        assert len({one["pid"] for one in ends}) == 1
        assert {one["process"] for one in ends} == {ends[0]["serial"]}

    def test_is_restored_after_each(self, ran: Ran) -> None:
        for name in ("A_Untidy", "B_AfterIt"):
            assert ran.items[f"{name}[t4]"]["verdict"] == "pass"
            assert not notes(ran, name)

    def test_makes_references_apart_from_crews(self, ran: Ran) -> None:
        ends = [one for one in ran.records if one["kind"] == "attempt_end"]
        alone = {one["process"] for one in ends if one["role"] == "reference"}
        crews = {one["process"] for one in ends if one["role"] != "reference"}
        assert not alone & crews
        assert ages(ran, "B_AfterIt", "reference") == [1]

    def test_is_not_for_what_has_to_be_cold(self, ran: Ran) -> None:
        assert ages(ran, "C_Cold") == [0, 0, 0]

    @pytest.mark.parametrize(
        ("name", "why"),
        [
            ("D_ChangesTorch", "the precision of float32 products was changed"),
            ("E_Replaces", "torch.relu was replaced"),
        ],
    )
    def test_ends_where_it_cannot_be_restored_and_says_so_once(self, ran: Ran, name: str, why: str) -> None:
        assert ages(ran, name)[1:] == [0, 0]
        assert notes(ran, name) == [f"its process served no other attempt: {why}"]

    def test_says_nothing_that_a_fresh_one_would_not_say(self, ran: Ran) -> None:
        item = ran.items["H_ImportedOnce[t4]"]
        assert item["verdict"] == "pass"
        assert item["processes"] == 3
        (note,) = item["notes"]
        assert note.startswith("in a process of its own, because in one that had served others: setup raised")

    def test_that_is_killed_is_no_finding(self, ran: Ran) -> None:
        item = ran.items["I_IsKilled[t4]"]
        assert item["verdict"] == "inconclusive"
        assert "killed by SIGKILL" in item["headline"]


class TestAFailureInAnOldProcess:
    def test_that_shows_in_fresh_ones_is_the_items_own(self, ran: Ran) -> None:
        item = ran.items["G_Fails[t4]"]
        assert (item["verdict"], item["failures"], item["processes"]) == ("mismatch", 3, 3)
        if ages(ran, "G_Fails")[0]:
            assert (item.get("fresh_attempts"), item.get("fresh_failures")) in ((None, None), (3, 3))

    def test_that_never_does_is_aged(self, ran: Ran) -> None:
        item = ran.items["F_Counts[t4]"]
        assert item["verdict"] == "aged"
        assert (item["fresh_attempts"], item["fresh_failures"]) == (3, 0)
        assert item["control_attempts"] == 0
        assert "fresh processes: 0 of 3 failed" in item["headline"]
        amended = [one for one in ran.ends("F_Counts[t4]") if one.get("amends")]
        assert [one["verdict"] for one in amended] == ["aged"]
        served = [
            one["serial"]
            for one in ran.records
            if one["kind"] == "attempt_end" and one["process"] == amended[0]["process"]
        ]
        assert amended[0]["before"] == served[: served.index(amended[0]["serial"])]
        assert "AGED" in ran.text

    def test_can_be_had_again_with_what_came_before(self, ran: Ran) -> None:
        assert ran.folder is not None
        (amended,) = [one for one in ran.ends("F_Counts[t4]") if one.get("amends")]
        assert f"replay {ran.folder.name}/{amended['serial']} --history" in ran.text
        for more, status, told in (("--history", 0, "fails 2 of 2"), ("--attempts=2", 1, "fails 0 of 2")):
            command = ("replay", f"{ran.folder.name}/{amended['serial']}", "--attempts=2", more)
            done = subprocess.run(
                warm.command("stress", *command),
                cwd=ran.folder.parents[2], capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL,
            )  # fmt: skip
            print(done.stdout, done.stderr)
            assert done.returncode == status
            assert told in done.stdout

    def test_counts_for_no_rate(self, ran: Ran) -> None:
        item = ran.items["F_Counts[t4]"]
        assert (item["counted"], item["failures"]) == (2, 0)


class TestTheOption:
    def test_one_gives_each_attempt_its_own(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv(*next(iter(SPAWN.items())))
        ran = run_in(
            tmp_path, SOURCE, "--mps-attempts=2", "-k", "A_Untidy", "-o", "mps_attempts_per_process=1"
        )
        assert ages(ran, "A_Untidy") == [0, 0]
        assert "below 77.6 %" in ran.text

    def test_has_a_default_for_spawned_ones(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv(*next(iter(SPAWN.items())))
        ran = run_in(tmp_path, SOURCE, "--mps-attempts=2", "-k", "A_Untidy or B_AfterIt")
        assert {one["verdict"] for one in ran.items.values()} == {"pass"}
        assert ages(ran, "A_Untidy") + ages(ran, "B_AfterIt") == [0, 0, 1, 1], "spread over several"
        assert "2 items: 0 of 2 attempts failed in each; a failure rate below 77.6 %" in ran.text
        assert ages(ran, "B_AfterIt", "reference") == [1]

    def test_lets_forked_ones_serve_several(self, tmp_path: Path) -> None:
        ran = run_in(tmp_path, SOURCE, "--mps-attempts=4", "-k", "A_Untidy", "--mps-attempts-per-process=3")
        assert ages(ran, "A_Untidy") == [0, 1, 2, 0]
        assert "0 of 4 attempts in 2 processes failed" in ran.text
        assert "below 77.6 %, 2 processes" in ran.text


class TestAKilledPytest:
    def test_leaves_no_process_that_waits(self, tmp_path: Path) -> None:
        source = """
        class A_Fine(Scenario):
            iterations = 1
            def step(self, state, x):
                return torch.ones(2) * stress.current().thread_index
        class B_Waits(A_Fine):
            fresh_process = True
            def step(self, state, x):
                if threading.active_count() > 2:
                    open("waits", "w").close()
                    time.sleep(1000)
                return super().step(state, x)
        """
        write_scenarios(tmp_path, source)
        run = start_pytest(tmp_path, "--mps-threads=2", "--mps-attempts=2", "--mps-deadline=600", **SPAWN)
        try:
            wait_for("the wait", lambda: (tmp_path / "waits").exists() or run.poll() is not None)
            assert run.poll() is None, (tmp_path / "output").read_text()
            (folder,) = (tmp_path / "results" / "runs").iterdir()
            pids = {int(str(one.get("pid"))) for one in RunReader(folder) if one["kind"] == "attempt_end"}
            helpers = [one.pid for one in psutil.Process(run.pid).children(recursive=True)]
            assert len(pids) == 3, "of references, and of two crews"
            assert pids < set(helpers)
            os.kill(run.pid, signal.SIGKILL)
        finally:
            run.kill()
            run.wait()
        wait_until_gone(*helpers)
