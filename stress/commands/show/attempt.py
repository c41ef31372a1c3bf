"""An attempt as text: everything that was recorded of it. Whatever comes from a record is data: no control characters."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from typing import TypeVar

from stress.commands.replay.failure_kind import FailureKind
from stress.commands.replay.find import Found
from stress.diagnose import parse_stacks
from stress.diagnose import summarise
from stress.isolate.child_texts import read_bounded
from stress.model import text
from stress.model.blackbox import Stamp
from stress.model.finding import Finding
from stress.plugin.terminal.block import finding_lines
from stress.record import RecordError
from stress.record import RunFolder

TEXT_CHARS_MAX = 5_000
TEXT_LINES_MAX = 40
TRACE_LINES_MAX = 200
FILE_LINES_MAX = 1_000
_N = TypeVar("_N", int, float)


def attempt_text(found: Found) -> str:
    """Return the attempt: how it ran, how it ended, all its findings, and the files beside the record."""
    start, end = found.start, found.end
    completion = f", completion {_safe(start['completion'])}" if "completion" in start else ""
    lines = [
        f"{_safe(found.name)}: {_safe(start['item'])}, {start['role']} attempt {start['attempt']}: {_ending(end)}",
        f"  {start['threads']} threads, {start['iterations']} iterations, seed {start['seed']:#x}, perturbation "
        f"{_safe(start.get('perturb', 'none'))}, read back {_safe(start.get('readback', '-'))}{completion}",
    ]
    lines += [f"  environment: {_safe(name)}={_safe(value)}" for name, value in start.get("env", {}).items()]
    if end is not None:
        lines += _end_lines(end)
    lines.append(f"  repeat: {_safe(start['command'])}")
    if end is not None:
        lines += _files(found.folder, end)
    return "\n".join(lines)


def _ending(end: Mapping[str, Any] | None) -> str:
    if end is None:
        return "no end record: the machine went down, pytest was killed, or it still runs"
    return f"{_safe(FailureKind.of(end))} after {float(end['seconds']):.1f} s"


def _end_lines(end: Mapping[str, Any]) -> Iterator[str]:
    findings = [finding for one in end.get("findings", ()) if (finding := _finding(one)) is not None]
    if end["headline"] and not findings:
        yield f"  {_safe(end['headline'])}"
    for finding in findings:
        yield from (f"  {line}" for line in finding_lines(finding, TRACE_LINES_MAX))
    for note in end.get("notes", ()):
        yield f"  note: {_safe(note)}"
    for stamp in end.get("stamps", ()):
        with contextlib.suppress(TypeError):  # of another version
            yield f"  {_safe(Stamp(**stamp))}"
    if end.get("truncated"):
        yield f"  the record was too long, these are cut: {_safe(', '.join(map(str, end['truncated'])))}"


def _finding(data: Mapping[str, Any]) -> Finding | None:
    """Return a finding of a record, which may say anything, as far as it can be printed."""
    if not isinstance(data, Mapping):
        return None
    trace = data.get("trace")
    return Finding(
        _safe(data.get("verdict")),
        _safe(data.get("name")),
        "\n".join(text.lines(str(data.get("text")), TEXT_LINES_MAX, TEXT_CHARS_MAX)),
        wave=_number(data.get("wave"), int),
        thread=_number(data.get("thread"), int),
        iteration=_number(data.get("iteration"), int),
        error_max=_number(data.get("error_max"), float),
        error_allowed=_number(data.get("error_allowed"), float),
        trace="\n".join(text.lines(trace, TRACE_LINES_MAX)) if isinstance(trace, str) else None,
    )


def _number(value: object, kind: type[_N]) -> _N | None:
    return kind(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def _files(folder: Path, end: Mapping[str, Any]) -> Iterator[str]:
    """Yield what lies beside the record; its name is the record's, so it is checked again."""
    for name in ("stderr", "stacks", "tsan_log"):
        file = end.get(name)
        if not file:
            continue
        try:
            path = RunFolder(folder).side(str(file))
        except RecordError:
            continue
        if path.is_symlink() or not path.is_file():
            yield f"  {name}: {_safe(file)} is not there any more"
            continue
        content = read_bounded(path)
        yield f"  {name} ({_safe(path)}):"
        if name == "stacks":
            content = summarise(parse_stacks(content)) or content
        yield from (f"    {line}" for line in text.lines(content, FILE_LINES_MAX))


def _safe(value: object) -> str:
    return text.one_line(str(value), TEXT_CHARS_MAX)
