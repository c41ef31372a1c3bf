"""How long a crash, a deadlock and a wrong value among fifty good tests take, from eight threads; the goal is 30 s on 2 cores.

    python -m benchmarks.fifty_tests [--rounds=3] [--device=sim]

Whole runs of pytest with the defaults, as a user has them: one run of each test alone, five attempts from eight threads, and for
the three failures stacks, fresh processes and one-thread controls.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path

from tests.hosted.fifty_tests import BAD
from tests.hosted.fifty_tests import GOOD
from tests.hosted.fifty_tests import SOURCE
from tests.hosted.fifty_tests import THREADS
from tests.ordinary.running import run

GOAL_S = 30.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--device", default="sim")
    options = parser.parse_args()
    seconds = []
    for _ in range(options.rounds):
        with tempfile.TemporaryDirectory() as folder:
            began = time.monotonic()
            ran = run(
                Path(folder),
                SOURCE,
                f"--mps-threads={THREADS}",
                "--mps-all-tests",
                f"--mps-device={options.device}",
                "-p",
                "no:run-parallel",
                "-q",
            )
            seconds.append(time.monotonic() - began)
        if ran.counts() != {"passed": GOOD, "failed": BAD}:
            raise SystemExit(f"expected {GOOD} passed and {BAD} failed: {ran.counts()}")
    told = ", ".join(f"{one:.1f}" for one in seconds)
    print(f"{statistics.median(seconds):.1f} s ({told}), goal {GOAL_S:.0f} s")


if __name__ == "__main__":
    main()
