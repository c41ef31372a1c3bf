"""`--mps-tsan` on ordinary tests: their children are under ThreadSanitizer, too."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from stress.device.clang import ToolchainError
from stress.device.clang import find_toolchain
from tests.ordinary.running import run

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the simulated device is for Linux")

SOURCE = """
import torch

SHARED = torch.zeros(64, device="mps")
torch.mps.synchronize()  # or one thread would race with the import, too

def test_shares():
    for _ in range(10):  # long enough that a busy machine does not run one thread's calls before the other's
        SHARED.add_(1)

def test_has_its_own():
    assert float(torch.ones(64, device="mps").sum()) == 64
"""
ARGUMENTS = (
    "--mps-threads=2",
    "--mps-all-tests",
    "--mps-tsan",
    "--mps-device=sim",
    "--mps-sim-design=fork",
    "--mps-attempts=1",
    "--mps-perturb=off",
    "-p",
    "no:run-parallel",
)


def test_a_race_of_kernels_is_found_in_an_ordinary_test(tmp_path: Path) -> None:
    try:
        find_toolchain()
    except ToolchainError as error:
        pytest.skip(str(error))
    ran = run(tmp_path, SOURCE, *ARGUMENTS)
    assert ran.counts() == {"passed": 1, "failed": 1}
    assert "RACE in 1 of 1 attempts" in ran.block("test_shares")
    assert "write by kernel aten::add_.Tensor" in ran.block("test_shares")
    assert "not under ThreadSanitizer" not in ran.text
    assert "canaries found" in ran.text
    (file,) = ran.folder.glob("results/runs/*/*.jsonl")
    ends = [one for one in map(json.loads, file.read_text().splitlines()) if one["kind"] == "attempt_end"]
    assert all(one["tsan"]["problem"] == "" for one in ends)
