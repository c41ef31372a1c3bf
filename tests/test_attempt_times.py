"""`tools/attempt_times.py`: where the seconds of a run went, from its records."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.acceptance import run_in

ROOT = Path(__file__).resolve().parents[1]
SOURCE = """
class Fine(Scenario):
    iterations = 1
    def step(self, state, x):
        return torch.ones(2) * stress.current().thread_index
"""


def test_names_what_references_and_crews_did(tmp_path: Path) -> None:
    ran = run_in(tmp_path, SOURCE, "--mps-attempts=3", "--mps-attempts-per-process=2")
    assert ran.folder is not None
    done = subprocess.run(
        [sys.executable, str(ROOT / "tools" / "attempt_times.py"), str(ran.folder)],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    fresh, older, reference, last = done.stdout.splitlines()
    assert fresh.startswith("crew, fresh process: 2, ")
    assert older.startswith("crew, older process: 1, ")
    assert reference.startswith("reference, fresh process: 1, ")
    assert last == "attempts of crews: 1 items with 3"
    for part in (
        "import",
        "prepare",
        "watched",
        "recorded",
        "orders",
        "cpu",
        "expect",
        "digest",
        "judge",
        "write",
        "other",
    ):
        assert f" {part} " in reference
    (end,) = ran.ends("Fine[t4]", "reference")
    took = sum(end["times"].values())
    assert 0 < took <= end["seconds"]
    assert float(reference.partition(", ")[2].partition(" s,")[0].split(", ")[-1]) == pytest.approx(
        end["seconds"], abs=0.1
    )
