"""Cost of one call of an ordinary test's body from threads: ours against pytest-run-parallel's.

    python -m benchmarks.ordinary_cost

Many trivial tests, 8 threads x 8 iterations, each process with its defaults and both with a barrier per
iteration. The three configurations take turns in one invocation, and plain pytest's time for the same file is
subtracted, so that what remains is the threads' price. The overlap of the bodies is measured in a separate
run, by the bodies themselves: a cheap run that does not overlap is worth nothing.

Target: at most half of pytest-run-parallel's cost. `ordinary_detection.py` measures with the same options.
"""

from __future__ import annotations

import json
import statistics
import sys
import tempfile
from pathlib import Path

from benchmarks.ordinary_bench import CALLS
from benchmarks.ordinary_bench import ITERATIONS
from benchmarks.ordinary_bench import OURS
from benchmarks.ordinary_bench import PLAIN
from benchmarks.ordinary_bench import THEIRS
from benchmarks.ordinary_bench import THREADS
from benchmarks.ordinary_bench import run_pytest

TESTS = 1000
ROUNDS = 5
OVERLAP_TESTS = 100
RATIO_MAX = 0.5

TRIVIAL = """
def test_{n}():
    values = [{n}, 1]
    assert sum(values) == {n} + 1
"""

OVERLAP = """
import json, os, time
import pytest

spans = {{}}

@pytest.fixture(scope="module", autouse=True)
def written():
    yield
    with open(os.environ["OVERLAP_FILE"], "w") as file:
        json.dump(list(spans.values()), file)

@pytest.mark.parametrize("run", range({tests}))
def test_overlap(run):
    begin = time.perf_counter_ns()
    values = [run, 1]
    assert sum(values) == run + 1
    spans.setdefault(run, []).append((begin, time.perf_counter_ns()))
"""


def overlap_share(tests: list[list[tuple[int, int]]]) -> float:
    """Return the share of calls during which another call's body was running."""
    overlapped = calls = 0
    for unsorted in tests:
        spans = sorted(unsorted)
        latest = 0
        for position, (begin, end) in enumerate(spans):
            follows = position + 1 < len(spans) and spans[position + 1][0] < end
            overlapped += begin < latest or follows
            latest = max(latest, end)
        calls += len(spans)
    return overlapped / calls


def measure_overlap(which: str, folder: Path) -> float:
    path = folder / "test_overlap.py"
    path.write_text(OVERLAP.format(tests=OVERLAP_TESTS))
    file = folder / "overlap.json"
    run_pytest(which, path, OVERLAP_FILE=str(file))
    tests = json.loads(file.read_text())
    assert sum(map(len, tests)) == OVERLAP_TESTS * CALLS, "the bodies were not called as often as asked for"
    return overlap_share(tests)


def main() -> int:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        path = folder / "test_trivial.py"
        path.write_text("".join(TRIVIAL.format(n=n) for n in range(TESTS)))
        walls: dict[str, list[float]] = {PLAIN: [], OURS: [], THEIRS: []}
        for _ in range(ROUNDS):
            for which, times in walls.items():
                run = run_pytest(which, path)
                assert run.passed == TESTS, run.output
                times.append(run.wall_s)
        overlaps = {which: measure_overlap(which, folder) for which in (OURS, THEIRS)}
    costs_us = {
        which: [
            (wall - plain) / (TESTS * CALLS) * 1e6 for wall, plain in zip(times, walls[PLAIN], strict=True)
        ]
        for which, times in walls.items()
        if which != PLAIN
    }
    print(f"{TESTS} tests, {THREADS} threads x {ITERATIONS} iterations, {ROUNDS} interleaved rounds")
    print(f"{'':22}{'us per call':>12}{'min':>8}{'max':>8}{'bodies overlap':>16}")
    for which, costs in costs_us.items():
        median = statistics.median(costs)
        print(f"{which:22}{median:12.1f}{min(costs):8.1f}{max(costs):8.1f}{overlaps[which]:16.0%}")
    ratios = [ours / theirs for ours, theirs in zip(costs_us[OURS], costs_us[THEIRS], strict=True)]
    ratio = statistics.median(ratios)
    print(f"ours / theirs, by round: median {ratio:.2f}, {min(ratios):.2f} to {max(ratios):.2f}", end="; ")
    print(f"target at most {RATIO_MAX}: {'reached' if ratio <= RATIO_MAX else 'MISSED'}")
    return 0 if ratio <= RATIO_MAX else 1


if __name__ == "__main__":
    sys.exit(main())
