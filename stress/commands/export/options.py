"""Write a scenario as plain code, without this package.

WHAT is a recorded attempt (RUN/17, latest/17, 17) or a scenario (scenarios/linear.py::SharedLinear, with or without
its parameters). `--as=unittest` writes a test in the style of torch's own test_mps.py, `--as=script` a script.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

from stress.commands import shared_options

KINDS = ("unittest", "script")
DEVICES = ("mps", "cuda", "cpu", "sim")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("what", metavar="WHAT", help="RUN/17, or FILE::CLASS[PARAMETERS]")
    parser.add_argument(
        "--as", dest="kind", choices=KINDS, default="unittest", help="what to write (default unittest)"
    )
    shared_options.add(parser, "output")
    shared_options.add(
        parser,
        "device",
        metavar=None,
        choices=DEVICES,
        default=None,
        help="device of the test (default: the record's, mps for a scenario)",
    )
    shared_options.add(parser, "threads", help="threads (default: the record's; 8 for a scenario)")
    shared_options.add(
        parser, "iterations", help="steps per thread (default: the record's, or what the scenario says)"
    )
    shared_options.add_places(parser)


@dataclass(frozen=True)
class ExportOptions:
    """Validated options; None means what the record, or the scenario, says."""

    what: str
    kind: str
    output: Path | None
    device: str | None
    threads: int | None
    iterations: int | None
    rootdir: Path
    results: Path | None


def parse(args: argparse.Namespace) -> ExportOptions:
    return ExportOptions(
        args.what,
        args.kind,
        **shared_options.values(args, "output", "device", "threads", "iterations", "rootdir", "results"),
    )
