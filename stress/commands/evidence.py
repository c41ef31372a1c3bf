"""Write Markdown for a pull request from records: results, confidence, patch identity, checklist, what is not shown.

RUN is a run folder, or a folder of run folders: of scenarios, and of the commands power, throughput and tsan. Home,
user, host and device identifiers are taken out, and the values of variables that are not listed.
"""

from __future__ import annotations

import argparse
import sys
from datetime import UTC
from datetime import datetime
from pathlib import Path

from stress.commands import CommandError


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
        default="results/runs",
        help="where records of those tests go (results/runs)",
    )
    parser.add_argument(
        "--draft",
        choices=("issue", "pr"),
        help="print a draft of the issue or of the pull request instead, with gaps for what only a person can write",
    )
    parser.add_argument("-o", "--output", metavar="FILE", help="where the Markdown goes (default: stdout)")


def run(args: argparse.Namespace) -> int:
    """Read everything and write the document."""
    from stress.evidence.document import Asked
    from stress.evidence.document import document_of
    from stress.evidence.patch import PatchError
    from stress.evidence.upstream import UpstreamError
    from stress.record import RecordError
    from stress.record.aggregate import AggregateError

    asked = Asked(
        runs=tuple(Path(one) for one in args.runs),
        base=tuple(Path(one) for one in args.base),
        patch=Path(args.patch) if args.patch else None,
        tree=Path(args.torch_source).resolve() if args.torch_source else None,
        lint=args.lint,
        upstream=_interpreters(args),
        draft=args.draft,
        results=Path(args.results).resolve(),
    )
    made = f"Made {datetime.now(UTC):%Y-%m-%d %H:%M} UTC by mps-stress evidence"
    try:
        text = document_of(asked, made)
        if args.output:
            Path(args.output).write_text(text, encoding="utf-8")
    except (AggregateError, PatchError, RecordError, UpstreamError) as error:
        raise CommandError(str(error)) from None
    except OSError as error:
        raise CommandError(f"-o {args.output}: cannot write: {error.strerror}; give another file") from None
    if not args.output:
        print(text, end="")
    return 0


def _interpreters(args: argparse.Namespace) -> tuple[tuple[str, str], ...]:
    """Return (role, interpreter) of the tests to run: the stock one first, where it was given."""
    if not args.upstream_tests:
        if args.stock_python:
            raise CommandError("--stock-python is for --upstream-tests: give both, or neither")
        return ()
    stock = [("stock", args.stock_python)] if args.stock_python else []
    return (*stock, ("patched", sys.executable))
