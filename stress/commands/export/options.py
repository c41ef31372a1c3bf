"""Write a scenario as plain code that needs torch and the standard library alone.

WHAT is a recorded attempt (RUN/17, latest/17, 17) or a scenario (scenarios/linear.py::SharedLinear, with or without
its parameters). `--as=unittest` writes a test in the style of torch's own test_mps.py, `--as=script` a script.
"""

from __future__ import annotations

import argparse

from stress.commands.shared_options import add_places

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
