"""Write Markdown for a pull request from records: results, confidence, patch identity, checklist, what is not shown.

RUN is a run folder, or a folder of run folders: of scenarios, and of the commands power, throughput, tsan and upstream. Home,
user, host and device identifiers are removed, and so are values of variables not on the allow-list.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

from stress.commands import shared_options


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
    draft: str | None = None
    """One of `stress.commands.evidence.draft.KINDS`, in place of the whole document."""
    output: Path | None = None


def parse(args: argparse.Namespace) -> EvidenceOptions:
    return EvidenceOptions(
        runs=shared_options.paths(args.runs),
        base=shared_options.paths(args.base),
        patch=Path(args.patch) if args.patch else None,
        tree=shared_options.value(args, "torch-source"),
        lint=args.lint,
        draft=args.draft,
        **shared_options.values(args, "output"),
    )
