"""Measure the detector: which of the seeded faults of the simulated device does it kill, and how fast?

Runs a fixed allocation of scenarios against every fault of the bug zoo and against its fault-free twin, each
attempt in a process of its own, and prints kill rates, verdicts, names and the score. Everything is simulated:
it measures the detector, never a real backend. A twin that fails makes the exit status 1.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from stress.commands import CommandError
from stress.power.options import PEERS
from stress.power.options import SECONDS_DEFAULT
from stress.power.options import PowerOptions


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--faults", metavar="NAME[,NAME...]", help="only these faults (default: all of the zoo)"
    )
    parser.add_argument(
        "--seconds",
        metavar="SECONDS",
        default=str(SECONDS_DEFAULT),
        help=f"wall time of the whole measurement, shared between the faults (default {SECONDS_DEFAULT})",
    )
    parser.add_argument(
        "--threads", metavar="N", help="threads of every entry (default: as the allocation says)"
    )
    parser.add_argument(
        "--seed", metavar="SEED", help="root seed, decimal or 0x... (default: drawn and recorded)"
    )
    parser.add_argument(
        "--probability",
        metavar="P[,P...]",
        default="0.01,0.1,0.001",
        help="probability of a fault that declares 0.01, others in proportion; the first one is the score, "
        "the others are printed beside it (default 0.01,0.1,0.001)",
    )
    parser.add_argument(
        "--twins",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="run the fault-free twins (default)",
    )
    parser.add_argument(
        "--blind",
        action="store_true",
        help="spread each fault's seconds over the whole allocation, as if nothing were known of the fault",
    )
    parser.add_argument(
        "--against", choices=PEERS, help="measure this tool too: same faults, seconds, device, run"
    )
    parser.add_argument(
        "--results", metavar="DIR", default="results/runs", help="where records go (results/runs)"
    )
    parser.add_argument("--json", action="store_true", help="print JSON instead of the table")
    parser.add_argument(
        "--allocation", metavar="FILE", help="entries and their shares (default: the shipped ones)"
    )
    parser.add_argument(
        "--explore",
        metavar="N",
        help="attempt every entry N times per fault and print no score: records for --learn",
    )
    parser.add_argument(
        "--learn",
        metavar="RUN",
        nargs="+",
        help="run nothing: print the allocation that kills most faults by these runs' records (folders)",
    )


def run(args: argparse.Namespace) -> int:
    """Check the options, then measure or learn."""
    try:
        options = PowerOptions.parse(vars(args))
    except ValueError as error:
        raise CommandError(str(error)) from None
    if options.learn:
        from stress.power.learn import learn

        print(learn(options.learn), end="")
        return 0
    from stress.power.command import measure

    return measure(options, cwd=Path.cwd())
