"""Attempt all scenarios for hours: seeds from the OS, time where it finds most, canaries throughout.

Half of the time is shared equally by all items; the other half goes to those that fail most per second. Canaries run at
the beginning, throughout and at the end. `--resume` continues a campaign that was killed, or whose machine crashed or
rebooted, and keeps what it had recorded. One campaign runs on a device at a time. Exit status 0: nothing new; 1: a
failure that neither results/known nor --baseline names, a missed canary, or nothing that counts; 2: bad input; 128 plus
the signal's number: a signal.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

from stress.commands import shared_options


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "arguments",
        metavar="PATH|NODEID",
        nargs="*",
        help="scenarios (default: those of this folder, else the shipped ones); after --, more options "
        "of pytest, as in -- -k Shared --mps-perturb=high",
    )
    shared_options.add(
        parser,
        "seconds",
        default="3600",
        help="wall-clock time, including sleep (default %(default)s)",
    )
    shared_options.add(
        parser, "threads", metavar="N[,N...]", default="8", help="threads of each item (default %(default)s)"
    )
    shared_options.add(parser, "device", "pytorch", "sim-faults")
    shared_options.add(
        parser, "deadline", help="kill an attempt after this long and call it a hang (default 60)"
    )
    shared_options.add(parser, "results")
    parser.add_argument(
        "--disk-mb",
        metavar="MB",
        default="2048",
        help="size limit of --results: clean files of records become totals, oldest first (default %(default)s)",
    )
    parser.add_argument(
        "--baseline",
        metavar="RUN",
        action="append",
        default=[],
        help="run folder, or folder of run folders, whose failures are not new; may be repeated",
    )
    parser.add_argument(
        "--resume",
        action="store_true",
        help="resume the killed campaign in --results; where there is none, say so and exit with 0",
    )


DISK_MB_MAX = 10**8


BYTES_PER_MB = 10**6


@dataclass(frozen=True)
class CampaignOptions:
    """Validated options; what pytest checks itself stays text."""

    seconds: float
    results: Path
    disk_bytes_max: int
    baseline: tuple[Path, ...]
    resume: bool
    pytest_arguments: tuple[str, ...]


def parse(args: argparse.Namespace) -> CampaignOptions:
    disk_mb = shared_options.count(args.disk_mb, "--disk-mb", DISK_MB_MAX)
    results = shared_options.value(args, "results")
    sim = [f"--mps-sim-faults={args.sim_faults}"] if args.sim_faults is not None else []
    pytorch = [f"--mps-pytorch={args.pytorch}"] if args.pytorch is not None else []
    deadline = [f"--mps-deadline={args.deadline}"] if args.deadline is not None else []
    return CampaignOptions(
        seconds=shared_options.value(args, "seconds"),
        results=results,
        disk_bytes_max=disk_mb * BYTES_PER_MB,
        baseline=shared_options.paths(args.baseline),
        resume=args.resume,
        pytest_arguments=(
            "--mps-profile=full",
            *("-o", "testpaths="),  # without files, scenarios alone: ordinary tests have no attempts
            *args.arguments,
            f"--mps-threads={args.threads}",
            f"--mps-device={args.device}",
            f"--mps-results={results}",
            *pytorch,
            *sim,
            *deadline,
        ),
    )
