"""Write Markdown for a pull request from records: results, confidence, patch identity, checklist, what is not shown.

RUN is a run folder, or a folder of run folders: of scenarios, and of the commands power, throughput and tsan. Home,
user, host and device identifiers are removed, and so are values of variables not on the allow-list.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass
from pathlib import Path

from stress.commands import shared_options
from stress.model.spec import RESULTS_DEFAULT


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("runs", metavar="RUN", nargs="+", help="run folders, or folders of run folders")
    parser.add_argument("--patch", metavar="FILE", help="the patch: its files, lines and hashes")
    shared_options.add(
        parser, "torch-source", help="the tree that was built: does the patch apply, is it what was tested?"
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
    shared_options.add(parser, "results", help="where records of those tests go (%(default)s)")
    parser.add_argument(
        "--draft",
        choices=("issue", "pr"),
        help="print a draft of the issue or of the pull request instead, with gaps for what only a person can write",
    )
    shared_options.add(parser, "output", help="where the Markdown goes (default: stdout)")


@dataclass(frozen=True)
class EvidenceOptions:
    """Validated options."""

    runs: tuple[Path, ...]
    base: tuple[Path, ...] = ()
    patch: Path | None = None
    tree: Path | None = None
    lint: bool = False
    upstream: tuple[tuple[str, str], ...] = ()
    """(role, interpreter) under which upstream's own tests are run first."""
    draft: str | None = None
    """One of `stress.commands.evidence.draft.KINDS`, in place of the whole document."""
    results: Path = Path(RESULTS_DEFAULT)
    """Where the records of those tests go."""
    output: Path | None = None


def parse(args: argparse.Namespace) -> EvidenceOptions:
    return EvidenceOptions(
        runs=shared_options.paths(args.runs),
        base=shared_options.paths(args.base),
        patch=Path(args.patch) if args.patch else None,
        tree=shared_options.value(args, "torch-source"),
        lint=args.lint,
        upstream=_interpreters(args),
        draft=args.draft,
        **shared_options.values(args, "results", "output"),
    )


def _interpreters(args: argparse.Namespace) -> tuple[tuple[str, str], ...]:
    """Return (role, interpreter) of the tests to run: the stock one first, where it was given."""
    if not args.upstream_tests:
        if args.stock_python:
            raise ValueError("--stock-python is for --upstream-tests: give both, or neither")
        return ()
    stock = [("stock", args.stock_python)] if args.stock_python else []
    return (*stock, ("patched", sys.executable))
