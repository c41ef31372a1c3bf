"""`mps-stress evidence`: read everything and write the document."""

from __future__ import annotations

import argparse
import sys
from datetime import UTC
from datetime import datetime
from pathlib import Path

from stress.commands import CommandError


def run(args: argparse.Namespace) -> int:
    """Read everything and write the document."""
    from stress.commands.evidence.document import EvidenceRequest
    from stress.commands.evidence.document import document_of
    from stress.commands.evidence.patch import PatchError
    from stress.commands.evidence.upstream import UpstreamError
    from stress.record import RecordError
    from stress.record.aggregate import AggregateError

    asked = EvidenceRequest(
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
