"""A clone that nobody has installed: the root conftest.py brings the plugin, before the command line is parsed."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.installed.environment import make_environment

ROOT = Path(__file__).resolve().parents[2]
NEEDED = ("conftest.py", "mps_stress_plugin.py", "pyproject.toml", "stress", "scenarios", "results/known")


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the interpreter of an environment with everything that is installed here, except mps-stress."""
    return make_environment(tmp_path_factory.mktemp("environment"))


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a copy of what a run of scenarios needs of this checkout."""
    folder = tmp_path_factory.mktemp("clone") / "mps strëss"
    for name in NEEDED:
        source, target = ROOT / name, folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, target)
    return folder


def run(python: Path, folder: Path, *args: str) -> subprocess.CompletedProcess[str]:
    environment = {
        name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "TESTS_DURATIONS")
    }
    return subprocess.run(
        [str(python), *args],
        cwd=folder,
        env={**environment, "PYTHONDONTWRITEBYTECODE": "1", "PYTEST_ADDOPTS": "-p no:cacheprovider"},
        capture_output=True,
        text=True,
        timeout=800,
        check=False,
        stdin=subprocess.DEVNULL,
    )


class TestWithoutAnInstall:
    def test_there_is_none(self, python: Path, tmp_path: Path) -> None:
        done = run(python, tmp_path, "-c", "import pytest, torch, psutil, stress")
        assert "No module named 'stress'" in done.stderr

    @pytest.mark.parametrize(
        ("command", "args"),
        [
            ("pytest", ("-k", "SharedLinear and float32")),
            ("-m pytest", ("-k", "SharedLinear and float32")),
            ("pytest", ("scenarios/linear.py::SharedLinear", "-n1")),
        ],
    )
    def test_scenarios_run(self, python: Path, clone: Path, command: str, args: tuple[str, ...]) -> None:
        first = ["-m", "pytest"] if command == "-m pytest" else [str(python.with_name("pytest"))]
        options = ("--mps-threads=2", "--mps-device=cpu", "--mps-attempts=1", "--mps-iterations=2", "-v")
        done = run(python, clone, *first, *options, *args)
        assert done.returncode == 0, done.stdout + done.stderr
        assert re.search(r"SharedLinear\[float32\S*-t2\] +PASSED +0/1 ", done.stdout)
        assert f"records: {clone / 'results' / 'runs'}" in done.stdout

    def test_it_may_be_asked_for_as_a_module(self, python: Path, clone: Path) -> None:
        options = (
            "-p",
            "mps_stress_plugin",
            "--collect-only",
            "-q",
            "--mps-threads=2",
            "scenarios/linear.py",
        )
        done = run(python, clone, "-m", "pytest", *options)
        assert done.returncode == 0, done.stdout + done.stderr

    def test_it_can_be_left_out(self, python: Path, clone: Path) -> None:
        done = run(python, clone, "-m", "pytest", "-p", "no:mps-stress", "--mps-threads=2")
        assert done.returncode == pytest.ExitCode.USAGE_ERROR
        assert "unrecognized arguments: --mps-threads=2" in done.stderr


def test_an_installed_plugin_is_not_registered_twice() -> None:
    """Nor does the file change anything where the plugin is there."""
    done = run(
        Path(sys.executable),
        ROOT,
        "-m",
        "pytest",
        "--collect-only",
        "-q",
        "tests/test_stats.py",
        "--trace-config",
    )
    assert done.returncode == 0, done.stdout + done.stderr
    registered = re.findall(
        r"^PLUGIN registered: <module 'stress\.plugin\S*' from ", done.stdout, re.MULTILINE
    )
    assert len(registered) == 1
