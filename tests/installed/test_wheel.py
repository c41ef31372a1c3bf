"""The wheel: what is in it, and that a run from it alone works in an empty folder."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.installed.environment import ROOT
from tests.installed.environment import build_sdist
from tests.installed.environment import build_wheel
from tests.installed.environment import run


@pytest.fixture(scope="module")
def names(wheel: Path) -> set[str]:
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


def text(wheel: Path, suffix: str) -> str:
    with zipfile.ZipFile(wheel) as archive:
        (name,) = [one for one in archive.namelist() if one.endswith(suffix)]
        return archive.read(name).decode()


def tracked(*patterns: str) -> set[str]:
    done = subprocess.run(
        ["git", "ls-files", *patterns], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return set(done.stdout.split())


class TestTheWheel:
    def test_carries_the_package_and_its_data(self, names: set[str]) -> None:
        assert "stress/py.typed" in names
        assert tracked("stress/*.py") <= names
        data = tracked(
            "scenarios/*.py", "results/known/*.toml", "tsan/*.toml", "tsan/*.txt",
            "harness/*.cpp", "harness/*.mm", "harness/*.h",
        )  # fmt: skip
        assert len(data) > 10
        assert {f"stress/_shipped/{one}" for one in data} <= names

    def test_makes_one_name_importable_and_carries_no_rubbish(self, names: set[str]) -> None:
        top = {one.partition("/")[0].partition("-")[0] for one in names}
        assert top == {"stress", "mps_stress", "mps_stress_plugin.py"}
        assert not [one for one in names if "__pycache__" in one or "results/runs" in one or "tests" in one]

    def test_registers_the_plugin_and_the_command(self, wheel: Path) -> None:
        points = text(wheel, "entry_points.txt")
        assert points == (
            "[console_scripts]\nmps-stress = mps_stress_plugin:main\n\n[pytest11]\nmps-stress = mps_stress_plugin\n"
        )

    def test_leaves_the_torch_that_is_there_alone(self, wheel: Path) -> None:
        requires = [
            line for line in text(wheel, "METADATA").splitlines() if line.startswith("Requires-Dist: torch")
        ]
        assert requires == ["Requires-Dist: torch"]


class TestARunFromTheWheel:
    def test_perturbs_the_lines_of_the_shipped_scenarios(self, wheel: Path, tmp_path: Path) -> None:
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(tmp_path)
        code = (
            "from stress.child.perturb import TraceScope\n"
            "from stress.model.shipped import shipped_scenarios\n"
            "file = shipped_scenarios() / 'linear.py'\n"
            "print(file, file.is_file(), TraceScope((str(file.parent),)).covers(str(file), 'linear'))\n"
        )
        done = subprocess.run(
            [sys.executable, "-P", "-c", code],
            env={**os.environ, "PYTHONPATH": str(tmp_path)},
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
        assert done.stdout.split() == [str(tmp_path / "stress/_shipped/scenarios/linear.py"), "True", "True"]

    def test_runs_the_shipped_scenarios_in_an_empty_folder(self, bin_folder: Path, tmp_path: Path) -> None:
        """In a worker of pytest-xdist, which has the command line of its controller, and has to find them by itself."""
        options = ("--mps-threads=2", "--mps-device=cpu", "--mps-attempts=1", "--mps-iterations=2", "-n1")
        done = run(tmp_path, bin_folder / "pytest", *options, "-k", "SharedLinear and float32")
        assert done.returncode == 0
        assert re.search(r"^ SharedLinear\[float32-t2\] +PASSED", done.stdout, re.MULTILINE)
        (site,) = (bin_folder.parent / "lib").glob("*/site-packages")
        where = site.resolve() / "stress" / "_shipped" / "scenarios"
        assert f"mps: the scenarios that come with mps-stress ({where}) are collected" in done.stdout
        assert "NumPy" not in done.stdout
        assert (tmp_path / "results" / "runs").is_dir()
        # Not the checkout itself; the virtual environment may lie in it.
        for own in ("stress", "scenarios"):
            assert str(ROOT / own) not in done.stdout

    def test_has_what_the_simulated_device_and_the_native_harness_are_built_from(self, wheel: Path) -> None:
        with zipfile.ZipFile(wheel) as archive:
            names = [one for one in archive.namelist() if one.startswith("stress/_shipped/harness/")]
        assert len([one for one in names if one.endswith(".cpp")]) == len(tracked("harness/*.cpp"))


def test_the_wheel_of_the_sdist_is_the_same(wheel: Path, tmp_path: Path) -> None:
    """Byte for byte in what it installs: nothing that the wheel needs is missing from the sdist."""
    again = build_wheel(build_sdist(tmp_path), tmp_path)
    with zipfile.ZipFile(wheel) as one, zipfile.ZipFile(again) as other:
        assert sorted(one.namelist()) == sorted(other.namelist())
        assert [name for name in one.namelist() if one.read(name) != other.read(name)] == []
