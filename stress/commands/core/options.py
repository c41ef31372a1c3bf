"""Build the MPS backend of a PyTorch tree for this machine, over a simulated Metal; or compare two of them.

`mps-stress core build --pytorch=TREE` takes the host code of the tree's ATen/mps as it is (streams, events, allocator,
guard, hooks, generator, profiler, copies and caches), compiles it and links it to the installed torch. The build is kept
by content: a tree that was built before takes no time. With --operators=tree the tree's own operators are compiled too,
MPSGraph is interpreted, and what is not carried yet stays with torch's CPU kernels, by name. Metal itself is not in it.

`mps-stress core compare --pytorch=BASE --pytorch=PATCHED` builds both under ThreadSanitizer, runs the native cases in
both, and says which races, crashes and broken invariants went, stayed and came.

Exit status: 0 when the build is there, or nothing came; 1 when something came; 2 for bad input, or a tree that cannot be
built; 3 when nothing came, but the controls do not show that it would have been seen.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass

from stress.commands import shared_options
from stress.device.core.build import SANITIZERS
from stress.plugin.settings import THREADS_MAX
from stress.sanitizer.native.listing import ITERATIONS_DEFAULT
from stress.scenario.capabilities import CORE_OPERATORS

TREES = {"build": 1, "compare": 2}
"""Action -> how many trees it takes."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "action",
        choices=TREES,
        help="build: make the library, or find it in the cache; compare: run the native cases on two trees",
    )
    shared_options.add(
        parser,
        "pytorch",
        action="append",
        required=True,
        help="root of a PyTorch source tree: a checkout, a fork, or an unpacked release; compare takes two, BASE first",
    )
    parser.add_argument(
        "--sanitizer",
        choices=SANITIZERS,
        help="of build: instrument the tree's code; thread is ThreadSanitizer, which compare always uses",
    )
    parser.add_argument(
        "--operators",
        choices=CORE_OPERATORS,
        default="cpu",
        help="of build: tree compiles the tree's own operators too; cpu (the default) leaves them to torch's CPU kernels",
    )
    parser.add_argument(
        "--force",
        action="store_true",
        help="try a tree of another version than the installed torch, or one with a half-applied patch",
    )
    parser.add_argument(
        "--case", metavar="NAME[,NAME...]", help="of compare: some of the cases (default: all)"
    )
    shared_options.add(
        parser, "threads", default="8", help="of compare: threads of each case (default %(default)s)"
    )
    shared_options.add(parser, "iterations", default=str(ITERATIONS_DEFAULT))
    parser.add_argument(
        "--runs",
        metavar="N",
        default="5",
        help="of compare: processes per case and tree (default %(default)s)",
    )
    shared_options.add(parser, "deadline", default="60")
    shared_options.add(parser, "seed")


@dataclass(frozen=True)
class CoreOptions:
    """Validated options."""

    action: str
    pytorch: tuple[str, ...]
    sanitizer: str | None
    operators: str
    force: bool
    cases: tuple[str, ...]
    """Empty: all."""
    threads: int
    iterations: int
    runs: int
    deadline_s: float
    seed: int


def parse(args: argparse.Namespace) -> CoreOptions:
    wanted = TREES[args.action]
    if len(args.pytorch) != wanted:
        number = "one tree" if wanted == 1 else "two trees, BASE and PATCHED"
        raise ValueError(f"{args.action} takes {number}: give --pytorch {'once' if wanted == 1 else 'twice'}")
    if args.operators != "cpu" and args.action == "compare":
        raise ValueError(f"--operators={args.operators}: only for build")
    if args.case is not None and args.action == "build":
        raise ValueError(f"--case={args.case}: only for compare")
    return CoreOptions(
        args.action,
        tuple(args.pytorch),
        args.sanitizer,
        args.operators,
        args.force,
        tuple(filter(None, args.case.split(","))) if args.case else (),
        shared_options.count(args.threads, "--threads", THREADS_MAX),
        shared_options.value(args, "iterations"),
        shared_options.count(args.runs, "--runs"),
        shared_options.value(args, "deadline"),
        shared_options.value(args, "seed"),
    )
