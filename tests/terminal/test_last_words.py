"""An item whose word is another one than in the last run on the device says so in the closing table."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.acceptance import PROLOGUE

SOURCE = """
class Fine(Scenario):
    def make_input(self, generator):
        return torch.randn(4, generator=generator)
    def step(self, state, x):
        if threading.current_thread() is not threading.main_thread() and os.path.exists("broken"):
            os.abort()
        return x * 2
"""


def test_is_in_the_table_once(tmp_path: Path) -> None:
    (tmp_path / "test_it.py").write_text(PROLOGUE + SOURCE)
    broken = tmp_path / "broken"
    broken.touch()
    command = [
        sys.executable,
        "-m",
        "pytest",
        "test_it.py",
        "--mps-threads=2",
        "--mps-device=cpu",
        "--mps-attempts=1",
    ]

    def table() -> str:
        done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False)
        return next(line for line in done.stdout.splitlines() if line.startswith(" Fine[t2]"))

    assert "was" not in table()
    broken.unlink()
    assert "; was CRASH SIGABRT" in table()
    assert "was" not in table()
