"""Write a scenario as plain code that needs torch and the standard library alone.

WHAT is a recorded attempt (RUN/17, latest/17, 17) or a scenario (scenarios/linear.py::SharedLinear, with or without
its parameters). `--as=unittest` writes a test in the style of torch's own test_mps.py, `--as=script` a script.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from stress.command_options import count
from stress.commands.replay import add_places
from stress.commands.replay import checked
from stress.commands.replay import places

KINDS = ("unittest", "script")
DEVICES = ("mps", "cuda", "cpu", "sim")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("what", metavar="WHAT", help="RUN/17, or FILE::CLASS[PARAMETERS]")
    parser.add_argument(
        "--as", dest="kind", choices=KINDS, default="unittest", help="what to write (default unittest)"
    )
    parser.add_argument("-o", "--output", metavar="FILE", help="where to (default: stdout)")
    parser.add_argument(
        "--device", choices=DEVICES, help="device of the test (default: the record's, mps for a scenario)"
    )
    parser.add_argument("--threads", metavar="N", help="threads (default: the record's; 8 for a scenario)")
    parser.add_argument(
        "--iterations",
        metavar="N",
        help="steps per thread (default: the record's, or what the scenario says)",
    )
    add_places(parser)


def run(args: argparse.Namespace) -> int:
    """Check the options, then write the file."""
    from stress.plugin.settings import COUNT_MAX
    from stress.plugin.settings import THREADS_MAX

    threads = checked(lambda: count(args.threads, "--threads", THREADS_MAX))
    iterations = checked(lambda: count(args.iterations, "--iterations", COUNT_MAX))
    rootdir, results = places(args)
    from stress.export.command import export

    return export(
        args.what,
        kind=args.kind,
        output=Path(args.output) if args.output else None,
        device=args.device,
        threads=threads,
        iterations=iterations,
        rootdir=rootdir,
        results=results,
    )
