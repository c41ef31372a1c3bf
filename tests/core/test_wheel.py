"""The wheel: what is in it, and that a run from it alone works in an empty folder."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "-q", "-w"]
    done = subprocess.run(
        [*command, str(folder), str(ROOT)], capture_output=True, text=True, timeout=800, check=False
    )
    if "No module named 'hatchling'" in done.stderr or "No module named pip" in done.stderr:
        pytest.skip("pip and hatchling are needed to build the wheel")
    assert done.returncode == 0, done.stderr
    (path,) = folder.glob("*.whl")
    return path


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
        assert {one.partition("/")[0].partition("-")[0] for one in names} == {"stress", "mps_stress"}
        assert not [one for one in names if "__pycache__" in one or "results/runs" in one or "tests" in one]

    def test_registers_the_plugin_and_the_command(self, wheel: Path) -> None:
        points = text(wheel, "entry_points.txt")
        assert points == (
            "[console_scripts]\nmps-stress = stress.commands.cli:main\n\n[pytest11]\nstress.plugin = stress.plugin.hooks\n"
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

    CONFTEST = """
import stress, stress.model.shipped
def pytest_report_header():
    harness = stress.model.shipped.shipped("harness")
    return [
        f"from {stress.__file__}",
        f"scenarios {stress.model.shipped.shipped_scenarios()}",
        f"harness {harness} {len(list(harness.glob('*/*.cpp')))}",
    ]
"""

    def test_runs_the_shipped_scenarios_in_an_empty_folder(self, wheel: Path, tmp_path: Path) -> None:
        site, folder = tmp_path / "site", tmp_path / "empty"
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(site)
        folder.mkdir()
        (folder / "conftest.py").write_text(self.CONFTEST)
        # -P and PYTHONPATH: the unpacked copy comes before the checkout, which is installed too.
        command = [sys.executable, "-P", "-m", "pytest", "-p", "no:cacheprovider", "--mps-threads=2"]
        options = ["--mps-device=cpu", "--mps-attempts=1", "--mps-iterations=2", "-v"]
        done = subprocess.run(
            [*command, *options, "-k", "SharedLinear and float32"],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": str(site)},
            capture_output=True,
            text=True,
            timeout=800,
            check=False,
        )
        assert f"from {site / 'stress' / '__init__.py'}" in done.stdout, done.stdout + done.stderr
        assert f"scenarios {site / 'stress' / '_shipped' / 'scenarios'}" in done.stdout
        # What the simulated device and the native harness are built from.
        sources = len(tracked(":(glob)harness/*/*.cpp"))
        assert f"harness {site / 'stress' / '_shipped' / 'harness'} {sources}\n" in done.stdout
        assert done.returncode == 0, done.stdout
        assert "PASSED" in done.stdout
        assert (folder / "results" / "runs").is_dir()
        # Not the checkout itself; the virtual environment may lie in it.
        for own in ("stress", "scenarios"):
            assert str(ROOT / own) not in done.stdout
