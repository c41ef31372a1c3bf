"""Children import the torch that the parent does, whatever is on the path; where that cannot be, nothing is green."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tests.installed.environment import ROOT
from tests.installed.environment import run

SCENARIO = """
{first}import stress
class One(stress.Scenario):
    iterations = 1
    def make_input(self, generator):
        import torch
        return torch.randn(2, generator=generator)
    def step(self, state, x):
        return x + 1
"""
OPTIONS = ("--mps-threads=2", "--mps-device=cpu", "--mps-attempts=1")


@pytest.fixture
def other_torch(tmp_path: Path) -> Path:
    """Return a folder with a torch at another place than the environment's."""
    folder = tmp_path / "other"
    folder.mkdir()
    (folder / "torch").symlink_to(Path(torch.__file__).parent)
    return folder


def write(folder: Path, first: str = "") -> Path:
    file = folder / "scenarios" / "subject.py"
    file.parent.mkdir()
    file.write_text(SCENARIO.format(first=first))
    return folder


def test_the_first_on_pythonpath_is_tested(bin_folder: Path, tmp_path: Path, other_torch: Path) -> None:
    # With warnings as errors: torch's own one, that there is no numpy, ended the fork server.
    env = {"PYTHONPATH": str(other_torch), "PYTHONWARNINGS": "error"}
    done = run(write(tmp_path, "import torch\n"), bin_folder / "pytest", *OPTIONS, env=env)
    assert done.returncode == 0
    assert f", {other_torch / 'torch' / '__init__.py'}\n" in done.stdout
    assert "NumPy" not in done.stdout + done.stderr
    doctor = run(tmp_path, bin_folder / "mps-stress", "doctor", "--json", env=env)
    assert str(other_torch / "torch" / "__init__.py") in doctor.stdout
    assert str(ROOT / "stress") not in doctor.stdout


class TestAnotherTorchInTheParent:
    """A conftest file puts it on the path, which a fresh interpreter does not know."""

    @pytest.fixture
    def folder(self, tmp_path: Path) -> Path:
        fake = tmp_path / "fake" / "torch"
        fake.mkdir(parents=True)
        (fake / "__init__.py").write_text("__version__ = '9.9.9'\n")
        return tmp_path

    def sentence(self, folder: Path, version: str = "") -> str:
        return f"ERROR: this process imports {version}{folder / 'fake' / 'torch' / '__init__.py'}, but child processes, in "

    def test_is_an_error_before_anything_runs(self, bin_folder: Path, folder: Path) -> None:
        (folder / "conftest.py").write_text(f"import sys\nsys.path.insert(0, {str(folder / 'fake')!r})\n")
        done = run(write(folder), bin_folder / "pytest", *OPTIONS)
        assert done.returncode == pytest.ExitCode.USAGE_ERROR
        assert self.sentence(folder) in done.stderr
        assert not (folder / "results").exists()

    def test_is_an_error_where_collecting_brings_it(self, bin_folder: Path, folder: Path) -> None:
        first = f"import sys\nsys.path.insert(0, {str(folder / 'fake')!r})\nimport torch\n"
        done = run(write(folder, first), bin_folder / "pytest", *OPTIONS)
        assert done.returncode == pytest.ExitCode.USAGE_ERROR
        assert self.sentence(folder, "torch 9.9.9, ") in done.stdout + done.stderr
        assert not (folder / "results").exists()
