"""`mps-stress minimise` on a race of the CPU that needs three threads: the script shows it without this package."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.acceptance import run_in
from tests.replay.test_replay import cli

SOURCE = """
class Three(Scenario):
    \"\"\"Threads write to one place, and the third one to come finds another's number there.\"\"\"

    params = {"size": [4, 64]}
    iterations = 8
    threads_min = 2

    def setup(self, device):
        return {"x": torch.zeros(self.size), "inside": 0}

    def make_input(self, generator):
        return torch.randn(self.size, generator=generator)

    def step(self, state, x):
        state["inside"] += 1
        state["x"] = x
        time.sleep(0.005)
        found = state["x"] if state["inside"] > 2 else x
        state["inside"] -= 1
        return found * 2
"""


def test_a_race_made_smaller(tmp_path: Path) -> None:
    ran = run_in(tmp_path, SOURCE, "--mps-threads=8", "--mps-attempts=2", "-k", "64")
    number = ran.ends("Three[64-t8]")[0]["serial"]
    assert ran.ends("Three[64-t8]")[0]["verdict"] == "mismatch"
    done = cli(tmp_path, "minimise", f"latest/{number}", "--seconds=250", "--script-runs=7", "-o", "small.py")
    assert done.returncode == 0
    tried = [
        line.split("  ")[0].strip() for line in done.stdout.splitlines() if line.endswith(("kept", "dropped"))
    ]
    assert tried[0] == "as recorded"
    assert "2 threads" in tried
    assert "smallest that still fails: 4 threads, 1 iteration, perturbation none" in done.stdout
    assert "size 4" in done.stdout
    assert "kept: a sequential test shows at least 0.5 times the recorded failure rate" in done.stdout
    assert "the script, by itself, fails" in done.stdout

    text = (tmp_path / "small.py").read_text()
    assert "stress" not in text.replace("mps-stress", "")
    again = subprocess.run(
        [sys.executable, "-I", "small.py"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=800,
        check=False,
    )
    assert again.returncode == 1
    assert "wrong value: " in again.stdout


def test_a_pass_cannot_be_made_smaller(tmp_path: Path) -> None:
    ran = run_in(
        tmp_path,
        "class A(Scenario):\n    def step(self, state, x):\n        return torch.ones(1) * stress.current().thread_index\n",
        "--mps-attempts=1",
    )
    number = ran.ends("A[t4]")[0]["serial"]
    done = cli(tmp_path, "minimise", str(number))
    assert done.returncode == 2
    assert "only a failure can be made smaller; mps-stress export writes a test of it" in done.stderr
