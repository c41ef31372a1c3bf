"""Without `--mps-threads` nobody notices the plugin; with `-p no:mps-stress` it is gone."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

SCENARIO = """
from stress import Scenario
raise AssertionError("imported without being asked for")
class Quick(Scenario):
    def step(self, state, x):
        return 1.0
"""
# torch is only looked up, never imported: the run below it would take seconds longer otherwise.
TEST = """
import sys
def test_plain():
    assert "torch" not in sys.modules
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a project with a scenario and a test that has nothing to do with it."""
    (tmp_path / "scenarios").mkdir()
    (tmp_path / "scenarios" / "subject.py").write_text(SCENARIO)
    (tmp_path / "test_plain.py").write_text(TEST)
    return tmp_path


def run(folder: Path, *args: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-p", "no:run-parallel", *args],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=800,
        check=False,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
    )


def told(done: subprocess.CompletedProcess[str]) -> list[str]:
    """Return the lines of the output, without the list of installed plugins, and without times."""
    lines = [line for line in done.stdout.splitlines() if not line.startswith("plugins: ")]
    return [re.sub(r"in \d+\.\d\ds.*", "", line).lstrip("=") for line in lines]


class TestWithoutThreads:
    @pytest.mark.parametrize("args", [[], ["-v"], ["-n1"], ["--strict-config", "--strict-markers"]])
    def test_a_run_is_as_without_the_plugin(self, folder: Path, args: list[str]) -> None:
        done, without = run(folder, *args), run(folder, "-p", "no:mps-stress", *args)
        assert done.returncode == without.returncode == 0, done.stdout
        assert "1 passed in" in done.stdout
        assert told(done) == told(without)
        assert done.stderr == without.stderr
        assert sorted(os.listdir(folder)) == ["scenarios", "test_plain.py"]

    def test_no_scenario_is_collected(self, folder: Path) -> None:
        done = run(folder, "--collect-only", "-q")
        assert done.stdout.split("\n\n")[0] == "test_plain.py::test_plain"

    def test_a_scenario_file_given_by_name_has_no_items(self, folder: Path) -> None:
        path = folder / "scenarios" / "subject.py"
        path.write_text(SCENARIO.replace("raise", "# raise"))
        done = run(folder, "scenarios/subject.py")
        assert done.returncode == pytest.ExitCode.NO_TESTS_COLLECTED
        assert "collected 0 items" in done.stdout

    def test_the_marker_is_explained(self, folder: Path) -> None:
        assert "@pytest.mark.mps_stress(threads=None, iterations=None): " in run(folder, "--markers").stdout

    def test_the_help_has_one_group(self, folder: Path) -> None:
        text = run(folder, "--help").stdout
        assert text.count("stress and race detection for PyTorch's MPS backend") == 1
        assert "--mps-threads=N[,N...]|auto" in text

    def test_torch_is_not_imported(self, folder: Path) -> None:
        code = (
            "import sys, pytest; status = pytest.main(['-q', '-p', 'no:run-parallel']); "
            "sys.exit(status or 'torch' in sys.modules or 'rich' in sys.modules or 'psutil' in sys.modules)"
        )
        done = subprocess.run([sys.executable, "-c", code], cwd=folder, timeout=800, check=False)
        assert done.returncode == 0

    def test_the_public_names_do_not_import_torch(self) -> None:
        code = "import sys, stress; dir(stress); stress.Scenario, stress.Verdict; sys.exit('torch' in sys.modules)"
        assert subprocess.run([sys.executable, "-c", code], timeout=800, check=False).returncode == 0


class TestWithoutThePlugin:
    def test_its_options_are_unknown(self, folder: Path) -> None:
        done = run(folder, "-p", "no:mps-stress", "--mps-threads=2")
        assert done.returncode == pytest.ExitCode.USAGE_ERROR
        assert "unrecognized arguments: --mps-threads=2" in done.stderr

    def test_everything_is_off(self, folder: Path) -> None:
        done = run(folder, "-p", "no:mps-stress", "--markers")
        assert "mps_stress" not in done.stdout
        (folder / "pytest.ini").write_text("[pytest]\nmps_threads = 2\n")
        assert run(folder, "-p", "no:mps-stress").returncode == 0
