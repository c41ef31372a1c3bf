"""Shared code of both benchmarks of ordinary tests: running pytest in a separate process with one plugin."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

THREADS = 8
ITERATIONS = 8
CALLS = THREADS * ITERATIONS

OURS = "mps-stress"
THEIRS = "pytest-run-parallel"
PLAIN = "plain pytest"

# Entry points are not loaded: each process has exactly one plugin, and plain pytest has none.
ARGUMENTS: Mapping[str, Sequence[str]] = {
    PLAIN: (),
    OURS: ("-p", "mps_stress_plugin", f"--mps-threads={THREADS}", "--mps-all-tests"),
    THEIRS: (
        "-p",
        "pytest_run_parallel.plugin",
        f"--parallel-threads={THREADS}",
        f"--iterations={ITERATIONS}",
    ),
}
"""Ours runs with its defaults, of which 8 iterations are one; nothing else is set in either benchmark."""

TIMEOUT_S = 600


@dataclass(frozen=True)
class Run:
    """One pytest process: wall time in seconds and how many tests ended how."""

    wall_s: float
    counts: Mapping[str, int]
    output: str

    @property
    def failed(self) -> int:
        # pytest-run-parallel files the failures of its threads under "error".
        return sum(self.counts.get(word, 0) for word in ("failed", "error", "errors"))

    @property
    def passed(self) -> int:
        return self.counts.get("passed", 0)


def run_pytest(which: str, path: Path, **environment: str) -> Run:
    """Run pytest with one of `ARGUMENTS` on `path`; raise `RuntimeError` when it did not get to its end."""
    command = [sys.executable, "-m", "pytest", "-q", "--tb=no", "-p", "no:cacheprovider", "-c", os.devnull]
    command += [f"--rootdir={path.parent}", str(path), *ARGUMENTS[which]]
    variables = dict(os.environ, PYTEST_DISABLE_PLUGIN_AUTOLOAD="1", **environment)
    variables["PYTHONPATH"] = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
    begin_s = time.perf_counter()
    process = subprocess.run(
        command,
        env=variables,
        cwd=path.parent,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    wall_s = time.perf_counter() - begin_s
    counts = {
        word: int(count) for count, word in re.findall(r"(\d+) (\w+)(?=[, ].*in [\d.]+s)", process.stdout)
    }
    if process.returncode not in (0, 1) or not counts:
        raise RuntimeError(f"{which}: exit code {process.returncode}\n{process.stdout}\n{process.stderr}")
    return Run(wall_s, counts, process.stdout)
