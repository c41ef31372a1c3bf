"""Say what this machine can run, and what would spoil the results: one line each, with the way out.

Looks at the device, torch, the environment, the tools and the machine. Exit status 1 where something is missing;
what could not be looked at is told and is never called ok.
"""

from __future__ import annotations

import argparse

from stress.model.spec import RESULTS_DEFAULT


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--torch-source", metavar="DIR", help="compare the installed torch with this tree's commit"
    )
    parser.add_argument(
        "--results", metavar="DIR", default=RESULTS_DEFAULT, help=f"where records will go ({RESULTS_DEFAULT})"
    )
    parser.add_argument("--json", action="store_true", help="print JSON instead of text")
