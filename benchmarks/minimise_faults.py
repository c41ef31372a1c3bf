"""Five seeded faults made smaller: does the script fail by itself at least half as often, in under five minutes each?

    python -m benchmarks.minimise_faults [FAULT...]

For each fault, a run of pytest finds it on the simulated device, and `mps-stress minimise` is given the first
attempt that failed. All of it is simulated. The result depends on how busy the machine is; run nothing else.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from stress.device.sim.zoo import BY_NAME
from stress.model import stats
from stress.record import RunReader

ROOT = Path(__file__).parent.parent
SECONDS = 180
SECONDS_MAX = 300.0
SHARE = 0.5
FAULTS = {
    "pool_binding_lost": ("scenarios/parallel_ops.py", "TwoThenFourThreads"),
    "scalar_buffer_reused": ("scenarios/copies.py", "ScalarChains"),
    "encoder_released": ("scenarios/native_loops.py", "NativeLoop[factories-"),
    "error_wrong_thread": ("scenarios/error_attribution.py", "LateErrors"),
    "event_wait_missing": ("scenarios/events.py", "EventBetweenStreams"),
}
"""Fault -> the file and the item that are run: crashes, wrong values and an exception, with and without streams."""
_RATE = re.compile(r"the script, by itself, fails (\d+) of (\d+) .*recorded configuration: (\d+) of (\d+)")


@dataclass(frozen=True)
class Row:
    """What one fault came to."""

    fault: str
    script: tuple[int, int]
    recorded: tuple[int, int]
    seconds: float
    smallest: str

    @property
    def share(self) -> float:
        """Return the script's rate as a share of the recorded configuration's."""
        rates = [failures / n if n else 0.0 for failures, n in (self.script, self.recorded)]
        return rates[0] / rates[1] if rates[1] else 0.0

    @property
    def is_reached(self) -> bool:
        return self.share >= SHARE and self.seconds <= SECONDS_MAX

    def __str__(self) -> str:
        low, high = stats.wilson(*self.script)
        word = "reached" if self.is_reached else "MISSED"
        return (
            f"{self.fault:22} script {self.script[0]:3}/{self.script[1]:<3} ({100 * low:.0f}-{100 * high:.0f} %)  recorded "
            f"{self.recorded[0]:3}/{self.recorded[1]:<4} share {self.share:.2f}  {self.seconds:4.0f} s  {word}\n"
            f"{'':22} {self.smallest}"
        )


def find(fault: str, results: Path) -> str:
    """Run pytest until an attempt fails; return its RUN/17. Raise `RuntimeError` where none does."""
    file, name = FAULTS[fault]
    for seed in range(1, 6):
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--mps-threads=8"]
        command += ["--mps-device=sim", f"--mps-sim-faults={fault}", f"--mps-seed={seed}", "--mps-attempts=6"]
        command += [f"--mps-results={results}", "--mps-profile=full", file, "-k", name.partition("[")[0]]
        subprocess.run(command, cwd=ROOT, capture_output=True, check=False, timeout=600)
        folder = max(results.iterdir(), key=lambda one: one.stat().st_mtime)
        for record in RunReader(folder):
            if record["kind"] != "attempt_end" or record["role"] != "crew" or name not in record["item"]:
                continue
            if record["verdict"] == BY_NAME[fault].verdict:
                return f"{folder}/{record['serial']}"
    raise RuntimeError(f"{fault} was not found in {FAULTS[fault]}")


def measure(fault: str, results: Path) -> Row:
    """Find one fault and make it smaller."""
    attempt = find(fault, results)
    started = time.monotonic()
    command = [sys.executable, "-m", "stress.commands.cli", "minimise", attempt, f"--seconds={SECONDS}"]
    done = subprocess.run(
        [*command, f"--results={results}"], cwd=ROOT, capture_output=True, text=True, check=False, timeout=900
    )
    seconds = time.monotonic() - started
    print(done.stdout, done.stderr, sep="", flush=True)
    found = _RATE.search(done.stdout)
    if found is None:
        return Row(fault, (0, 0), (0, 0), seconds, "no script")
    a, b, c, d = map(int, found.groups())
    starts = ("smallest", "  (of ")  # the second where the script is not that of the smallest
    smallest = " ".join(line.strip() for line in done.stdout.splitlines() if line.startswith(starts))
    return Row(fault, (a, b), (c, d), seconds, smallest)


def main(faults: list[str]) -> int:
    """Print one row per fault; return 1 where one missed what is to be reached."""
    rows = []
    with tempfile.TemporaryDirectory(prefix="mps-stress-minimise-") as folder:
        for fault in faults or list(FAULTS):
            rows.append(measure(fault, Path(folder)))
            print(rows[-1], flush=True)
    print("\nsimulated device; script against recorded configuration, both measured here")
    for row in rows:
        print(row)
    return 0 if all(row.is_reached for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
