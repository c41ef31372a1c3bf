"""An import in `stress/` goes down, and in no circle: the order is in pyproject.toml, import-linter checks it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def lint_imports(folder: Path) -> subprocess.CompletedProcess[str]:
    """Check the tree in `folder`, whichever one is installed."""
    return subprocess.run(
        [
            sys.executable,
            "-c",
            "from importlinter.cli import lint_imports_command; lint_imports_command()",
            "--no-cache",
        ],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=800,
        check=False,
        env={**os.environ, "PYTHONPATH": str(folder)},
    )


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Return a copy of the package and its settings, to plant something in."""
    shutil.copytree(ROOT / "stress", tmp_path / "stress", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copyfile(ROOT / "pyproject.toml", tmp_path / "pyproject.toml")
    return tmp_path


def test_no_import_goes_up_and_none_in_a_circle() -> None:
    done = lint_imports(ROOT)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Contracts: 2 kept, 0 broken." in done.stdout


@pytest.mark.parametrize(
    ("file", "line", "broken"),
    [
        (
            "model/seeds.py",
            "from stress.plugin import settings",
            "stress.model is not allowed to import stress.plugin",
        ),
        (
            "record/reader.py",
            "from stress.diagnose import stacks",
            "stress.record is not allowed to import stress.diagnose",
        ),
        (
            "scenario/exact.py",
            "def late():\n    from stress.commands import cli",
            "stress.scenario is not allowed to import stress.commands",
        ),
    ],
)
def test_an_import_that_goes_up_is_found(tree: Path, file: str, line: str, broken: str) -> None:
    """Also between two rooms of one floor, and inside a function."""
    path = tree / "stress" / file
    path.write_text(f"{path.read_text()}\n{line}\n")
    done = lint_imports(tree)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "An import goes down, never up BROKEN" in done.stdout
    assert broken in done.stdout


def test_a_circle_between_files_is_found(tree: Path) -> None:
    path = tree / "stress" / "child" / "state.py"
    path.write_text(f"{path.read_text()}\nfrom stress.child import crew\n")
    done = lint_imports(tree)
    assert "No circle, between rooms or between files BROKEN" in done.stdout, done.stdout + done.stderr


def test_a_new_name_on_the_first_page_is_found(tree: Path) -> None:
    (tree / "stress" / "odds.py").write_text('"""A module without a room."""\n')
    done = lint_imports(tree)
    assert done.returncode == 1
    assert "odds" in done.stdout
