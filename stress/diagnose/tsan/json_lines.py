"""Reports as JSON: to store them, and as the second route out of a process.

`harness/native/uninstrumented/on_report.cpp` writes one line per report through TSan's debugging API, from the
runtime's own data instead of its text. The API knows neither the locks held at an access nor the runtime's words for
a tagged object. A line may be torn or anybody's: what does not fit is counted, never trusted.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Iterator
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TypeVar

from stress.diagnose.tsan.parser import text_lines
from stress.diagnose.tsan.report import TYPES
from stress.diagnose.tsan.report import Access
from stress.diagnose.tsan.report import Frame
from stress.diagnose.tsan.report import Location
from stress.diagnose.tsan.report import Mutex
from stress.diagnose.tsan.report import Parsed
from stress.diagnose.tsan.report import Report
from stress.diagnose.tsan.report import Stack
from stress.diagnose.tsan.report import Thread
from stress.diagnose.tsan.tally import ReportTally

VERSION = 1
LINE_BYTES_MAX = 4 * 1024 * 1024
ITEMS_MAX = 1000
"""Frames of a stack, stacks of a report: far beyond what the runtime gives."""
TEXT_CHARS_MAX = 10_000

_INTEGER_MAX = 2**64
_T = TypeVar("_T")


def report_to_json(report: Report) -> dict[str, object]:
    """Return a report as plain data; what is None or empty is left out."""
    return {"v": VERSION, "kind": report.kind, **_compact(asdict(report))}


def report_from_json(data: object) -> Report:
    """Return the report that `report_to_json` or on_report.cpp wrote; raise `ValueError` for anything else."""
    table = _Table(data, "report")
    if table.integer("v") != VERSION:
        raise ValueError("not a report of version 1")
    kind = table.text("kind")
    text = table.text("type") or TYPES.get(kind or "", kind)
    if not text:
        raise ValueError("a report without a type")
    return Report(
        type=text,
        pid=table.integer("pid"),
        stacks=table.items("stacks", _stack),
        locations=table.items("locations", _location),
        mutexes=table.items("mutexes", _mutex),
        threads=table.items("threads", _thread),
        summary=table.text("summary"),
        similar=table.integer("similar") or 0,
        signal=table.integer("signal"),
        cut_off=table.flag("cut_off"),
        count=max(1, table.integer("count") or 1),
    )


def parse_json_lines(path: Path) -> Parsed:
    """Return the reports in a file of JSON lines, as a stream; raise `OSError` when it cannot be read."""
    with path.open("rb") as file:
        return parse_json_text(text_lines(file, bytes_max=LINE_BYTES_MAX))


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


def _compact(value: Mapping[str, object]) -> dict[str, object]:
    kept: dict[str, object] = {}
    for key, one in value.items():
        if isinstance(one, Mapping):
            kept[key] = _compact(one)
        elif isinstance(one, tuple | list):
            if one or key == "mutexes":  # No lock held is something else than not known.
                kept[key] = [_compact(each) if isinstance(each, Mapping) else each for each in one]
        elif one is not None and one is not False:
            kept[key] = one
    return kept


class _Table:
    """A JSON object whose every value is checked when it is taken."""

    def __init__(self, data: object, what: str) -> None:
        if not isinstance(data, dict):
            raise ValueError(f"a {what} is {type(data).__name__}, expected an object")
        self._data: dict[object, object] = data
        self._what = what

    def _take(self, key: str) -> object:
        return self._data.get(key)

    def text(self, key: str) -> str | None:
        value = self._take(key)
        if value is not None and not isinstance(value, str):
            raise ValueError(f"{self._what}: {key} is {type(value).__name__}, expected a text")
        # A lone surrogate (an escaped half of a pair) can be printed nowhere.
        return None if value is None else value[:TEXT_CHARS_MAX].encode("utf-8", "replace").decode("utf-8")

    def integer(self, key: str) -> int | None:
        value = self._take(key)
        if value is None:
            return None
        if not isinstance(value, int) or isinstance(value, bool) or abs(value) >= _INTEGER_MAX:
            raise ValueError(f"{self._what}: {key} is not a whole number of 64 bits")
        return value

    def flag(self, key: str) -> bool:
        value = self._take(key)
        if value is not None and not isinstance(value, bool):
            raise ValueError(f"{self._what}: {key} is {type(value).__name__}, expected true or false")
        return bool(value)

    def items(self, key: str, make: Callable[[object], _T]) -> tuple[_T, ...]:
        return tuple(make(one) for one in self._list(key))

    def texts(self, key: str) -> tuple[str, ...] | None:
        if self._take(key) is None:
            return None
        return tuple(one[:TEXT_CHARS_MAX] for one in self._list(key) if isinstance(one, str))

    def part(self, key: str) -> object:
        return self._take(key)

    def _list(self, key: str) -> Iterator[object]:
        value = self._take(key)
        if value is None:
            return iter(())
        if not isinstance(value, list) or len(value) > ITEMS_MAX:
            raise ValueError(f"{self._what}: {key} is not a list of at most {ITEMS_MAX}")
        return iter(value)


def _frame(data: object) -> Frame:
    table = _Table(data, "frame")
    return Frame(
        function=table.text("function"),
        file=table.text("file"),
        line=table.integer("line"),
        column=table.integer("column"),
        module=table.text("module"),
        offset=table.integer("offset"),
        build_id=table.text("build_id"),
    )


def _stack(data: object) -> Stack:
    table = _Table(data, "stack")
    return Stack(
        kind=table.text("kind") or "event",
        frames=table.items("frames", _frame),
        header=table.text("header") or "",
        thread=table.integer("thread"),
        access=_access(table.part("access")),
        mutex=table.text("mutex"),
        holding=table.text("holding"),
        lost=table.flag("lost"),
    )


def _access(data: object) -> Access | None:
    if data is None:
        return None
    table = _Table(data, "access")
    address = table.integer("address")
    if address is None:
        raise ValueError("access: no address")
    return Access(
        write=table.flag("write"),
        address=address,
        size=table.integer("size"),
        atomic=table.flag("atomic"),
        previous=table.flag("previous"),
        object_type=table.text("object_type"),
        mutexes=table.texts("mutexes"),
    )


def _location(data: object) -> Location:
    table = _Table(data, "location")
    return Location(
        kind=table.text("kind") or "?",
        name=table.text("name"),
        size=table.integer("size"),
        address=table.integer("address"),
        thread=table.integer("thread"),
        fd=table.integer("fd"),
        object_type=table.text("object_type"),
        module=table.text("module"),
        offset=table.integer("offset"),
        frames=table.items("frames", _frame),
    )


def _mutex(data: object) -> Mutex:
    table = _Table(data, "mutex")
    return Mutex(
        id=table.text("id") or "M?",
        address=table.integer("address"),
        frames=table.items("frames", _frame),
        destroyed=table.flag("destroyed"),
    )


def _thread(data: object) -> Thread:
    table = _Table(data, "thread")
    number = table.integer("id")
    if number is None:
        raise ValueError("thread: no id")
    return Thread(
        id=number,
        tid=table.integer("tid"),
        name=table.text("name"),
        running=table.flag("running"),
        parent=table.integer("parent"),
        worker=table.flag("worker"),
        frames=table.items("frames", _frame),
    )
