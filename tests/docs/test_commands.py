"""Every command in the pages runs as pasted.

All shell blocks of README, docs and CONTRIBUTING are read. What is cheap is run in a folder like a reader's, with records of
a real run; pytest collects (that checks options, files and node ids); what takes minutes is parsed by the command's own
parser. A block that cannot be run here says so above itself: `<!-- not run: needs a Mac -->`.
"""

from __future__ import annotations

import importlib
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from stress.commands import cli
from stress.model.verdict import Verdict
from tests import warm
from tests.docs.pages import AGENTS
from tests.docs.pages import DOCS
from tests.docs.pages import PAGES
from tests.docs.pages import PROGRAMS
from tests.docs.pages import README
from tests.docs.pages import ROOT
from tests.docs.pages import Block
from tests.docs.pages import Command
from tests.docs.pages import all_commands
from tests.docs.pages import blocks
from tests.docs.pages import prose

OTHER_PROGRAMS = {
    "pip": "installs into the reader's environment; tests/core/test_wheel.py builds and runs the wheel",
    "for": "copies from other machines",
    "do": "copies from other machines",
    "done": "copies from other machines",
}
"""Program of a shell block that is run -> why that line is not."""

NOT_RUN_MAX = 16
"""Blocks with a marker: this number only falls."""

CHEAP = {"compare", "evidence", "explain", "export", "report", "runs", "show"}
"""Commands of `mps-stress` that are run; of the others all but the work itself is: parser and checks."""

COLLECT = """
import contextlib, io, json, sys
import pytest
answers = []
for args in json.load(sys.stdin):
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
        status = pytest.main([*args, "--collect-only", "-q", "-p", "no:cacheprovider"])
    answers.append([int(status), printed.getvalue()[-2000:]])
json.dump(answers, open(sys.argv[1], "w"))
"""


@dataclass(frozen=True)
class Workshop:
    """A folder like a reader's: scenarios of the pages and of the repository, tests, and records of the README's run."""

    folder: Path
    run: str
    """Name of the run's folder."""
    failed: str
    """Number of a failed attempt."""
    printed: str
    status: int


def first_page() -> tuple[Block, Command]:
    """Return the README's scenario and the command that runs it."""
    (scenario,) = [one for one in blocks(README) if one.language == "python"]
    text = README.read_text(encoding="utf-8")
    heading = text[: text.index("## One failure")].count("\n")
    command = next(one for one in all_commands() if one.block.page == README and one.block.line > heading)
    return scenario, command


@pytest.fixture(scope="module")
def workshop(tmp_path_factory: pytest.TempPathFactory) -> Workshop:
    folder = tmp_path_factory.mktemp("reader")
    scenario, command = first_page()
    (folder / "scenarios").mkdir()
    (folder / "scenarios" / "attention.py").write_text(scenario.text)
    done = run_pytest(folder, command.words[1:])
    (run,) = (folder / "results" / "runs").iterdir()
    records = [json.loads(line) for file in run.glob("*.jsonl") for line in file.read_text().splitlines()]
    failed = next(
        str(one["serial"])
        for one in records
        if one["kind"] == "attempt_end" and one["verdict"] == "mismatch" and one["role"] == "crew"
    )
    for file in (ROOT / "scenarios").glob("*.py"):
        shutil.copy(file, folder / "scenarios")
    for page in PAGES:
        for block in blocks(page):
            if block.title:
                (folder / block.title).write_text(block.text)
    shutil.copy(folder / "scenarios" / "attention.py", folder / "my_scenarios.py")
    (folder / "tests").mkdir()
    (folder / "tests" / "test_ordinary.py").write_text("def test_nothing():\n    pass\n")
    for one in of("pytest"):  # what a contributor runs in the checkout
        for word in one.words:
            if word.startswith("tests/test_"):
                shutil.copy(ROOT / word, folder / word)
    for name in ("studio", "m2pro"):
        shutil.copytree(run, folder / "runs" / name / run.name)
    return Workshop(folder, run.name, failed, done.stdout, done.returncode)


