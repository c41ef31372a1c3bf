"""`mps-stress campaign` in real runs: what it says, what it survives, and what its exit status means."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from stress.commands.campaign.lock import FOLDER_VARIABLE
from stress.commands.campaign.lock import DeviceLock
from stress.record import RunReader
from stress.record.aggregate.folders import read_folders
from tests import warm
from tests.acceptance import PROLOGUE

NUMBERS = """
class _Numbers(Scenario):
    iterations = 2
    def make_input(self, generator):
        return torch.randn(8, generator=generator)
"""
FINE = """
class Fine(_Numbers):
    def step(self, state, x):
        return x + 1

class Planted(Fine):
    canary = True
    def step(self, state, x):
        return x + (threading.current_thread() is not threading.main_thread())
"""
ABORTS = """
class Aborts(_Numbers):
    def step(self, state, x):
        if threading.current_thread() is not threading.main_thread():
            os.write(2, b"assertion failed: nobody has a name for this one\\n")
            os.abort()
        return x + 0
"""
KILLED = """
class KillsItself(_Numbers):
    def step(self, state, x):
        if threading.current_thread() is not threading.main_thread():
            os.kill(os.getpid(), 9)
        return x + 0
"""


CONFTEST = """
# The time is up after so many turns of these items, not after so many seconds, in which a busy machine gets nowhere:
# the campaign ends by the clock of the day, so that is put ahead.
import os, time

_day = time.time
_left = {name: int(turns) for name, _, turns in (one.partition("=") for one in os.environ.get("TURNS", "").split())}
time.time = lambda: _day() + (0 if _left or not os.environ.get("TURNS") else 86400)

def pytest_mps_record(record):
    name = record.get("item", "").rpartition("::")[2].partition("[")[0]
    if record["kind"] == "item" and name in _left:
        _left[name] -= 1
        if not _left[name]:
            del _left[name]
