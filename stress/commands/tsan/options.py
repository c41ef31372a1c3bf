"""Build the native harness under ThreadSanitizer, run its cases, and say what "0 races" is worth.

Before a case counts, the same program must find a planted race, keep silent on its guarded twin, and be instrumented in
every translation unit; else the case is inconclusive, with the reason. Where the harness runs on the simulated Metal,
every line says so.

With --pytorch the same cases drive a PyTorch tree's own at::mps, built for Linux over the simulated Metal. The seeded faults
are not in it: what is found there are the tree's own.

Exit status: 0 when every case is silent and the controls hold, 1 when something was found (a race, a broken invariant, a
crash, a hang), 2 for bad input or a missing compiler, 3 when nothing was found but nothing is proven either. With
--faults: 0 when every seeded fault is found by its declared detector in every run and everything else is silent.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

from stress.commands import shared_options
from stress.plugin.settings import THREADS_MAX
from stress.sanitizer.native.listing import ITERATIONS_DEFAULT


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--case", metavar="NAME[,NAME...]", help="cases to run (default: all; --list names them)"
    )
    shared_options.add(
        parser,
        "threads",
        metavar="N[,N...]",
        default="8",
        help="threads that work at once (default %(default)s)",
    )
    shared_options.add(parser, "iterations", default=str(ITERATIONS_DEFAULT))
    parser.add_argument(
        "--runs",
        metavar="N",
        default="5",
        help="processes per case, the unit of every rate (default %(default)s)",
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
    shared_options.add(parser, "deadline", default="60")
    shared_options.add(parser, "seed")
    parser.add_argument(
        "--list", action="store_true", help="name the cases, controls and faults, and run nothing"
    )
    parser.add_argument(
        "--recipe", metavar="FILE", help="build and run another program with the harness's protocol"
    )
    shared_options.add(
        parser,
        "pytorch",
        help="source tree of PyTorch whose own at::mps the cases drive, on a simulated Metal",
    )
    parser.add_argument(
        "--force",
        action="store_true",
        help="of --pytorch: try a tree of another version than the installed torch, or one with a half-applied patch",
    )
    shared_options.add(parser, "results")
    shared_options.add(parser, "json", help="print JSON instead of text")


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
    pytorch: str | None
    force: bool
    results: Path
    json: bool

    @property
    def pytest_arguments(self) -> tuple[str, ...]:
        """Return the same in the plugin's options; a run of a case is an attempt of its item."""
        return (
            f"--mps-threads={','.join(map(str, self.threads))}",
            f"--mps-iterations={self.iterations}",
            f"--mps-attempts={self.runs}",
            f"--mps-deadline={self.deadline_s!r}",
            f"--mps-seed={self.seed:#x}",
            f"--mps-results={self.results}",
            *(["--mps-device=core", f"--mps-pytorch={self.pytorch}"] if self.pytorch is not None else []),
            *(["--collect-only"] if self.list_only else []),
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


def parse(args: argparse.Namespace) -> TsanCommandOptions:
    if args.faults and (args.fault or args.case):
        raise ValueError("--faults runs all of them: leave out --fault and --case")
    _check_tree(args)
    recipe = Path(args.recipe).resolve() if args.recipe else None
    if recipe is not None and not recipe.is_file():
        raise ValueError(f"--recipe={args.recipe}: no such file")
    if recipe is not None and recipe.suffix != ".toml":
        raise ValueError(f"--recipe={args.recipe}: expected a *.toml file, as pytest collects them")
    return TsanCommandOptions(
        cases=_names(args.case),
        threads=_threads(args.threads),
        runs=shared_options.count(args.runs, "--runs"),
        fault=args.fault,
        faults=args.faults,
        deadline_s=shared_options.value(args, "deadline"),
        list_only=args.list,
        recipe=recipe,
        pytorch=args.pytorch,
        force=args.force,
        **shared_options.values(args, "iterations", "seed", "results", "json"),
    )


def _check_tree(args: argparse.Namespace) -> None:
    """Refuse what has no meaning for a tree's own code, and what has none without a tree."""
    if args.pytorch is None:
        if args.force:
            raise ValueError("--force: only for a tree, which --pytorch=TREE names")
        return
    if not args.pytorch:
        raise ValueError("--pytorch=: expected the root of a PyTorch source tree, as in --pytorch=../pytorch")
    if args.fault is not None or args.faults:
        given = f"--fault={args.fault}" if args.fault is not None else "--faults"
        raise ValueError(
            f"{given}: the seeded faults are in the simulated backend, and --pytorch={args.pytorch} takes its place: "
            "leave one of the two options out"
        )
    if args.recipe:
        raise ValueError(
            f"--recipe={args.recipe} builds a program of its own, and --pytorch={args.pytorch} the native cases: leave "
            "one of the two options out"
        )


def _names(text: str | None) -> tuple[str, ...]:
    names = tuple(part.strip() for part in text.split(",")) if text is not None else ()
    if not all(names):
        raise ValueError(f"--case={text}: expected names, as in --case=stream_pool,event_pool")
    return tuple(dict.fromkeys(names))


def _threads(text: str) -> tuple[int, ...]:
    parts = [part.strip() for part in text.split(",")]
    return tuple(dict.fromkeys(shared_options.count(part, "--threads", THREADS_MAX) for part in parts))
