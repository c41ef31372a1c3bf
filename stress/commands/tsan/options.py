"""Build the native harness under ThreadSanitizer, run its cases, and say what "0 races" is worth.

Before a case counts, the same program must find a planted race, keep silent on its guarded twin, and be instrumented in
every translation unit; else the case is inconclusive, with the reason. Where the harness runs on the simulated Metal,
every line says so.

Exit status: 0 when every case is silent and the controls hold, 1 when something was found (a race, a broken invariant, a
crash, a hang), 2 for bad input or a missing compiler, 3 when nothing was found but nothing is proven either. With
--faults: 0 when every seeded fault is found by its declared detector in every run and everything else is silent.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stress.commands import shared_options
from stress.model.spec import DEADLINE_S_DEFAULT
from stress.model.spec import RESULTS_DEFAULT
from stress.plugin.settings import COUNT_MAX
from stress.plugin.settings import THREADS_MAX
from stress.sanitizer.native.result import ITERATIONS_DEFAULT


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--case", metavar="NAME[,NAME...]", help="cases to run (default: all; --list names them)"
    )
    parser.add_argument(
        "--threads",
        metavar="N[,N...]",
        default=str(THREADS_DEFAULT),
        help=f"threads that work at once (default {THREADS_DEFAULT})",
    )
    parser.add_argument(
        "--iterations",
        metavar="N",
        default=str(ITERATIONS_DEFAULT),
        help=f"iterations of each thread (default {ITERATIONS_DEFAULT})",
    )
    parser.add_argument(
        "--runs",
        metavar="N",
        default=str(RUNS_DEFAULT),
        help=f"processes per case, the unit of every rate (default {RUNS_DEFAULT})",
    )
    parser.add_argument(
        "--fault",
        metavar="NAME[/twin][:P]",
        help="switch on a seeded fault, or its twin, which must stay silent",
    )
    parser.add_argument(
        "--faults",
        action="store_true",
        help="run every seeded fault, its twin and every clean case, and count the three detectors separately",
    )
    parser.add_argument(
        "--deadline",
        metavar="SECONDS",
        default=f"{DEADLINE_S_DEFAULT:g}",
        help=f"kill a run after this long and call it a hang (default {DEADLINE_S_DEFAULT:g})",
    )
    parser.add_argument(
        "--seed", metavar="SEED", help="root seed, decimal or 0x... (default: drawn and recorded)"
    )
    parser.add_argument(
        "--list", action="store_true", help="name the cases, controls and faults, and run nothing"
    )
    parser.add_argument(
        "--recipe", metavar="FILE", help="build and run another program that speaks the harness's language"
    )
    parser.add_argument(
        "--results", metavar="DIR", default=RESULTS_DEFAULT, help=f"where records go ({RESULTS_DEFAULT})"
    )
    parser.add_argument("--json", action="store_true", help="print JSON instead of text")


THREADS_DEFAULT = 8


RUNS_DEFAULT = 5


@dataclass(frozen=True)
class TsanCommandOptions:
    """Validated options."""

    cases: tuple[str, ...]
    """Empty: all."""
    threads: tuple[int, ...]
    iterations: int
    runs: int
    fault: str | None
    faults: bool
    deadline_s: float
    seed: int
    list_only: bool
    recipe: Path | None
    results: Path
    json: bool

    @classmethod
    def parse(cls, given: Mapping[str, Any]) -> TsanCommandOptions:
        """Return the options; raise `ValueError` with a sentence that names the option and the way out."""
        if given["faults"] and (given["fault"] or given["case"]):
            raise ValueError("--faults runs all of them: leave out --fault and --case")
        recipe = Path(given["recipe"]).resolve() if given["recipe"] else None
        if recipe is not None and not recipe.is_file():
            raise ValueError(f"--recipe={given['recipe']}: there is no such file")
        return cls(
            cases=_names(given["case"]),
            threads=_threads(given["threads"]),
            iterations=_count(given["iterations"], "--iterations", COUNT_MAX),
            runs=_count(given["runs"], "--runs", COUNT_MAX),
            fault=given["fault"],
            faults=given["faults"],
            deadline_s=shared_options.seconds(given["deadline"], "--deadline"),
            seed=shared_options.seed(given["seed"]),
            list_only=given["list"],
            recipe=recipe,
            results=Path(given["results"]).resolve(),
            json=given["json"],
        )

    def to_data(self) -> dict[str, object]:
        """Return what the run record says of them."""
        return {
            "cases": list(self.cases),
            "threads": list(self.threads),
            "iterations": self.iterations,
            "runs": self.runs,
            "fault": self.fault,
            "faults": self.faults,
            "deadline_s": self.deadline_s,
        }


def _names(text: str | None) -> tuple[str, ...]:
    names = tuple(part.strip() for part in text.split(",")) if text is not None else ()
    if not all(names):
        raise ValueError(f"--case={text}: expected names, as in --case=stream_pool,event_pool")
    return tuple(dict.fromkeys(names))


def _threads(text: str) -> tuple[int, ...]:
    return tuple(dict.fromkeys(_count(part.strip(), "--threads", THREADS_MAX) for part in text.split(",")))


def _count(text: str, name: str, most: int) -> int:
    value = shared_options.count(text, name, most)
    assert value is not None, "there is a default"
    return value


def parse(args: argparse.Namespace) -> TsanCommandOptions:
    return TsanCommandOptions.parse(vars(args))
