"""Run PyTorch's own tests of its MPS backend, from one thread and from many, and say what is new.

Each test of FILE (below test/ of the tree) runs alone, and then from --threads threads at once, in child processes, so that a
crash or a hang takes no other test along. What came of each is compared with a baseline, a file for one tree version and device:
failures alone, failures from threads only, crashes, hangs, tests that no longer run, and tests that take much longer. Exit
status 0: nothing new; 1: something is; 2: bad input. Rates of two sets of runs are compared by mps-stress compare.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

from stress.commands import shared_options

FILES_DEFAULT = ("test_mps.py",)
ITERATIONS_DEFAULT = "2"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "files",
        metavar="FILE",
        nargs="*",
        help="test files below test/ of the tree (default: test_mps.py); a file's name may go on as a node id does",
    )
    shared_options.add(
        parser, "torch-source", required=True, help="PyTorch's source tree, which has the tests"
    )
    parser.add_argument(
        "--tests",
        metavar="TEXT",
        default="",
        help="only tests that pytest's -k selects, as in 'TestMPS and not large'",
    )
    shared_options.add(parser, "device", "pytorch", "sim-faults")
    shared_options.add(parser, "threads", default="8", help="threads; 1: alone only (default %(default)s)")
    shared_options.add(parser, "iterations", default=ITERATIONS_DEFAULT)
    shared_options.add(parser, "attempts", default="1", help="attempts from threads (default %(default)s)")
    shared_options.add(parser, "deadline", default="60")
    shared_options.add(parser, "seed", "results")
    parser.add_argument(
        "--baseline",
        metavar="FILE",
        help="what is known (default: results/upstream/pytorch-VERSION-DEVICE.json, else the one that comes with mps-stress)",
    )
    parser.add_argument(
        "--write-baseline",
        action="store_true",
        help="add what came of these tests to the baseline, in --baseline or results/upstream/pytorch-VERSION-DEVICE.json",
    )


@dataclass(frozen=True)
class UpstreamOptions:
    """Validated options."""

    tree: Path
    files: tuple[str, ...]
    tests: str
    device: str
    pytorch: str | None
    sim_faults: str | None
    threads: int
    iterations: int
    attempts: int
    deadline_s: float
    seed: int
    results: Path
    baseline: Path | None
    write_baseline: bool

    @property
    def is_whole(self) -> bool:
        """Whether all tests of the files are to run, so that one that does not is missing."""
        return not self.tests and not any("::" in one for one in self.files)


def parse(args: argparse.Namespace) -> UpstreamOptions:
    tree: Path = shared_options.value(args, "torch-source")
    files = tuple(args.files) or FILES_DEFAULT
    for one in files:
        if not (tree / "test" / one.partition("::")[0]).is_file():
            raise ValueError(
                f"{one}: there is no {tree / 'test' / one.partition('::')[0]}; --torch-source=DIR is a checkout of PyTorch, "
                "and its tests are in test/ (wheels do not have them)"
            )
    if args.sim_faults is not None:
        shared_options.sim(args)
    baseline = Path(args.baseline).resolve() if args.baseline else None
    if baseline is not None and not args.write_baseline and not baseline.is_file():
        raise ValueError(f"--baseline={args.baseline}: no such file; --write-baseline makes it")
    return UpstreamOptions(
        tree=tree,
        files=files,
        tests=args.tests,
        pytorch=args.pytorch,
        sim_faults=args.sim_faults,
        deadline_s=shared_options.value(args, "deadline"),
        baseline=baseline,
        write_baseline=args.write_baseline,
        **shared_options.values(args, "device", "threads", "iterations", "attempts", "seed", "results"),
    )