def run_pytest(folder: Path, arguments: Sequence[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        warm.command("pytest", "-p", "no:cacheprovider", *arguments),
        cwd=folder, env={**os.environ, "COLUMNS": "80"}, capture_output=True, text=True, timeout=800, check=False,
    )  # fmt: skip


def marked(name: str) -> list[Block]:
    return [
        block for page in PAGES for block in blocks(page) if block.language == "sh" and block.marker == name
    ]


def of(program: str) -> list[Command]:
    """Return the commands of this program that are not marked as not run."""
    return [one for one in all_commands() if one.program == program and one.block.marker != "not run"]


def numbered(found: list[Command]) -> list[object]:
    return [pytest.param(one, id=f"{one.block.place} {one.text}"[:90]) for one in found]


class TestTheFirstPage:
    def test_its_failure_comes_as_printed(self, workshop: Workshop) -> None:
        """Numbers of the failing item and the machine differ; every word, and every number of the green ones, does not."""
        (shown,) = [one.text for one in blocks(README) if one.language == "text"]
        assert workshop.status == 1, workshop.printed
        for start in (
            " Attention[bfloat16-t8] ",
            " Attention[float32-t8] ",
            "2 items: 0 of 5 attempts failed ",
        ):
            (expected,) = [line for line in shown.splitlines() if line.startswith(start)]
            assert expected in workshop.printed.splitlines()
        for start in (
            "mps: threads 8, attempts 5, seed 0x2a",
            "CachedMask[float32-t8]: MISMATCH in ",
            "  control: one thread, same total work: 0 of ",
            "  numeric: thread ",
            "    largest error ",
            "  repeat: pytest 'scenarios/attention.py::CachedMask[float32-t8]' --mps-threads=8 --mps-seed=0x2a",
            "  replay: mps-stress replay ",
            " CachedMask[float32-t8]  MISMATCH ",
            "1 of 3 items failed",
        ):
            for text in (shown, workshop.printed):
                assert any(line.startswith(start) for line in text.splitlines()), start
        assert "1 failed, 2 passed in " in shown
        assert "1 failed, 2 passed in " in workshop.printed


class TestScenariosOfThePages:
    def test_run(self, workshop: Workshop) -> None:
        """A page's code block with a file name is a scenario that runs, and is green on the device that is taken by default."""
        titled = [block for page in PAGES for block in blocks(page) if block.title]
        assert len(titled) >= 5
        options = ["--mps-threads=2", "--mps-attempts=1", "--mps-iterations=2", "-v"]
        files = [block.title for block in titled]
        done = run_pytest(workshop.folder, [*files, *options, f"--mps-results={workshop.folder / 'pages'}"])
        classes = [name for block in titled for name in re.findall(r"^class (\w+)", block.text, re.M)]
        assert done.returncode == 0, done.stdout + done.stderr
        assert all(name in done.stdout for name in classes), done.stdout


class TestThePageForPrograms:
    def test_its_reader_of_records_prints_every_item(self, workshop: Workshop) -> None:
        (reader,) = [block for block in blocks(AGENTS) if block.language == "python"]
        done = subprocess.run(
            [sys.executable, "-c", reader.text],
            cwd=workshop.folder,
            capture_output=True,
            text=True,
            check=True,
        )
        lines = done.stdout.splitlines()
        assert "scenarios/attention.py::Attention[float32-t8] pass 0 of 5" in lines
        assert "scenarios/attention.py::CachedMask[float32-t8] mismatch 5 of 5" in lines

    def test_names_every_verdict_that_enters_a_rate(self) -> None:
        named = re.search(r"only verdicts (.*?)\.\n", AGENTS.read_text(encoding="utf-8"), re.S)
        assert named is not None
        assert re.findall(r"`(\w+)`", named[1]) == [str(one) for one in Verdict if one.enters_rate]

    def test_fits_one_page(self) -> None:
        assert len(AGENTS.read_text(encoding="utf-8").splitlines()) <= 110


class TestPytest:
    def test_every_line_collects(self, workshop: Workshop) -> None:
        found = list({one.words: one for one in of("pytest")}.values())
        assert len(found) >= 12
        asked = []
        for one in found:
            words = list(one.words[1:])
            if one.block.marker == "parsed only":
                words = [word for word in words if word.startswith("-")]
            if any(word.startswith("--mps-torch-source=") for word in words):
                words.append("--mps-allow-torch-mismatch")
            asked.append(words)
        (repeat,) = [line for line in workshop.printed.splitlines() if line.startswith("  repeat: pytest ")]
        asked.append(shlex.split(repeat.partition("pytest ")[2]))
        answers = workshop.folder / "answers.json"
        done = subprocess.run(
            [sys.executable, "-c", COLLECT, str(answers)], cwd=workshop.folder, input=json.dumps(asked),
            capture_output=True, text=True, timeout=800, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        *ends, of_repeat = json.loads(answers.read_text())
        for one, (status, printed) in zip(found, ends, strict=True):
            assert status == 0, f"{one.block.place}: {one.text}\n{printed}"
        assert of_repeat[0] == 0, f"{repeat}\n{of_repeat[1]}"


class TestMpsStress:
    def arguments(self, command: Command, workshop: Workshop) -> list[str]:
        """Return the words with a real run and attempt in place of RUN, RUN/17, BASE and NEW."""
        known = {"RUN": workshop.run, "BASE": workshop.run, "NEW": workshop.run}
        words = []
        for word in command.words[1:]:
            name, equals, value = word.rpartition("=")
            if value == "/path/to/other/venv/bin/python":
                value = sys.executable
            if value == "RUN/17":
                value = f"{workshop.run}/{workshop.failed}"
            elif value in known:
                value = f"results/runs/{known[value]}"
            words.append(f"{name}{equals}{value}")
        return words

    @pytest.mark.parametrize("command", numbered(of("mps-stress")))
    def test_line(
        self,
        command: Command,
        workshop: Workshop,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        words = self.arguments(command, workshop)
        if words[0] not in CHEAP:
            command_module = importlib.import_module(f"stress.commands.{cli.folder_of(words[0])}.command")
            monkeypatch.setattr(command_module, "run", lambda options: 0)
        monkeypatch.chdir(workshop.folder)
        assert cli.main(words) in (0, 1), capsys.readouterr().err
        assert "Traceback" not in capsys.readouterr().err

    def test_every_command_is_shown(self) -> None:
        shown = {one.words[1] for one in all_commands() if one.program == "mps-stress"}
        assert shown == set(cli.COMMANDS)
        table = set(re.findall(r"^\| `mps-stress ([a-z]+)", README.read_text(encoding="utf-8"), re.M))
        assert table == shown

    @pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
    def test_commands_and_options_inside_sentences_exist(
        self, path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        helps: dict[str, str] = {}
        for text in re.findall(r"`mps-stress ([^`]+)`", prose(path)):
            name, *words = text.split()
            if name not in helps and name != "COMMAND":
                with pytest.raises(SystemExit) as ended:
                    cli.make_parser().parse_args([name, "--help"])
                assert ended.value.code == 0, f"{path.name}: {text}"
                helps[name] = capsys.readouterr().out
            for option in (word.partition("=")[0] for word in words if word.startswith("--")):
                assert option in helps[name], f"{path.name}: {text}"


class TestMakeAndPython:
    @pytest.mark.parametrize("command", numbered(of("make")))
    def test_target_exists(self, command: Command) -> None:
        done = subprocess.run(
            ["make", "--dry-run", *command.words[1:]],
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
        assert done.returncode == 0, done.stderr

    def test_targets_inside_sentences_exist(self) -> None:
        targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.M))
        for path in PAGES:
            named = set(re.findall(r"`make ([a-z-]+)`", prose(path)))
            assert named <= targets, path.name

    def test_python_lines_run(self) -> None:
        found = of("python")
        assert found
        for one in found:
            environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
            done = subprocess.run(
                [sys.executable, *one.words[1:]], cwd=ROOT, env=environment,
                capture_output=True, text=True, timeout=60, check=False,
            )  # fmt: skip
            assert done.returncode == 0, f"{one.block.place}: {one.text}\n{done.stderr}"

    def test_modules_inside_sentences_exist(self) -> None:
        for path in PAGES:
            for module in re.findall(r"`python -m ((?:tools|benchmarks)[\w.]*)", prose(path)):
                file = ROOT / module.replace(".", "/")
                assert file.with_suffix(".py").is_file() or (file / "__main__.py").is_file(), (
                    f"{path.name}: {module}"
                )


class TestNothingIsLeftOutSilently:
    def test_other_programs_are_known(self) -> None:
        others = {
            one.program
            for one in all_commands()
            if one.program not in PROGRAMS and one.block.marker != "not run" and "=" not in one.words[0]
        }
        assert others == set(OTHER_PROGRAMS)

    def test_what_is_not_run_says_why(self) -> None:
        left = marked("not run") + marked("parsed only")
        print(*(f"{one.place}: {one.marker}: {one.reason}" for one in left), sep="\n")
        assert len(left) <= NOT_RUN_MAX
        assert all(len(one.reason.split()) >= 3 for one in left)

    def test_no_marker_is_misspelt(self) -> None:
        """A comment that only looks like a marker would be ignored."""
        for path in PAGES:
            comments = re.findall(r"<!--.*?-->", path.read_text(encoding="utf-8"))
            for one in comments:
                assert re.fullmatch(
                    r"<!-- (?:(?:not run|parsed only): .+|/?(?:table|rooms).*|towncrier.*) -->", one
                ), f"{path.name}: {one}"

    def test_commands_stand_in_shell_blocks_alone(self) -> None:
        """A block of another language that begins with a command would not be run."""
        for path in (README, *DOCS.glob("*.md")):
            for block in blocks(path):
                if block.language == "text":
                    first = block.text.split(maxsplit=1)[0]
                    assert first not in PROGRAMS or block.text.startswith("mps-stress throughput,"), (
                        block.place
                    )
