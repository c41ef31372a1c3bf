"""Write Markdown for a pull request from records: results, confidence, patch identity, checklist, what is not shown.

RUN is a run folder, or a folder of run folders: of scenarios, and of the commands power, throughput and tsan. Home,
user, host and device identifiers are taken out, and the values of variables that are not listed.
"""

from __future__ import annotations

import argparse

from stress.model.spec import RESULTS_DEFAULT


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("runs", metavar="RUN", nargs="+", help="run folders, or folders of run folders")
    parser.add_argument("--patch", metavar="FILE", help="the patch: its files, lines and hashes")
    parser.add_argument(
        "--torch-source",
        metavar="DIR",
        help="the tree that was built: does the patch apply, is it what was tested?",
    )
    parser.add_argument(
        "--base",
        metavar="RUN",
        action="append",
        default=[],
        help="runs with stock torch, for before and after",
    )
    parser.add_argument(
        "--lint",
        action="store_true",
        help="run clang-format, lintrunner, flake8, mypy and more on the patch's files in the tree",
    )
    parser.add_argument(
        "--upstream-tests",
        action="store_true",
        help="first run the tree's test/test_mps.py with this interpreter and with --stock-python, single-threaded",
    )
    parser.add_argument("--stock-python", metavar="PYTHON", help="interpreter whose torch is the stock one")
    parser.add_argument(
        "--results",
        metavar="DIR",
        default=RESULTS_DEFAULT,
        help="where records of those tests go (results/runs)",
    )
    parser.add_argument(
        "--draft",
        choices=("issue", "pr"),
        help="print a draft of the issue or of the pull request instead, with gaps for what only a person can write",
    )
    parser.add_argument("-o", "--output", metavar="FILE", help="where the Markdown goes (default: stdout)")
