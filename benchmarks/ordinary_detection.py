"""Probability that one run of a test finds a race in plain Python: ours against pytest-run-parallel.

    python -m benchmarks.ordinary_detection

Four races (the shapes of tests that a user would write, a function call inside the window) and a correct twin
of each. A run is one test: 8 threads x 8 iterations on fresh state, so that all but the lost update have one
chance per run, in the first iteration. Both plugins run with their defaults; ours with the very options that
`ordinary_cost.py` takes the time of.

Targets: at least 20 times pytest-run-parallel's probability, at least 0.4 where it finds none, and no alarm
in 1,000 runs of each twin.
"""

from __future__ import annotations

import math
import sys
import tempfile
from pathlib import Path

from benchmarks.ordinary_bench import ITERATIONS
from benchmarks.ordinary_bench import OURS
from benchmarks.ordinary_bench import THEIRS
from benchmarks.ordinary_bench import THREADS
from benchmarks.ordinary_bench import run_pytest

RUNS = 300
TWIN_RUNS = 1000
FACTOR_MIN = 20.0
PROBABILITY_MIN = 0.4
Z_95 = 1.959964

HEAD = """
import threading
import pytest

class Box:
    def __init__(self):
        self.lock = threading.Lock()
        self.count = 0
        self.taken = []
        self.instance = None
        self.made = []
        self.ready = False
        self.value = None
        self.stock = 1
        self.sold = []

BOXES = [Box() for _ in range({runs})]

def op():
    pass

runs = pytest.mark.parametrize("run", range({runs}))
"""

RACES = {
    "lost update": """
@runs
def test_race(run):
    box = BOXES[run]
    ticket = box.count
    op()
    box.count = ticket + 1
    box.taken.append(ticket)
    assert box.taken.count(ticket) == 1
""",
    "double initialisation": """
@runs
def test_race(run):
    box = BOXES[run]
    if box.instance is None:
        op()
        box.instance = object()
        box.made.append(1)
    assert len(box.made) <= 1
""",
    "order violation": """
@runs
def test_race(run, thread_index):
    box = BOXES[run]
    if thread_index == 0:
        box.ready = True
        op()
        box.value = 42
    elif box.ready:
        assert box.value == 42
""",
    "check then act": """
@runs
def test_race(run):
    box = BOXES[run]
    if box.stock > 0:
        op()
        box.stock -= 1
        box.sold.append(1)
    assert len(box.sold) <= 1
""",
}

TWINS = {
    "lost update": """
@runs
def test_twin(run):
    box = BOXES[run]
    with box.lock:
        ticket = box.count
        op()
        box.count = ticket + 1
    box.taken.append(ticket)
    assert box.taken.count(ticket) == 1
""",
    "double initialisation": """
@runs
def test_twin(run):
    box = BOXES[run]
    with box.lock:
        if box.instance is None:
            op()
            box.instance = object()
            box.made.append(1)
    assert len(box.made) <= 1
""",
    "order violation": """
@runs
def test_twin(run, thread_index):
    box = BOXES[run]
    if thread_index == 0:
        box.value = 42
        op()
        box.ready = True
    elif box.ready:
        assert box.value == 42
""",
    "check then act": """
@runs
def test_twin(run):
    box = BOXES[run]
    with box.lock:
        if box.stock > 0:
            op()
            box.stock -= 1
            box.sold.append(1)
    assert len(box.sold) <= 1
""",
}


def wilson(found: int, runs: int) -> tuple[float, float]:
    """Return the 95 % Wilson interval of a probability seen `found` times in `runs`."""
    share = found / runs
    centre = share + Z_95**2 / (2 * runs)
    half = Z_95 * math.sqrt(share * (1 - share) / runs + Z_95**2 / (4 * runs**2))
    scale = 1 + Z_95**2 / runs
    return max(0.0, (centre - half) / scale), min(1.0, (centre + half) / scale)


def count_found(which: str, folder: Path, body: str, runs: int) -> int:
    path = folder / "test_one.py"
    path.write_text(HEAD.format(runs=runs) + body)
    run = run_pytest(which, path)
    assert run.failed + run.passed == runs, run.output
    return run.failed


def described(found: int, runs: int) -> str:
    low, high = wilson(found, runs)
    return f"{found / runs:.3f} ({low:.3f}-{high:.3f})"


def is_reached(ours: int, theirs: int) -> bool:
    if theirs == 0:
        return ours / RUNS >= PROBABILITY_MIN
    return ours >= FACTOR_MIN * theirs


def main() -> int:
    reached = True
    print(
        f"{THREADS} threads x {ITERATIONS} iterations; P(found per run) with 95 % interval, {RUNS} runs each"
    )
    print(f"{'race':23}{OURS:>22}{THEIRS:>22}{'ratio':>8}  target  alarms of the twin")
    with tempfile.TemporaryDirectory() as name:
        for race, body in RACES.items():
            folder = Path(name)
            ours = count_found(OURS, folder, body, RUNS)
            theirs = count_found(THEIRS, folder, body, RUNS)
            alarms = count_found(OURS, folder, TWINS[race], TWIN_RUNS)
            is_good = is_reached(ours, theirs) and alarms == 0
            reached &= is_good
            ratio = f"{ours / theirs:.1f}" if theirs else "-"
            print(
                f"{race:23}{described(ours, RUNS):>22}{described(theirs, RUNS):>22}{ratio:>8}  "
                f"{'reached' if is_good else 'MISSED'} {alarms} of {TWIN_RUNS}"
            )
    print(
        f"targets: {FACTOR_MIN:.0f} times, {PROBABILITY_MIN} where they find none, no alarm of a twin: ",
        end="",
    )
    print("reached" if reached else "MISSED")
    return 0 if reached else 1


if __name__ == "__main__":
    sys.exit(main())
