"""What `benchmarks/sim_coverage.py` measures in full, in a size for every run of the tests."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the simulated device is for Linux")


def coverage(folder: Path, *arguments: str) -> dict[str, Any]:
    """Run the benchmark and return its figures; a goal that is missed is for the caller to see."""
    file = folder / "figures.json"
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.sim_coverage", *arguments, f"--json={file}"],
        cwd=Path(__file__).resolve().parent.parent.parent,
        capture_output=True,
        text=True,
        timeout=800,
        check=False,
    )
    assert file.is_file(), done.stdout + done.stderr
    figures: dict[str, Any] = json.loads(file.read_text())
    return figures


def test_modules_optimizers_and_compilers(tmp_path: Path) -> None:
    figures = coverage(tmp_path, "modules")["modules"]
    assert figures["total"] >= 57
    # Inductor writes Metal code for a device that is called mps; torch.load knows storages that it was built with.
    assert set(figures["failures"]) <= {"compile inductor", "save and load"}


@pytest.mark.parametrize("names", ["nn.functional.conv", "masked"])
def test_operators_from_eight_threads(tmp_path: Path, names: str) -> None:
    figures = coverage(tmp_path, "ops", f"--names={names}")["ops"]
    assert figures["total"] >= 6
    assert figures["failures"] == {}


def test_torch_s_own_checks(tmp_path: Path) -> None:
    figures = coverage(tmp_path, "torch-tests", "--names=Norm")["torch-tests"]
    assert figures["total"] >= 15
    assert figures["failures"] == {}


def test_an_unknown_part_is_told() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.sim_coverage", "modulse"],
        cwd=Path(__file__).resolve().parent.parent.parent,
        capture_output=True,
        text=True,
        timeout=800,
        check=False,
    )
    assert done.returncode == 2
    assert "no part 'modulse': choose from modules, ops, torch-tests, overhead" in done.stderr
