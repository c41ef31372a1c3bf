"""Run a recorded attempt again: RUN/17 is attempt 17 of that run.

The same scenario, seeds, perturbation and readback on the same kind of device, each time in a process of its
own. Prints how often it fails and as what. The exit status is 0 when the recorded result came again at least
once, 1 when it did not, 2 for an attempt that cannot be run here. RUN is a folder of results/runs, a path, or
`latest`; a bare number is an attempt of the newest run.
"""

from __future__ import annotations

import argparse

from stress.commands.shared_options import add_places

ATTEMPTS_DEFAULT = 20
ATTEMPTS_MAX = 100_000


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("attempt", metavar="RUN/17", help="the attempt, as the failure block names it")
    parser.add_argument(
        "--attempts",
        metavar="N",
        help=f"how often (default {ATTEMPTS_DEFAULT})",
    )
    add_places(parser)
