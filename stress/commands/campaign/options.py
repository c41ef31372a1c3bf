"""Attempt all scenarios for hours: seeds from the OS, time where it finds most, canaries throughout.

Half of the time is shared by all items alike; the other half goes to those that fail most per second. Canaries run at
the beginning, throughout and at the end. It outlives what it provokes: with --resume a campaign goes on that was killed,
or whose machine went down or was restarted, with all that it had recorded. One campaign runs on a device at a time. Exit status 0:
nothing new; 1: a failure that neither results/known nor --baseline has a name for, a canary that was missed, or nothing
that counts; 2: bad input; 128 and its number: a signal.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stress.commands import shared_options
from stress.model.spec import RESULTS_DEFAULT
from stress.scenario.capabilities import DEVICES


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "arguments",
        metavar="PATH|NODEID",
        nargs="*",
        help="scenarios (default: those of this folder, else the ones that come with the package); after --, further "
        "options of pytest, as in -- -k Shared --mps-perturb=high",
    )
    parser.add_argument(
        "--seconds",
        metavar="SECONDS",
        default=str(SECONDS_DEFAULT),
        help=f"time by the clock of the day, sleep included (default {SECONDS_DEFAULT})",
    )
    parser.add_argument(
        "--threads",
        metavar="N[,N...]",
        default=THREADS_DEFAULT,
        help=f"threads of each item (default {THREADS_DEFAULT})",
    )
    parser.add_argument(
        "--device",
        metavar="|".join(DEVICES),
        default="auto",
        help="device to test (default auto: mps on macOS, elsewhere the simulated one)",
    )
    parser.add_argument(
        "--sim-faults", metavar="FAULTS", help="faults of the simulated device, as --mps-sim-faults has them"
    )
    parser.add_argument(
        "--deadline",
        metavar="SECONDS",
        help="kill an attempt after this long and call it a hang (default 60)",
    )
    parser.add_argument(
        "--results", metavar="DIR", default=RESULTS_DEFAULT, help=f"where records go ({RESULTS_DEFAULT})"
    )
    parser.add_argument(
        "--disk-mb",
        metavar="MB",
        help=f"limit of that folder: clean files of records become totals, oldest first (default {DISK_MB_DEFAULT})",
    )
    parser.add_argument(
        "--baseline",
        metavar="RUN",
        action="append",
        help="run folder, or folder of them, whose failures are not new; may be given several times",
    )
    parser.add_argument(
        "--resume",
        action="store_true",
        help="go on with the campaign in --results that was killed; where there is none, say so and exit with 0",
    )


SECONDS_DEFAULT = 3600


THREADS_DEFAULT = "8"


DISK_MB_DEFAULT = 2048


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

    @classmethod
    def parse(cls, given: Mapping[str, Any]) -> CampaignOptions:
        """Return the options; raise `ValueError` with a sentence that names the option and the way out."""
        results = Path(given["results"]).resolve()
        disk_mb = shared_options.count(given["disk_mb"], "--disk-mb", DISK_MB_MAX)
        sim = [f"--mps-sim-faults={given['sim_faults']}"] if given["sim_faults"] is not None else []
        deadline = [f"--mps-deadline={given['deadline']}"] if given["deadline"] is not None else []
        return cls(
            seconds=shared_options.seconds(given["seconds"]),
            results=results,
            disk_bytes_max=(disk_mb or DISK_MB_DEFAULT) * BYTES_PER_MB,
            baseline=tuple(map(Path, given["baseline"] or ())),
            resume=given["resume"],
            pytest_arguments=(
                "--mps-profile=full",
                *given["arguments"],
                f"--mps-threads={given['threads']}",
                f"--mps-device={given['device']}",
                f"--mps-results={results}",
                *sim,
                *deadline,
            ),
        )


def parse(args: argparse.Namespace) -> CampaignOptions:
    return CampaignOptions.parse(vars(args))
