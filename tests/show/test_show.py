"""`mps-stress` alone, `--version`, `runs` and `show`: what there is, without reading JSON."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import stress
from stress.commands.cli import COMMANDS
from tests.acceptance import Ran
from tests.acceptance import run_in
from tests.made_records import Made
from tests.made_records import hostile_strings
from tests.made_records import run_of

SUBJECT = """
def threaded():
    return threading.current_thread().name.startswith("crew")

class Fine(Scenario):
    iterations = 1
    def step(self, state, x):
        return torch.ones(1) * stress.current().thread_index

class Wrong(Scenario):
    iterations = 2
    def step(self, state, x):
        if threaded() and stress.current().thread_index == 3:
            raise RuntimeError("the last thread")
        return torch.full((2,), float(threaded())) + 10 * stress.current().thread_index

class Dies(Scenario):
    iterations = 1
    def step(self, state, x):
        if threaded():
            os.write(2, b"failed assertion: ours\\n")
            os.abort()
        return torch.ones(1) * stress.current().thread_index
"""


def command(*args: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "stress", *args],
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("shown")


@pytest.fixture(scope="module")
def ran(folder: Path) -> Ran:
    return run_in(folder, SUBJECT, "--mps-attempts=1", "--mps-perturb=off", "--mps-seed=7")


@pytest.fixture(scope="module")
def show(folder: Path, ran: Ran) -> Callable[..., str]:
    def show(*args: str) -> str:
        done = command("show", *args, cwd=folder)
        assert done.returncode == 0, done.stderr
        return done.stdout

    return show


class TestTheProgram:
    def test_lists_its_commands_when_called_bare(self) -> None:
        done = command()
        assert done.returncode == 0, done.stderr
        listed = re.findall(r"^    (\w+)(?: |$)", done.stdout, re.MULTILINE)
        assert listed == list(COMMANDS)

    def test_says_its_version(self) -> None:
        done = command("--version")
        assert (done.returncode, done.stdout) == (0, f"mps-stress {stress.__version__}\n")


class TestRuns:
    def test_are_listed_with_how_many_items_failed(self, folder: Path, ran: Ran) -> None:
        done = command("runs", cwd=folder)
        assert ran.folder is not None
        row = next(line for line in done.stdout.splitlines() if line.startswith(ran.folder.name))
        assert row.split()[1:5] == ["pytest", "cpu", "3", "2"]
        assert row.endswith("exit status 1")

    def test_that_were_killed_say_so(self, tmp_path: Path) -> None:
        Made(tmp_path / "runs" / "2026-01-01T0000Z-a-0001").write("journal", item="x")
        done = command("runs", "--results=runs", cwd=tmp_path)
        assert re.search(r"^2026-01-01T0000Z-a-0001 .* killed, or it still runs$", done.stdout, re.MULTILINE)

    def test_are_the_newest_and_the_rest_is_counted(self, tmp_path: Path) -> None:
        for number in range(4):
            run_of(tmp_path / "runs" / f"2026-01-0{number + 1}T0000Z-a-0001", {"x.py::A[t8]": {"pass": 1}})
        done = command("runs", "--results=runs", "--last=2", cwd=tmp_path)
        assert re.findall(r"^2026-01-0(\d)", done.stdout, re.MULTILINE) == ["3", "4"]
        assert done.stdout.endswith("2 older runs not shown: --last=4\n")

    def test_none_is_no_error(self, tmp_path: Path) -> None:
        done = command("runs", cwd=tmp_path)
        assert done.returncode == 0
        assert "pytest --mps-threads=8 makes one" in done.stdout

    def test_bad_records_are_one_line(self, tmp_path: Path) -> None:
        bad = tmp_path / "runs" / "2026-01-01T0000Z-a-0001"
        bad.mkdir(parents=True)
        (bad / "a.jsonl").write_text("nonsense\n")
        done = command("runs", "--results=runs", cwd=tmp_path)
        assert (done.returncode, done.stderr) == (0, "")
        assert "a.jsonl:1: not JSON" in done.stdout


class TestShow:
    def test_a_run_lists_what_failed_with_its_attempts(self, ran: Ran, show: Callable[..., str]) -> None:
        assert ran.folder is not None
        text = show(ran.folder.name)
        assert "  items:   3 items, 2 failed" in text
        lines = text.splitlines()
        crash = lines.index("CRASH        1/1 scenarios/subject.py::Dies[t4]: 1 CRASH")
        assert lines[crash + 2] == f"    attempts: {ran.folder.name}/{ran.ends('Dies[t4]')[0]['serial']}"
        assert lines[-1].startswith("PASSED       0/1 scenarios/subject.py::Fine[t4]")

    def test_an_attempt_shows_every_finding(self, ran: Ran, show: Callable[..., str]) -> None:
        (end,) = ran.ends("Wrong[t4]")
        text = show(f"latest/{end['serial']}")
        assert "scenarios/subject.py::Wrong[t4], crew attempt 0: RACE RuntimeError after" in text
        assert len(end["findings"]) == 8
        assert text.count("wrong number") == 6
        assert text.count('raise RuntimeError("the last thread")') == 2
        assert "  repeat: pytest 'scenarios/subject.py::Wrong[t4]' --mps-threads=4" in text

    def test_a_crash_shows_stderr_and_stacks(self, ran: Ran, show: Callable[..., str]) -> None:
        (end,) = ran.ends("Dies[t4]")
        text = show(str(end["serial"]))
        assert re.search(r"^  stderr \(.*\):\n    failed assertion: ours$", text, re.MULTILINE)
        assert re.search(r"^  stacks \(.*\):\n    1 thread \[current\]:\n      step ", text, re.MULTILINE)

    def test_as_json(self, ran: Ran, show: Callable[..., str]) -> None:
        (end,) = ran.ends("Wrong[t4]")
        kinds = [json.loads(line) for line in show("--json", str(end["serial"])).splitlines()]
        assert [one["kind"] for one in kinds] == ["run", "attempt_start", "attempt_end"]
        assert kinds[-1] == end

    @pytest.mark.parametrize(
        ("what", "sentence"),
        [
            ("nonsense", "no run nonsense in "),
            ("latest/999", "has no attempt 999"),
            ("/dev", "no run /dev"),
        ],
    )
    def test_bad_input_is_one_sentence(self, folder: Path, ran: Ran, what: str, sentence: str) -> None:
        done = command("show", what, cwd=folder)
        assert done.returncode == 2
        assert len(done.stderr.splitlines()) == 1, done.stderr
        assert sentence in done.stderr or "a folder of results/runs was expected" in done.stderr

    def test_hostile_records_print_no_control_characters(self, tmp_path: Path) -> None:
        made = Made(tmp_path / "runs" / "r")
        for number, text in enumerate(hostile_strings(), start=1):
            finding = {
                "verdict": text,
                "name": text,
                "text": text,
                "trace": text,
                "thread": text,
                "error_max": "x",
            }
            made.write(
                "attempt_start", item=text, role="crew", attempt=number, serial=number, scenario=text, params={},
                threads=8, iterations=1, seed=1, command=text, perturb=text, env={text: text},
            )  # fmt: skip
            made.write(
                "attempt_end", item=text, role="crew", attempt=number, serial=number, verdict="race", seconds=1.0,
                headline=text, findings=[finding], notes=[text], stamps=[{text: text}],
            )  # fmt: skip
            made.write(
                "item", item=text, verdict="race", seconds=1.0, attempts=1, counted=1, failures=1,
                verdicts={"race": 1, text: 1}, headline=text,
            )  # fmt: skip
        for what in ("r", *(f"r/{number}" for number in range(1, len(hostile_strings()) + 1))):
            done = command("show", what, "--results=runs", cwd=tmp_path)
            assert done.returncode == 0, done.stderr
            assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e]", done.stdout)
