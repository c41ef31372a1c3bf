"""`make` and `tools/setup`: folders with a space, a half-made environment, and what is said where one cannot go on."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
# Stands in for an environment's python: notes how it was called, and has pip, torch and everything.
PYTHON = '#!/bin/sh\nfor one in "$@"; do printf "[%s]" "$one"; done >> "$NOTES"\necho >> "$NOTES"\n'

pytestmark = pytest.mark.skipif(os.name != "posix", reason="a shell script")


def make_program(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)
    return path


def setup(
    tmp_path: Path, venv: Path, *args: str, **environment: str
) -> tuple[subprocess.CompletedProcess[str], list[str]]:
    """Run tools/setup; return it, and the calls of the environment's python."""
    notes = tmp_path / "notes"
    notes.touch()
    done = subprocess.run(
        [str(ROOT / "tools" / "setup"), str(venv), *args],
        cwd=tmp_path,
        env={**os.environ, "NOTES": str(notes), **environment},
        capture_output=True,
        text=True,
        timeout=800,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    return done, notes.read_text().splitlines()


class TestSetup:
    def test_works_in_a_folder_with_a_space_and_from_anywhere(self, tmp_path: Path) -> None:
        venv = tmp_path / "my envs" / "für mps"
        make_program(venv / "bin" / "python", PYTHON)
        done, calls = setup(tmp_path, venv)
        assert done.returncode == 0, done.stderr
        root = ROOT / "tools" / ".."
        pip = f"[-m][pip][--disable-pip-version-check][install][-qq][--constraint][{root}/constraints.txt]"
        assert calls == ["[-m][pip][--version]", "[-c][import torch]", f"{pip}[--editable][{root}]"]

    def test_completes_an_environment_without_pip(self, tmp_path: Path) -> None:
        """As Debian leaves it without python3-venv, or Ctrl-C: found again, it must not be taken for whole."""
        venv = tmp_path / "venv"
        make_program(venv / "bin" / "python", "#!/bin/sh\nexit 1\n")
        python = make_program(
            tmp_path / "python3",
            f'#!/bin/sh\n[ "$2" = venv ] || exit 0\ncp "{make_program(tmp_path / "whole", PYTHON)}" "$3/bin/python"\n',
        )
        done, calls = setup(tmp_path, venv, PYTHON=str(python))
        assert done.returncode == 0, done.stderr
        assert calls[-1].endswith(f"[--editable][{ROOT}/tools/..]")

    def test_without_a_python_names_the_ways_out(self, tmp_path: Path) -> None:
        programs = tmp_path / "bin"
        programs.mkdir()
        for name in ("sh", "dirname", "uname", "id"):
            path = shutil.which(name)
            assert path is not None
            (programs / name).symlink_to(path)
        done, _ = setup(tmp_path, tmp_path / "venv", PATH=str(programs), PYTHON="")
        assert done.returncode == 1
        assert "needs Python 3.11 or newer: install one, or name it with make PYTHON=" in done.stderr
        if sys.platform == "linux":
            assert "(on Debian: sudo apt-get install python3 python3-venv)" in done.stderr


class TestMake:
    @pytest.fixture
    def make(self) -> str:
        path = shutil.which("make")
        if path is None:
            pytest.skip("no make here")
        return path

    def test_refuses_an_environment_with_a_space(self, make: str) -> None:
        done = subprocess.run(
            [make, "-n", "lint", "VENV=my envs/mps"], cwd=ROOT, capture_output=True, text=True, timeout=800, check=False
        )  # fmt: skip
        assert done.returncode == 2
        assert "VENV=my envs/mps: make takes no path with a space" in done.stderr
