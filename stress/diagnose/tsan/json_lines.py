"""Reports as JSON lines: the second route out of a process, read by the annotations of `report.py`.

`harness/native/uninstrumented/on_report.cpp` writes one line per report through TSan's debugging API, from the
runtime's own data instead of its text. The API knows neither the locks held at an access nor the runtime's words for
a tagged object. A line may be torn or anybody's: what does not fit is counted, never trusted.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Iterable
from dataclasses import replace
from types import UnionType
from typing import Any
from typing import get_args
from typing import get_origin
from typing import get_type_hints

from stress.diagnose.tsan.report import TYPES
from stress.diagnose.tsan.report import Access
from stress.diagnose.tsan.report import Location
from stress.diagnose.tsan.report import Mutex
from stress.diagnose.tsan.report import Parsed
from stress.diagnose.tsan.report import Report
from stress.diagnose.tsan.report import Stack
from stress.diagnose.tsan.tally import ReportTally

VERSION = 1
LINE_BYTES_MAX = 4 * 1024 * 1024
ITEMS_MAX = 1000
"""Frames of a stack, stacks of a report: far beyond what the runtime gives."""
TEXT_CHARS_MAX = 10_000

_INTEGER_MAX = 2**64
_UNTOLD: dict[type, dict[str, object]] = {
    Access: {"write": False}, Stack: {"kind": "event"}, Location: {"kind": "?"}, Mutex: {"id": "M?"},
}  # fmt: skip
"""The value of a field without a default that a line leaves out."""


def report_from_json(data: object) -> Report:
    """Return the report that on_report.cpp wrote; raise `ValueError` for anything else."""
    if not isinstance(data, dict) or _value(int, data.get("v"), "v") != VERSION:
        raise ValueError("not a report of version 1")
    kind = _text(data.get("kind") or "")
    text = data.get("type") or TYPES.get(kind, kind)
    if not text:
        raise ValueError("a report without a type")
    report: Report = _value(Report, {**data, "type": text}, "report")
    return replace(report, count=max(1, report.count))


def parse_json_text(lines: Iterable[str]) -> Parsed:
    """Return the reports in JSON lines; a last line without an end is a process that died while it wrote."""
    tally = ReportTally()
    wrong: list[str] = []
    wrong_lines = 0
    cut_off = False
    for line in lines:
        if not line.strip():
            continue
        try:
            tally.add(report_from_json(json.loads(line)))
        except (ValueError, RecursionError):
            if not line.endswith("\n"):
                cut_off = True
                continue
            wrong_lines += 1
            wrong.extend([line.strip()[:200]] if len(wrong) < 20 else [])
    return tally.parsed(unparsed_lines=wrong_lines, unparsed=tuple(wrong), cut_off=cut_off)


def _value(hint: Any, value: object, name: str) -> Any:
    """Return a value of JSON as the annotation `hint` has it; raise `ValueError` for one of another form."""
    if hint is str:
        return _text(value)
    if hint is int:
        if isinstance(value, int) and not isinstance(value, bool) and abs(value) < _INTEGER_MAX:
            return value
        raise ValueError(f"{name} is not a whole number of 64 bits")
    if hint is bool:
        if isinstance(value, bool):
            return value
        raise ValueError(f"{name} is {type(value).__name__}, expected true or false")
    if get_origin(hint) is tuple:
        if not isinstance(value, list) or len(value) > ITEMS_MAX:
            raise ValueError(f"{name} is not a list of at most {ITEMS_MAX}")
        return tuple(_value(get_args(hint)[0], one, name) for one in value)
    if not isinstance(value, dict):
        raise ValueError(f"{name} is {type(value).__name__}, expected an object")
    given = {**_UNTOLD.get(hint, {}), **{key: one for key, one in value.items() if one not in (None, "")}}
    try:
        return hint(
            **{key: _value(one, given[key], key) for key, one in _fields(hint).items() if key in given}
        )
    except TypeError as error:  # one that must be there is not
        raise ValueError(f"{name}: {error}") from None


@functools.cache
def _fields(of: type) -> dict[str, Any]:
    """Return the annotation of each field, without "or None": what is null or empty is left out."""
    hints = get_type_hints(of)
    return {
        name: next(iter(set(get_args(hint)) - {type(None)})) if isinstance(hint, UnionType) else hint
        for name, hint in hints.items()
    }


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError(f"{type(value).__name__}, expected a text")
    # A lone surrogate (an escaped half of a pair) can be printed nowhere.
    return value[:TEXT_CHARS_MAX].encode("utf-8", "replace").decode("utf-8")
