"""Print the coverage table from the code itself: scenario, row, origin, devices, and the seeded faults that it kills.

Rows and origins are what scenario classes declare. Where they ran and what they killed is kept in
results/coverage.toml, which `--add` makes from records: of an ordinary run, or of one with seeded faults.
"""

from __future__ import annotations

import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--add", metavar="RUN", nargs="+", help="take what these runs' records (folders) say into the data"
    )
    parser.add_argument(
        "--machine",
        metavar="TEXT",
        default="",
        help="with --add: what the runs ran on (default: as recorded)",
    )
    parser.add_argument("--write", action="store_true", help="write the README's section, between its marks")
    parser.add_argument(
        "--check",
        action="store_true",
        help="exit with 1 unless the README's section is what --write would write",
    )
    parser.add_argument("--json", action="store_true", help="print JSON instead of text")
    parser.add_argument(
        "--readme", metavar="FILE", default="README.md", help="for --write and --check (README.md)"
    )
    parser.add_argument(
        "--data", metavar="FILE", help="where scenarios have run (default: the shipped results/coverage.toml)"
    )
