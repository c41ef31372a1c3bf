"""What a stranger does with the installed wheel in an empty folder, in order: every line that is printed works as pasted."""

from __future__ import annotations

import re
import shlex
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.installed.environment import run

SCENARIO = """\
import torch
from chatserver.model import Chat
from stress import Scenario


class SharedCache(Scenario):
    \"\"\"Requests to one model, which keeps its cache between calls.\"\"\"

    def setup(self, device):
        return Chat().to(device)

    def make_input(self, generator):
        return torch.randn(64, generator=generator)

    def step(self, model, x):
        return model(x)
"""
MODEL = """\
import time
import torch
{first}


class Chat(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.register_buffer("cache", torch.zeros(64))

    def forward(self, x):
        self.cache.copy_(x)
        time.sleep(0.05)  # the other thread has time to write its own
        return self.cache * 2
"""
TEST = """\
import threading
SEEN = set()

def test_each_thread():
    SEEN.add(threading.get_ident())
    assert True

def test_they_were_four():
    assert len(SEEN) == 4
"""


@dataclass
class Folder:
    """A folder in which commands are run, as pasted from what they printed."""

    path: Path
    bin: Path

    def __call__(self, line: str, env: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
        program, *arguments = shlex.split(line)
        return run(self.path, self.bin / program, *arguments, env=env)

    @property
    def runs(self) -> list[Path]:
        return sorted((self.path / "results" / "runs").iterdir(), key=lambda one: one.stat().st_mtime)


def printed(text: str, what: str) -> str:
    """Return the command of a line `repeat: ...` or `replay: ...`."""
    found = re.search(rf"^ *{what}: +(.*)$", text, re.MULTILINE)
    assert found is not None, text
    return found[1]


class TestAShippedScenario:
    """In an empty folder, with a planted fault of the simulated device."""

    COMMAND = (
        "pytest scenarios/copies.py::CopyChains --mps-threads=4 --mps-attempts=1 --mps-iterations=4 "
        "--mps-device=sim --mps-sim-faults=copy_torn:1"
    )

    @pytest.fixture(scope="class")
    @classmethod
    def folder(cls, tmp_path_factory: pytest.TempPathFactory, bin_folder: Path) -> Folder:
        return Folder(tmp_path_factory.mktemp("empty"), bin_folder)

    @pytest.fixture(scope="class")
    @classmethod
    def failed(cls, folder: Folder) -> subprocess.CompletedProcess[str]:
        return folder(cls.COMMAND)

    def test_fails_and_is_recorded_in_the_folder(
        self, folder: Folder, failed: subprocess.CompletedProcess[str]
    ) -> None:
        assert failed.returncode == 1
        assert f"rootdir: {folder.path}\n" in failed.stdout
        shipped = folder.bin.parent.glob("lib/*/site-packages/stress/_shipped/scenarios")
        assert f"mps: shipped scenarios: scenarios/copies.py::CopyChains ({next(shipped)})" in failed.stdout
        assert [one.name for one in folder.path.iterdir()] == ["results"]

    def test_repeat_works_as_pasted(self, folder: Folder, failed: subprocess.CompletedProcess[str]) -> None:
        line = printed(failed.stdout, "repeat")
        assert "'scenarios/copies.py::CopyChains[t4]'" in line
        done = folder(line)
        assert done.returncode == 1
        assert "CopyChains[t4]: MISMATCH in 1 of 1 attempt" in done.stdout

    def test_replay_works_as_pasted(self, folder: Folder, failed: subprocess.CompletedProcess[str]) -> None:
        done = folder(f"{printed(failed.stdout, 'replay')} --attempts=1")
        assert done.returncode == 0
        assert "scenarios/copies.py::CopyChains[t4]" in done.stdout

    def test_export_writes_a_test_that_stands_alone(
        self, folder: Folder, failed: subprocess.CompletedProcess[str]
    ) -> None:
        attempt = printed(failed.stdout, "replay").rpartition(" ")[2]
        done = folder(f"mps-stress export {attempt} --device=cpu")
        assert done.returncode == 0
        assert "\nIt needs torch and the standard library alone.\n" in done.stdout
        compile(done.stdout, "exported.py", "exec")

    def test_by_its_path_it_is_refused_where_the_rootdir_would_move(self, folder: Folder) -> None:
        (path,) = folder.bin.parent.glob("lib/*/site-packages/stress/_shipped/scenarios/copies.py")
        done = folder(f"pytest --mps-threads=4 {path}")
        assert done.returncode == pytest.ExitCode.USAGE_ERROR
        assert (
            f"ERROR: {path}: by its path, pytest's rootdir, and with it the place of the records, would be"
            in done.stderr
        )
        assert ": name it scenarios/copies.py, which means the shipped file" in done.stderr

    def test_a_file_of_that_name_in_the_folder_is_meant_first(self, tmp_path: Path, bin_folder: Path) -> None:
        (tmp_path / "scenarios").mkdir()
        (tmp_path / "scenarios" / "copies.py").write_text("")
        done = run(tmp_path, bin_folder / "pytest", "--mps-threads=2", "--co", "-q", "scenarios/copies.py")
        assert done.returncode == pytest.ExitCode.NO_TESTS_COLLECTED
        done = run(tmp_path, bin_folder / "pytest", "--mps-threads=2", "--co", "-q", "scenarios/canary.py")
        assert re.search(r"^scenarios/canary\.py::\w+\[t2\]$", done.stdout, re.MULTILINE)


class TestTheirOwnPackage:
    """A project with `src/chatserver`, and a scenario that imports it."""

    @pytest.fixture(scope="class")
    @classmethod
    def folder(cls, tmp_path_factory: pytest.TempPathFactory, bin_folder: Path) -> Folder:
        folder = Folder(tmp_path_factory.mktemp("project"), bin_folder)
        for name, text in {
            "pytest.ini": "[pytest]\npythonpath = src\n",
            "src/chatserver/__init__.py": "",
            "src/chatserver/model.py": MODEL.format(first=""),
            "scenarios/chat.py": SCENARIO,
            "tests/test_threads.py": TEST,
        }.items():
            (folder.path / name).parent.mkdir(parents=True, exist_ok=True)
            (folder.path / name).write_text(text)
        return folder

    @pytest.fixture(scope="class")
    @classmethod
    def failed(cls, folder: Folder) -> subprocess.CompletedProcess[str]:
        return folder(
            "pytest scenarios --mps-threads=2 --mps-attempts=2 --mps-iterations=1 --mps-device=cpu --mps-perturb=off"
        )

    @pytest.fixture(scope="class")
    @classmethod
    def attempt(cls, failed: subprocess.CompletedProcess[str]) -> str:
        return printed(failed.stdout, "replay").rpartition(" ")[2]

    def test_fails(self, failed: subprocess.CompletedProcess[str]) -> None:
        assert failed.returncode == 1
        assert re.search(r"SharedCache\[t2\]: MISMATCH in [12] of 2 attempts", failed.stdout)

    def test_export_imports_from_where_pytest_did(self, folder: Folder, attempt: str, tmp_path: Path) -> None:
        assert folder(f"mps-stress export {attempt} --as=script -o {tmp_path / 'script.py'}").returncode == 0
        text = (tmp_path / "script.py").read_text()
        assert "standard library alone" not in text
        where = f"It imports chatserver from {folder.path / 'src'}, which is put on sys.path below, as pytest had it."
        assert where in " ".join(text.split())
        done = run(tmp_path, folder.bin / "python", "script.py")
        assert "problems\n" in done.stdout  # it has run to its end
        assert "Traceback" not in done.stderr

    def test_minimise_stops_at_an_error_that_is_the_same_each_time(
        self, folder: Folder, attempt: str
    ) -> None:
        """A script that cannot run by itself: none of the smaller ones could, and more runs would say no more."""
        model = folder.path / "src" / "chatserver" / "model.py"
        before = model.read_text()
        model.write_text(
            MODEL.format(
                first="import sys\nif 'stress' not in sys.modules: raise ImportError('not by itself')"
            )
        )
        done = folder(f"mps-stress minimise {attempt} --seconds=600")
        model.write_text(before)
        assert done.returncode == 1
        assert (
            "\nthe script does not run by itself: each of 3 runs ended with ImportError: not by itself\n"
            in done.stdout
        )
        assert "back to a larger one" not in done.stderr

    def test_ordinary_tests_run_from_threads(self, folder: Folder) -> None:
        done = folder("pytest tests --mps-threads=4 --mps-all-tests -k each_thread")
        assert done.returncode == 0
        assert "1 passed" in done.stdout

    def test_explain_report_evidence(self, folder: Folder, attempt: str, tmp_path: Path) -> None:
        name = attempt.rpartition("/")[0]
        explained = folder(f"mps-stress explain results/runs/{name}")
        assert "SharedCache" in explained.stdout
        page = tmp_path / "page.html"
        assert folder(f"mps-stress report results/runs -o {page}").returncode == 0
        assert "SharedCache" in page.read_text()
        evidence = folder(f"mps-stress evidence results/runs/{name}")
        assert evidence.returncode == 0
        assert "SharedCache" in evidence.stdout


class TestTheMachine:
    """`doctor` is in test_same_torch.py."""

    @pytest.fixture
    def folder(self, tmp_path: Path, bin_folder: Path) -> Folder:
        return Folder(tmp_path, bin_folder)

    def test_sweep_says_what_it_needs(self, folder: Folder) -> None:
        done = folder("mps-stress sweep --ops=add --device=cpu")
        assert done.returncode == 2
        assert done.stderr == (
            "mps-stress sweep: torch's database of operators imports numpy, which is not installed: pip install numpy "
            "expecttest\n"
        )

    def test_tsan_lists_its_cases_or_says_what_is_missing(self, folder: Folder) -> None:
        done = folder("pytest --mps-threads=2 --mps-tsan --co -q scenarios/linear.py::SharedLinear")
        assert done.returncode in (0, pytest.ExitCode.USAGE_ERROR)
        assert "Traceback" not in done.stdout + done.stderr
