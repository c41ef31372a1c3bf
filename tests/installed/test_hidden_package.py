"""A project that calls something `stress`, too: plain pytest works, and whoever asks for the plugin is told why not."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.installed.environment import run

PLAIN = "import stress\ndef test_plain():\n    assert stress.LEVEL == 3\n"
SCENARIO = "import stress\nclass One(stress.Scenario):\n    def step(self, state, x):\n        return 1.0\n"


@pytest.fixture(params=["folder", "file", "src", "tests"])
def hiding(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """Return the file that hides the package in a project; its tests import it."""
    place = {
        "folder": "stress/__init__.py",
        "file": "stress.py",
        "src": "src/stress/__init__.py",
        "tests": "tests/stress.py",
    }
    file: Path = tmp_path / place[request.param]
    file.parent.mkdir(exist_ok=True, parents=True)
    file.write_text("LEVEL = 3\n")
    if request.param == "src":
        (tmp_path / "pytest.ini").write_text("[pytest]\npythonpath = src\n")
    test = tmp_path / "tests" / "test_plain.py"
    test.parent.mkdir(exist_ok=True)
    test.write_text(PLAIN)
    (tmp_path / "conftest.py").touch()
    return file


def pytest_in(bin_folder: Path, hiding: Path, *args: str) -> subprocess.CompletedProcess[str]:
    root = next(one for one in hiding.parents if (one / "conftest.py").exists())
    return run(root, bin_folder / "pytest", *args)


class TestAProjectThatCallsSomethingStress:
    def test_tests_run_as_without_the_plugin(self, bin_folder: Path, hiding: Path) -> None:
        done = pytest_in(bin_folder, hiding, "--strict-config", "--strict-markers")
        assert done.returncode == 0
        assert "1 passed" in done.stdout
        assert done.stderr == ""

    def test_threads_are_refused_with_the_file_that_is_in_the_way(
        self, bin_folder: Path, hiding: Path
    ) -> None:
        done = pytest_in(bin_folder, hiding, "--mps-threads=2", "--mps-device=cpu")
        assert done.returncode == pytest.ExitCode.USAGE_ERROR
        assert done.stderr == (
            f"ERROR: --mps-threads: mps-stress cannot run here: {hiding} is imported as `stress`, which is the name of "
            "its package, too, and scenarios import it: rename that one\n\n"
        )


def test_it_can_be_left_out_by_the_name_in_the_header(bin_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "test_it.py").write_text("def test_it():\n    pass\n")
    assert "plugins: mps-stress-0" in run(tmp_path, bin_folder / "pytest").stdout
    done = run(tmp_path, bin_folder / "pytest", "-p", "no:mps-stress", "--markers")
    assert done.returncode == 0
    assert "mps_stress" not in done.stdout


def test_the_ini_file_asks_for_it(bin_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "stress.py").touch()
    (tmp_path / "pytest.ini").write_text("[pytest]\nmps_threads = 2\n")
    done = run(tmp_path, bin_folder / "python", "-m", "pytest")
    assert done.returncode == pytest.ExitCode.USAGE_ERROR
    assert (
        f"ERROR: ini option mps_threads: mps-stress cannot run here: {tmp_path / 'stress.py'} is"
        in done.stderr
    )


def test_a_marked_test_does_not_run_on_one_thread_and_pass(bin_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "stress.py").touch()
    text = "import pytest\n@pytest.mark.mps_stress(threads=2)\ndef test_marked():\n    pass\n"
    (tmp_path / "test_marked.py").write_text(text)
    done = run(tmp_path, bin_folder / "python", "-m", "pytest", "--strict-markers")
    assert done.returncode == pytest.ExitCode.USAGE_ERROR
    assert (
        "ERROR: test_marked.py::test_marked is marked mps_stress: mps-stress cannot run here" in done.stderr
    )


def test_the_command_says_so(bin_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "stress.py").touch()
    done = run(tmp_path, bin_folder / "mps-stress", "doctor", env={"PYTHONPATH": str(tmp_path)})
    assert done.returncode == 2
    assert done.stderr.startswith(
        f"mps-stress cannot run here: {tmp_path / 'stress.py'} is imported as `stress`"
    )
    assert done.stderr.count("\n") == 1


def test_a_folder_of_stress_tests_hides_nothing(bin_folder: Path, tmp_path: Path) -> None:
    """A folder without `__init__.py` comes after every package of that name."""
    (tmp_path / "stress").mkdir()
    (tmp_path / "stress" / "scenarios.py").write_text(SCENARIO)
    (tmp_path / "conftest.py").touch()
    done = run(
        tmp_path,
        bin_folder / "python",
        "-m",
        "pytest",
        "--mps-threads=2",
        "--co",
        "-q",
        "stress/scenarios.py",
    )
    assert done.returncode == 0
    assert "stress/scenarios.py::One[t2]" in done.stdout
