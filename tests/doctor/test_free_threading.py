"""Pythons without a global lock: how they are found, what is said of one that lacks torch, and what runs in one that has it.

No such Python is on the machines that run these tests: programs that answer as one would stand for it.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from stress.commands.doctor.check import Status
from stress.commands.doctor.free_threading import FreePython
from stress.commands.doctor.free_threading import ask
from stress.commands.doctor.free_threading import find
from stress.commands.doctor.free_threading import free_python_line
from tests.sim.programs import ROOT
from tools.free_threaded import FILES
from tools.free_threaded import SCENARIOS


def python_at(folder: Path, name: str, *, is_free: bool = True, lacks: tuple[str, ...] = ()) -> Path:
    """Write a program that says of itself what a free-threaded interpreter says, and echoes what it is to run."""
    answer = json.dumps({"version": "3.14.2", "is_free": is_free, "lacks": list(lacks)})
    path = folder / name
    path.write_text(
        f'#!/bin/sh\nif [ "$1" = -c ]; then echo \'{answer}\'; else echo "GIL=$PYTHON_GIL $*"; exit 5; fi\n'
    )
    path.chmod(0o755)
    return path


def free_threaded(*arguments: str, path: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "tools.free_threaded", *arguments],
        cwd=ROOT, env={"PATH": str(path), "HOME": str(path)}, capture_output=True, text=True, check=False,
    )  # fmt: skip


def test_one_on_the_search_path_is_found_and_one_with_a_lock_is_none(tmp_path: Path) -> None:
    python_at(tmp_path, "python3.14t", lacks=("torch",))
    python_at(tmp_path, "python3.13t", is_free=False)
    assert find(str(tmp_path)) == [FreePython(str(tmp_path / "python3.14t"), "3.14.2", ("torch",))]


def test_this_python_has_a_lock_and_says_so() -> None:
    assert ask(sys.executable) is None


@pytest.mark.parametrize(
    "text", ["#!/bin/sh\nexit 3\n", "#!/bin/sh\necho no json\n", "#!/bin/sh\necho '{}'\n", "not a program"]
)
def test_what_does_not_answer_is_none(tmp_path: Path, text: str) -> None:
    path = tmp_path / "python3.14t"
    path.write_text(text)
    path.chmod(0o755)
    assert ask(str(path)) is None
    assert ask(str(tmp_path / "missing")) is None


def test_the_doctors_line() -> None:
    none = free_python_line([])
    assert none.status is Status.NOT_APPLICABLE
    assert "nothing ran in one" in none.detail
    bare = FreePython("/usr/bin/python3.13t", "3.13.9", ("torch", "pytest"))
    lacking = free_python_line([bare])
    assert lacking.status is Status.WARNING
    assert "lacks torch, pytest" in lacking.detail
    assert "/usr/bin/python3.13t -m venv" in lacking.way_out
    ready = free_python_line([bare, FreePython("/opt/python3.14t", "3.14.2", ())])
    assert ready.status is Status.OK
    assert "/opt/python3.14t" in ready.detail


def test_the_lane_runs_the_scenarios_without_the_lock_and_passes_the_status_on(tmp_path: Path) -> None:
    python_at(tmp_path, "python3.14t")
    done = free_threaded(path=tmp_path)
    assert done.returncode == 5
    assert "free-threaded: Python 3.14.2" in done.stdout
    ran = done.stdout.splitlines()[-1]
    assert ran.startswith("GIL=0 -m pytest --mps-threads=8")
    for file in (SCENARIOS / one for one in FILES):
        assert file.is_file()
        assert f" {file}" in ran


def test_the_lane_is_not_applicable_where_there_is_none(tmp_path: Path) -> None:
    none = free_threaded(path=tmp_path)
    assert (none.returncode, none.stdout.startswith("free-threaded: n/a: no Python")) == (0, True)
    python_at(tmp_path, "python3.14t", lacks=("torch",))
    assert "lacks torch" in free_threaded(path=tmp_path).stdout
    asked = free_threaded(sys.executable, path=tmp_path)
    assert asked.returncode == 2
    assert "no Python without a global lock" in asked.stdout