"""
WAIT_S_MAX = 800
"""How long a test waits for what must come, on a machine that has much else to do."""


class Place:
    """A folder with scenarios, in which campaigns are run."""

    def __init__(self, folder: Path, source: str) -> None:
        self.folder = folder
        (folder / "scenarios").mkdir(parents=True)
        (folder / "scenarios" / "subject.py").write_text(PROLOGUE + NUMBERS + source)
        (folder / "conftest.py").write_text(CONFTEST)
        self.env = {**os.environ, FOLDER_VARIABLE: str(folder), "COLUMNS": "200"}

    def command(self, *args: str) -> list[str]:
        return warm.command("stress.commands.cli", "campaign", "--device=cpu", "--threads=2", *args)

    def run(self, *args: str, turns: str = "", **env: str) -> subprocess.CompletedProcess[str]:
        """Run a campaign; with `turns`, as in "Fine=2 Aborts=1", until these have had them."""
        return self.finish(
            [*self.command(), *(["--seconds=9000"] if turns else []), *args], TURNS=turns, **env
        )

    def finish(self, command: list[str], **env: str) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            command, cwd=self.folder, env={**self.env, **env}, capture_output=True, text=True,
            timeout=WAIT_S_MAX, check=False, stdin=subprocess.DEVNULL,
        )  # fmt: skip
        print(done.stdout, done.stderr, sep="\n")
        return done

    def start(self, *args: str) -> subprocess.Popen[str]:
        """Start a campaign and wait until some attempts of it are recorded."""
        process = subprocess.Popen(
            self.command(*args), cwd=self.folder, env=self.env, text=True, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip
        until = time.monotonic() + WAIT_S_MAX
        while self.ends() < 12:  # more than the canary has in one turn
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < until
            time.sleep(0.05)
        return process

    @property
    def runs(self) -> list[Path]:
        return sorted((self.folder / "results" / "runs").glob("*"))

    def last_record(self) -> dict[str, Any]:
        """Return the last record of the newest run."""
        return [dict(one) for one in RunReader(self.runs[-1])][-1]

    def ends(self) -> int:
        texts = [path.read_text() for run in self.runs for path in run.glob("*.jsonl")]
        return sum('"kind":"attempt_end"' in line for text in texts for line in text.splitlines())


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    return Place(tmp_path_factory.mktemp("campaign"), FINE + ABORTS)


@pytest.fixture(scope="module")
def done(place: Place) -> subprocess.CompletedProcess[str]:
    return place.run(turns="Fine=2 Aborts=1", GITHUB_STEP_SUMMARY=str(place.folder / "summary.md"))


class TestACampaign:
    def test_fails_for_what_has_no_name(self, done: subprocess.CompletedProcess[str]) -> None:
        assert done.returncode == 1
        (told,) = [line for line in done.stdout.splitlines() if line.startswith("NEW: ")]
        assert told.startswith("NEW: crash: ")
        assert "scenarios/subject.py::Aborts[t2]; next: mps-stress replay 2" in told

    def test_says_how_often_what_failed(self, done: subprocess.CompletedProcess[str]) -> None:
        (row,) = [
            line for line in done.stdout.splitlines() if line.startswith("scenarios/subject.py::Aborts")
        ]
        _, failed, counted, *_ = row.split()
        assert int(failed) == int(counted) > 0

    def test_says_what_green_is_worth(self, done: subprocess.CompletedProcess[str]) -> None:
        assert "1 other item without a failure: a failure rate of " in done.stdout
        assert "canaries: found in all " in done.stdout

    def test_leaves_records_that_enter_rates(
        self, place: Place, done: subprocess.CompletedProcess[str]
    ) -> None:
        whole = read_folders(place.runs)
        assert not whole.problems
        assert not [one for one in whole.runs.values() if one.is_apart or one.was_killed]
        counted = {cell.item.rpartition("::")[2]: cell for cell in whole.cells.values()}
        assert counted["Fine[t2]"].counted > 0
        assert counted["Planted[t2]"].is_canary

    def test_draws_a_seed_for_every_turn(self, place: Place, done: subprocess.CompletedProcess[str]) -> None:
        starts = [one for one in RunReader(place.runs[0]) if one["kind"] == "attempt_start"]
        turns = [one for one in starts if one["role"] == "reference" and "Fine" in one["item"]]
        assert len({one["seed"] for one in turns}) == len(turns) > 1
        numbers = [one["attempt"] for one in starts if one["role"] == "crew" and "Fine" in one["item"]]
        assert numbers == list(range(len(numbers)))

    def test_names_each_attempt_by_its_replay(
        self, place: Place, done: subprocess.CompletedProcess[str]
    ) -> None:
        start = next(one for one in RunReader(place.runs[0]) if one["kind"] == "attempt_start")
        assert start["command"] == f"mps-stress replay {place.runs[0].name}/{start['serial']}"

    def test_adds_to_the_summary_of_github(
        self, place: Place, done: subprocess.CompletedProcess[str]
    ) -> None:
        told = (place.folder / "summary.md").read_text()
        assert told.startswith("### campaign 2")
        assert "| scenarios/subject.py::Aborts\\[t2\\] | " in told

    def test_is_known_the_second_time_with_a_baseline(
        self, place: Place, done: subprocess.CompletedProcess[str]
    ) -> None:
        again = place.run(f"--baseline={place.runs[0]}", turns="Aborts=1")
        assert again.returncode == 0
        assert "already known (results/known, --baseline)" in again.stdout


class TestTheDiskLimit:
    """Files and limits are made small; everything else is as it is."""

    SMALL = """
