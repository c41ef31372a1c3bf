"""The native harness under ThreadSanitizer: build times, walls of clean runs, and every seeded fault with its detector.

    python -m benchmarks.native_harness [RUNS [RECIPE]]

RUNS (20) processes per fault, twin and clean case, at 8 threads x 50 iterations and at 31 x 100.
"""

from __future__ import annotations

import json
import statistics
import sys
import tempfile
import time
from pathlib import Path

from stress.commands.tsan import faults
from stress.device.clang import find_toolchain
from stress.sanitizer.native.build import NativeBuilder
from stress.sanitizer.native.case_runner import NativeRunner
from stress.sanitizer.native.harness import Harness
from stress.sanitizer.native.harness import HarnessError
from stress.sanitizer.native.harness import default_recipe
from stress.sanitizer.native.recipe import Recipe

RUNS = 20
SIZES = ((8, 50), (31, 100))
COLD_BUILDS = 3
CACHED_BUILDS = 20
DEADLINE_S = 60.0


def main() -> None:
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else RUNS
    recipe = Path(sys.argv[2]) if len(sys.argv) > 2 else default_recipe()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        try:
            harness = Harness.open(recipe, lambda text: print(text, file=sys.stderr))
        except HarnessError as error:
            print(f"not measured: {error}")
            return
        builds(recipe, folder)
        for threads, iterations in SIZES:
            runner = open_runner(harness, folder)
            table = faults.FaultTable(threads, iterations, harness.simulated)
            faults.measure(
                runner,
                table,
                [one for one in harness.listing.cases.values() if harness.platform in one.platforms],
                list(harness.listing.faults.values()),
                runs,
                lambda text: print(text, file=sys.stderr),
            )
            print(f"\n{faults.text(table)}")
            seconds = [run.ran.seconds for one in table.clean for run in one.runs]
            show(f"wall of a clean run, {threads} x {iterations}", seconds, "s", "under 0.2")


def builds(recipe: Path, folder: Path) -> None:
    """Print what a build costs, from nothing and from the cache."""
    cold = [build_s(recipe, folder / f"cache{number}") for number in range(COLD_BUILDS)]
    cached = [build_s(recipe, folder / "cache0") for _ in range(CACHED_BUILDS)]
    show("build from nothing", cold, "s", "under 15")
    show("build from the cache, with finding the compiler", cached, "s", "under 0.1")


def build_s(recipe: Path, cache: Path) -> float:
    started = time.perf_counter()
    NativeBuilder(Recipe.load(recipe), find_toolchain(), cache=cache).ensure(lambda _: None)
    return time.perf_counter() - started


def open_runner(harness: Harness, folder: Path) -> NativeRunner:
    """Return a runner that keeps its records in one file, since nobody reads them."""
    log = (folder / "records.jsonl").open("a")
    stems = iter(range(10**9))
    return NativeRunner(
        harness,
        lambda kind, **fields: log.write(json.dumps({"kind": kind, **fields}) + "\n"),
        lambda: f"run-{next(stems)}",
        folder,
        "benchmark",
        1,
        DEADLINE_S,
    )


def show(what: str, values: list[float], unit: str, goal: str) -> None:
    print(
        f"{what}: median {statistics.median(values):.3f} {unit} ({min(values):.3f}-{max(values):.3f}, "
        f"{len(values)} times; goal: {goal})"
    )


if __name__ == "__main__":
    main()
