"""Spawned children, with a spare: the way of platforms that must not fork, and of items with an environment."""

from __future__ import annotations

import json
import os
import types
from pathlib import Path
from typing import Any

import pytest

from stress.isolate.spawner import Spawner
from stress.isolate.spawner import spares_wanted
from tests.acceptance import Ran
from tests.acceptance import run_in
from tests.core.processes import wait_until_gone

# Written at import: each process appends what it saw before any step ran.
NOTES = """
import json

def _note(**fields):
    line = json.dumps({"pid": os.getpid(), "parent": os.getppid(), **fields}) + "\\n"
    with open("notes", "a") as file:
        file.write(line)

def _started_with(pid):
    # What the process got when it was started, whatever it has set since.
    pairs = (one.partition("=") for one in open(f"/proc/{pid}/environ").read().split("\\0"))
    return {name: value for name, _, value in pairs}.get("MPS_STRESS_KNOB")

_note(
    knob=os.environ.get("MPS_STRESS_KNOB"),
    parents_knob=_started_with(os.getppid()),
    cmdline=open("/proc/self/cmdline").read().split("\\0"),
)
"""
ENVIRONMENT = (
    NOTES
    + """
class Plain(Scenario):
    iterations = 1
    def step(self, state, x):
        return torch.ones(2) * stress.current().thread_index

class Tuned(Scenario):
    iterations = 1
    env = [{"MPS_STRESS_KNOB": "1"}, {"MPS_STRESS_KNOB": "2", "MPS_STRESS_OTHER": "a b/c"}]
    def step(self, state, x):
        knob = os.environ["MPS_STRESS_KNOB"]
        return torch.full((2,), float(knob))
    def compare(self, got, expected):
        return bool((got == expected).all()) and float(got[0]) == float(os.environ["MPS_STRESS_KNOB"])

class Dies(Scenario):
    iterations = 1
    def step(self, state, x):
        # One thread of the crew, and only there: two would write their last words both.
        if stress.current().thread_index == 0 and threading.current_thread().name.startswith("crew"):
            os.write(2, b"last words\\n")
            os.abort()
        return torch.ones(2) * stress.current().thread_index
"""
)


def notes(ran: Ran) -> list[dict[str, Any]]:
    """Return what the children noted; pytest itself, which imports the file too, left out."""
    assert ran.folder is not None
    lines = (ran.folder.parents[2] / "notes").read_text().splitlines()
    return [one for one in map(json.loads, lines) if "pytest" not in one["cmdline"]]


@pytest.fixture(scope="module")
def spawned(tmp_path_factory: pytest.TempPathFactory) -> Ran:
    """One run with spawned children only."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MPS_STRESS_START_METHOD", "spawn")
        folder = tmp_path_factory.mktemp("spawned")
        return run_in(folder, ENVIRONMENT, "--mps-attempts=1", "-v", "-k", "Dies or (KNOB and not OTHER)")


@pytest.fixture(scope="module")
def forked(tmp_path_factory: pytest.TempPathFactory) -> Ran:
    """One run with the platform's own method."""
    return run_in(
        tmp_path_factory.mktemp("forked"), ENVIRONMENT, "--mps-attempts=1", "-v", "-k", "Plain or OTHER"
    )


class TestSpawnedChildren:
    def test_judge_as_forked_ones_do(self, spawned: Ran) -> None:
        verdicts = {name: one["verdict"] for name, one in spawned.items.items()}
        assert verdicts == {
            "Tuned[MPS_STRESS_KNOB=1-t4]": "pass",
            "Dies[t4]": "crash",
        }

    def test_keep_their_last_words(self, spawned: Ran) -> None:
        (end,) = spawned.ends("Dies[t4]")
        assert end["signal"] == "SIGABRT"
        assert spawned.folder is not None
        assert set((spawned.folder / end["stderr"]).read_text().splitlines()) == {"last words"}
        assert end["memory_bytes_max"] > 10_000_000
        assert end["cpu_s"] > 0

    def test_are_served_by_a_spare_unless_the_item_has_an_environment(self, spawned: Ran) -> None:
        spares = {one["knob"]: "--spare" in one["cmdline"] for one in notes(spawned)}
        assert spares == {None: True, "1": False}

    def test_are_each_a_process_of_their_own(self, spawned: Ran) -> None:
        pids = [one["pid"] for one in spawned.records if one["kind"] == "attempt_end"]
        assert len(pids) == len(set(pids)) == 5
        wait_until_gone(*pids)