import sys
import stress.commands.campaign.loop as loop
import stress.commands.campaign.options as options
from stress.commands.cli import main
loop.FILE_BYTES_MAX, loop._DISK_LOOK_S, options.BYTES_PER_MB = 10_000, 0.0, {unit}
sys.exit(main(["campaign", "--device=cpu", "--threads=2", "--disk-mb=1", "--seconds=9000", "--", *sys.argv[1:]]))
"""

    def _run(self, place: Place, unit: int, turns: str = "") -> subprocess.CompletedProcess[str]:
        return place.finish([sys.executable, "-c", self.SMALL.format(unit=unit)], TURNS=turns)

    def test_folds_what_is_clean_and_goes_on(self, tmp_path: Path) -> None:
        place = Place(tmp_path / "place", FINE)
        done = self._run(place, 30_000, "Fine=3")
        assert " without a finding folded into totals" in done.stdout
        kinds = [one["kind"] for one in RunReader(place.runs[0])]
        assert "totals" in kinds
        whole = read_folders(place.runs)
        assert not whole.problems
        told = next(
            line for line in done.stdout.splitlines() if line.startswith("1 item without a failure: ")
        )
        (fine,) = [cell for cell in whole.cells.values() if "Fine" in cell.item]
        assert f" (0 of {fine.counted} attempts failed)" in told

    def test_ends_where_only_findings_are_left(self, tmp_path: Path) -> None:
        place = Place(tmp_path / "place", ABORTS)
        done = self._run(place, 8_000)
        assert done.returncode == 1
        assert "NEW: crash: " in done.stdout
        assert "ended early: disk limit: 0 MB in " in done.stdout
        assert "move old runs away, or raise --disk-mb" in done.stdout


class TestWhatEndsIt:
    @pytest.fixture
    def place(self, tmp_path: Path) -> Place:
        return Place(tmp_path / "place", FINE)

    @pytest.fixture
    def running(self, place: Place) -> Iterator[subprocess.Popen[str]]:
        process = place.start("--seconds=600")
        yield process
        process.kill()
        process.communicate()

    def test_goes_on_after_sigkill_in_the_same_run(self, place: Place) -> None:
        process = place.start("--seconds=9000")
        process.kill()
        process.communicate()
        before = place.ends()
        done = place.run("--resume", turns="Fine=1")
        assert done.returncode == 0
        assert f"campaign {place.runs[0].name} resumed: it was killed; " in done.stderr
        assert len(place.runs) == 1
        whole = read_folders(place.runs)
        assert not whole.problems
        crew = [cell for cell in whole.cells.values() if "Fine" in cell.item]
        assert place.ends() > before
        assert sum(cell.counted for cell in crew) > 3
        serials = [one["serial"] for one in RunReader(place.runs[0]) if one["kind"] == "attempt_start"]
        assert len(set(serials)) == len(serials)
        assert not list(place.runs[0].glob("*.blackbox"))

    def test_does_not_go_on_with_other_options(self, place: Place, running: subprocess.Popen[str]) -> None:
        running.kill()
        running.communicate()
        done = place.run("--seconds=600", "--resume", "--deadline=7")
        assert done.returncode == 2
        assert "ran with other options (deadline_s was 60.0 and is 7.0)" in done.stderr + done.stdout

    def test_says_that_there_is_nothing_to_resume(self, place: Place) -> None:
        done = place.run("--resume")
        assert done.returncode == 0
        assert done.stdout.startswith("nothing to resume: ")

    @pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
    def test_has_a_summary_after_a_signal(
        self, place: Place, running: subprocess.Popen[str], number: signal.Signals
    ) -> None:
        running.send_signal(number)
        out, _ = running.communicate(timeout=WAIT_S_MAX)
        assert running.returncode == 128 + number
        assert place.last_record()["exit_status"] == 128 + number  # what tells --resume who wanted the end
        assert f"ended early: interrupted ({number.name})" in out
        assert "canaries: found in " in out

    def test_keeps_others_off_the_device(self, place: Place, running: subprocess.Popen[str]) -> None:
        done = place.run("--seconds=5")
        assert done.returncode == 2
        assert f"a campaign of process {running.pid} runs on cpu" in done.stdout + done.stderr

    def test_leaves_a_running_one_alone_when_it_would_go_on(
        self, place: Place, running: subprocess.Popen[str]
    ) -> None:
        done = place.run("--seconds=600", "--resume")
        assert done.returncode == 0
        assert done.stdout == f"nothing to resume: a campaign of process {running.pid} runs on cpu ({place.folder}/mps-stress-cpu.lock): wait for its end, or stop it with Ctrl-C or SIGTERM\n"  # fmt: skip

    def test_counts_foreign_kills_apart(self, tmp_path: Path) -> None:
        done = Place(tmp_path / "killed", FINE + KILLED).run(turns="Fine=1 KillsItself=1")
        assert done.returncode == 0
        assert " killed by a signal that the framework did not send" in done.stdout

    def test_ends_early_where_nothing_counts(self, tmp_path: Path) -> None:
        done = Place(tmp_path / "nothing", KILLED).run("--seconds=9000")
        assert done.returncode == 1
        assert "ended early: no item has an attempt that counts" in done.stdout
        assert "set aside, no attempt of it counts: scenarios/subject.py::KillsItself[t2]: " in done.stdout
        assert "no canary ran" in done.stdout


class TestBadInput:
    @pytest.mark.parametrize(
        ("args", "told"),
        [
            (["--seconds=0"], "--seconds=0: expected a positive number"),
            (["--disk-mb=x"], "--disk-mb=x: expected a whole number"),
            (["--threads=0"], "threads=0: expected positive whole numbers"),
            (["scenarios/other.py"], "scenarios/other.py"),
            (["--baseline=nowhere"], "--baseline: nowhere: there is no such folder"),
            (["--", "-n", "2"], "a campaign is one process: leave out -n"),
            (["--", "-k", "NoSuchScenario"], "no scenario to run"),
            (["scenarios", "--device=cpu", "--", "-k", "NoSuchScenario"], "no scenario to run"),
            (["--nonsense"], "unrecognized arguments: --nonsense"),
        ],
    )
    def test_is_one_sentence_and_status_2(self, tmp_path: Path, args: list[str], told: str) -> None:
        done = Place(tmp_path / "place", FINE).run("--seconds=3", *args)
        assert done.returncode == 2
        assert told in done.stdout + done.stderr
        assert "Traceback" not in done.stdout + done.stderr

    def test_a_file_that_cannot_be_imported_is_told(self, tmp_path: Path) -> None:
        place = Place(tmp_path / "place", FINE)
        (place.folder / "scenarios" / "wrong.py").write_text("import no_such_module\n")
        done = place.run("--seconds=3")
        assert done.returncode == 2
        assert "No module named 'no_such_module'" in done.stdout
        assert "a campaign runs all of them or none" in done.stdout


class TestTheLock:
    def test_dies_with_its_owner(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path))
        code = "import os\nfrom stress.commands.campaign.lock import DeviceLock\nlock = DeviceLock('cpu')\nprint(os.getpid(), flush=True)\ninput()"
        owner = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert owner.stdout is not None
        pid = int(owner.stdout.readline())
        with pytest.raises(Exception, match=f"a campaign of process {pid} runs on cpu"):
            DeviceLock("cpu")
        owner.kill()
        owner.wait()
        DeviceLock("cpu").release()

    def test_names_the_way_out_without_a_folder(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path / "none"))
        with pytest.raises(Exception, match=f"name another folder with {FOLDER_VARIABLE}"):
            DeviceLock("cpu")


def test_the_settings_of_a_run_survive_json() -> None:
    """What `difference` compares went through a record."""
    from stress.commands.campaign.resume import difference

    now = {"threads": (2,), "seed": 1, "results": Path("a"), "sim": {"faults": ()}}
    was = json.loads(json.dumps({"threads": [2], "seed": 2, "results": "b", "sim": {"faults": []}}))
    assert difference(was, now) == ""
    assert difference({**was, "threads": [4]}, now) == "threads was [4] and is (2,)"
