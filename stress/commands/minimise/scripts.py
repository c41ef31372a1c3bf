"""The script of a configuration: written, run as anybody would run it, and judged by how its process ends."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from dataclasses import field
from pathlib import Path

from stress.commands.export.files import DEADLINE_S
from stress.model.sequential import Rates
from stress.model.sequential import SequentialTest
from stress.model.text import count
from stress.model.verdict import Verdict

_TIMEOUT_S = DEADLINE_S + 40.0
SAME_ERRORS = 3
"""Runs from the first one on that end with one and the same error, after which no more are made."""
_HANG = re.compile(r"^Timeout \(", re.MULTILINE)


@dataclass
class ScriptRate:
    """How often a script failed, and how."""

    failures: int = 0
    n: int = 0
    kinds: Counter[str] = field(default_factory=Counter)
    decision: bool | None = None
    """Whether it was shown to fail often enough; None where the time was up."""
    error: str = ""
    """The last line of what it died of each time: it does not run at all, and more runs would say no more."""


def measure(
    text: str, wanted: str, rates: Rates, until: float, tell: Callable[[str], None], runs: int
) -> ScriptRate:
    """Run a script until its rate is decided, and at least `runs` times if it is kept."""
    measured, test = ScriptRate(), SequentialTest(rates)
    last_lines: list[str] = []
    with tempfile.TemporaryDirectory(prefix="mps-stress-script-") as folder:
        path = Path(folder) / "script.py"
        path.write_text(text)
        while time.monotonic() < until:
            verdict, last_line = run_once(path)
            last_lines.append(last_line if verdict == Verdict.ERROR else "")
            measured.kinds[verdict] += 1
            measured.n += 1
            measured.failures += verdict == wanted
            test.add(verdict == wanted)
            if measured.decision is None:
                measured.decision = test.decision
            if len(last_lines) == SAME_ERRORS and last_lines[0] and len(set(last_lines)) == 1:
                measured.decision, measured.error = False, last_lines[0]
            if measured.decision is False or (measured.decision and measured.n >= runs):
                break
    tell(f"script: {measured.failures} of {count(measured.n, 'run')} failed")
    return measured


def run_once(path: Path) -> tuple[str, str]:
    """Run a script in a separate process, away from this package; return its verdict and its last line."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    try:
        done = subprocess.run(
            [sys.executable, path.name],
            cwd=path.parent,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return Verdict.HANG, ""
    output = (done.stdout + done.stderr).decode(errors="replace")
    return verdict_of(done.returncode, output), output.rstrip().rpartition("\n")[2]


def verdict_of(status: int, output: str) -> str:
    """Return the verdict of a script's run, by its exit status and the words that its own code prints."""
    if status == 0:
        return Verdict.PASS
    if status < 0:
        return Verdict.CRASH
    if _HANG.search(output):
        return Verdict.HANG
    if re.search(r"^exception: ", output, re.MULTILINE):
        return Verdict.RACE
    if re.search(r"^wrong value: |^AssertionError", output, re.MULTILINE):
        return Verdict.MISMATCH
    return Verdict.ERROR if "Traceback (most recent call last)" in output else Verdict.CRASH
