"""Explain one file, folder or standard input: find out what it holds, and hand it to the reader for that."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import BinaryIO

from stress.commands import CommandError
from stress.commands.explain.explanation import Explanation
from stress.commands.explain.reading import HEAD_BYTES
from stress.commands.explain.reading import _crash_report
from stress.commands.explain.reading import _kind_of
from stress.commands.explain.reading import _tsan
from stress.commands.explain.reading import explain_text
from stress.commands.replay.find import find
from stress.commands.replay.find import is_attempt
from stress.diagnose.tsan.json_lines import LINE_BYTES_MAX
from stress.diagnose.tsan.json_lines import parse_json_text
from stress.diagnose.tsan.parser import text_lines

STDIN = "-"


def explain(
    name: str, stdin: BinaryIO, rootdir: Path | None = None, results: Path | None = None
) -> Explanation:
    """Explain the file, folder, attempt (RUN/17) or (`-`) standard input of that name. Never raises for what is in it."""
    if name == STDIN:
        return explain_stream(name, stdin)
    path = Path(name)
    if is_attempt(name) and not os.path.lexists(name):
        from stress.commands.explain.records import explain_records

        try:
            found = find(name, rootdir or Path.cwd(), results)
        except CommandError as error:
            return Explanation(name, "unreadable", headline=str(error).removeprefix(f"{name}: "))
        return explain_records(name, found.folder, found.serial)
    try:
        if path.is_dir():
            from stress.commands.explain.records import explain_records

            return explain_records(name, path)
        with path.open("rb", buffering=HEAD_BYTES) as file:
            return explain_stream(name, file, path)
    except OSError as error:
        return Explanation(name, "unreadable", headline=error.strerror or str(error))
    except ValueError as error:  # A name with a NUL character.
        return Explanation(name, "unreadable", headline=str(error))


def explain_stream(name: str, file: BinaryIO, path: Path | None = None) -> Explanation:
    """Explain what is read from `file`; `path` where it can be opened again."""
    peek = getattr(file, "peek", None)
    head: bytes = peek(HEAD_BYTES)[:HEAD_BYTES] if peek is not None else b""
    kind = _kind_of(head, name)
    regular = path is not None and stat.S_ISREG(path.stat().st_mode)
    if kind == "records":
        if path is None or not regular:
            return Explanation(
                name, "unreadable", headline="records are read from their folder, or from a .jsonl file in it"
            )
        from stress.commands.explain.records import explain_records

        return explain_records(name, path)
    if kind == "crash-report":
        return _crash_report(name, file, path if regular else None)
    if kind == "tsan-json":
        parsed = parse_json_text(text_lines(file, bytes_max=LINE_BYTES_MAX))
        return _tsan(name, kind, parsed, "")
    return explain_text(name, file, head)