class TestSpares:
    @pytest.mark.parametrize(
        ("cores", "gigabytes", "workers", "spares"),
        [
            (2, 16, "1", 1),
            (8, 16, "1", 2),
            (64, 256, "1", 4),
            (64, 3, "1", 1),
            (16, 64, "4", 1),
            (64, 64, "8", 2),
        ],
    )
    def test_are_as_many_as_the_machine_starts_beside_an_attempt(
        self, monkeypatch: pytest.MonkeyPatch, cores: int, gigabytes: int, workers: str, spares: int
    ) -> None:
        monkeypatch.setattr("stress.model.system.usable_cores", lambda: cores)
        memory = types.SimpleNamespace(available=gigabytes << 30)
        monkeypatch.setattr("psutil.virtual_memory", lambda: memory)
        monkeypatch.setenv("PYTEST_XDIST_WORKER_COUNT", workers)
        assert spares_wanted() == spares

    def test_are_replaced_as_soon_as_one_is_taken(self, monkeypatch: pytest.MonkeyPatch) -> None:
        started: list[Any] = []

        def spare(_: Spawner) -> Any:
            started.append(types.SimpleNamespace(ended=lambda: None, close=lambda: None))
            return started[-1]

        monkeypatch.setattr(Spawner, "_spare", spare)
        monkeypatch.setattr("stress.isolate.spawner.spares_wanted", lambda: 1)
        spawner = Spawner()
        assert spawner.start() is started[0]
        assert len(started) == 2, "the next one imports torch while the first is waited for"
        assert spawner.start() is started[1]
        spawner.close()


class TestAnEnvironment:
    def test_is_named_in_the_id(self, forked: Ran) -> None:
        assert set(forked.items) == {
            "Plain[t4]",
            "Tuned[MPS_STRESS_KNOB=2-MPS_STRESS_OTHER=a_b_c-t4]",
        }
        assert {one["verdict"] for one in forked.items.values()} == {"pass"}

    def test_is_in_the_record_whole(self, forked: Ran) -> None:
        starts = [one for one in forked.records if one["kind"] == "attempt_start"]
        environments = {one["item"].rpartition("::")[2]: one["env"] for one in starts}
        assert environments == {
            "Plain[t4]": {},
            "Tuned[MPS_STRESS_KNOB=2-MPS_STRESS_OTHER=a_b_c-t4]": {
                "MPS_STRESS_KNOB": "2",
                "MPS_STRESS_OTHER": "a b/c",
            },
        }

    def test_is_that_of_a_server_which_had_it_when_it_imported_torch(self, forked: Ran) -> None:
        seen = notes(forked)
        by_knob = {knob: [one for one in seen if one["knob"] == knob] for knob in (None, "2")}
        assert {len(ones) for ones in by_knob.values()} == {2}, "a reference and a crew each"
        (server,) = {one["parent"] for one in by_knob[None]}
        (with_knob,) = {one["parent"] for one in by_knob["2"]}
        assert server != with_knob
        assert {one["parents_knob"] for one in by_knob["2"]} == {"2"}

    def test_in_which_torch_cannot_be_imported_ends_its_own_attempt(self, tmp_path: Path) -> None:
        """The server that would fork it cannot start: what torch says stands in the attempt, not in an error of ours."""
        package = tmp_path / "hooks" / "sitecustomize.py"
        package.parent.mkdir()
        package.write_text(
            "import os\nif os.environ.get('NO_TORCH'):\n    os.write(2, b'no torch here')\n    os.abort()\n"
        )
        source = """
        class Torchless(Scenario):
            iterations = 1
            env = {"NO_TORCH": "1", "PYTHONPATH": FOLDER}
            def step(self, state, x):
                return torch.ones(2)
        """.replace("FOLDER", repr(str(package.parent)))
        ran = run_in(tmp_path, source, "--mps-attempts=1")
        (item,) = ran.items.values()
        (reference,) = [
            one for one in ran.records if one["kind"] == "attempt_end" and one["role"] == "reference"
        ]
        assert item["verdict"] != "pass"
        assert reference["signal"] == "SIGABRT"
        assert ran.folder is not None
        assert "no torch here" in (ran.folder / reference["stderr"]).read_text()


class TestTheStartMethod:
    def test_that_does_not_exist_is_refused(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("MPS_STRESS_START_METHOD", "forkserver")
        ran = run_in(tmp_path, ENVIRONMENT)
        assert ran.result.ret == pytest.ExitCode.USAGE_ERROR
        text = "\n".join(ran.result.errlines)
        assert "MPS_STRESS_START_METHOD=forkserver: use fork or spawn" in text
        assert "Traceback" not in text

    def test_spawn_names_a_torch_that_cannot_be_imported(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        package = tmp_path / "broken" / "torch"
        package.mkdir(parents=True)
        (package / "__init__.py").write_text("raise ImportError('libtorch_mps.dylib: symbol not found')\n")
        monkeypatch.setenv("MPS_STRESS_START_METHOD", "spawn")
        monkeypatch.setenv("PYTHONPATH", str(package.parent), prepend=os.pathsep)
        ran = run_in(tmp_path, ENVIRONMENT)
        assert ran.result.ret == pytest.ExitCode.USAGE_ERROR
        assert "libtorch_mps.dylib: symbol not found" in "\n".join(ran.result.errlines)
