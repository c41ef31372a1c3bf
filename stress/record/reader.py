"""Read a run folder, whoever wrote it: tolerate what a crash leaves, and trust nothing that it says."""

from __future__ import annotations

import json
import math
import re
import stat
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO
from typing import NamedTuple
from typing import cast

from stress.record import schema
from stress.record import schema_check
from stress.record.folder import RecordError

LINE_BYTES_MAX = 1024 * 1024  # 16 times the writer's own limit. Decoded, a line may take 30 times its bytes.
PROBLEMS_MAX = 1000
UNFINISHED_MAX = 10_000

_NUMBER_MAX = 2**64
_SKIP_BYTES = 64 * 1024
_UNKNOWN_KINDS_MAX = 100
_KIND_CHARS_MAX = 64


class Problem(NamedTuple):
    """A line that could not be used."""

    file: str
    line: int
    reason: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.reason}"


class Unfinished(NamedTuple):
    """An attempt that was started and has no end: the machine or the parent died, or it still runs."""

    run: str
    item: str
    role: str
    attempt: int
    file: str
    line: int


class RunReader(Iterator[schema.Record]):
    """Iterates over the valid records of a run folder, file by file, with flat memory.

    The counters are complete once the iteration has ended.
    """

    def __init__(self, folder: Path) -> None:
        self.problems: list[Problem] = []
        """The first `PROBLEMS_MAX` unusable lines."""
        self.problems_total = 0
        self.torn_lines = 0
        """Unterminated last lines, at most one per file: a writer that was killed, or is still writing."""
        self.unknown_kinds: Counter[str] = Counter()
        self.file = ""
        self.line = 0
        """The place of the record that was returned last."""
        self.unfinished: list[Unfinished] = []
        """The first `UNFINISHED_MAX` attempts without an end."""
        self._records = self._read(_record_files(folder))

    def __next__(self) -> schema.Record:
        return next(self._records)

    def _read(self, files: list[Path]) -> Iterator[schema.Record]:
        for path in files:
            if not stat.S_ISREG(path.lstat().st_mode):
                self._problem(path.name, 0, "not a regular file")  # A symlink or a pipe leads elsewhere.
                continue
            with path.open("rb") as file:
                yield from self._read_file(path.name, file)

    def _read_file(self, name: str, file: BinaryIO) -> Iterator[schema.Record]:
        started: dict[tuple[str, str, str, int], int] = {}
        number = 0
        while line := file.readline(LINE_BYTES_MAX + 1):
            number += 1
            if not line.endswith(b"\n"):
                if len(line) > LINE_BYTES_MAX and _skip_line(file):
                    self._problem(name, number, f"longer than {LINE_BYTES_MAX} bytes")
                else:
                    self.torn_lines += 1
                continue
            record = self._parse(name, number, line)
            if record is None:
                continue
            if record["kind"] == "attempt_start" and len(started) < UNFINISHED_MAX:
                started[record["run"], record["item"], record["role"], record["attempt"]] = number
            elif record["kind"] == "attempt_end":
                started.pop((record["run"], record["item"], record["role"], record["attempt"]), None)
            self.file, self.line = name, number
            yield record
        for key, start in started.items():
            if len(self.unfinished) < UNFINISHED_MAX:
                self.unfinished.append(Unfinished(*key, name, start))

    def _parse(self, name: str, number: int, line: bytes) -> schema.Record | None:
        try:
            # Numbers are checked one by one only where the text has any that may be out of range.
            decoder = _CAREFUL if _LONG_NUMBER.search(line) else _DECODER
            value = decoder.decode(line.decode("utf-8"))
        except (ValueError, RecursionError) as error:
            self._problem(name, number, f"not JSON: {str(error)[:200]}")
            return None
        if not isinstance(value, dict):
            self._problem(name, number, "not a JSON object")
            return None
        version = value.get("v")
        if version != schema.SCHEMA_VERSION or isinstance(version, bool):
            self._problem(
                name, number, f"schema version {_short(version)} is unknown; upgrade mps-stress to read it"
            )
            return None
        kind = value.get("kind")
        if not isinstance(kind, str):
            self._problem(name, number, f"kind is {_short(kind)}, expected a text")
            return None
        if kind not in schema.KINDS:
            self._count_unknown(kind)
            return None
        reason = schema_check.check(value)
        if reason is not None:
            self._problem(name, number, reason)
            return None
        return cast("schema.Record", _without_surrogates(value) if _SURROGATE.search(line) else value)

    def _problem(self, name: str, number: int, reason: str) -> None:
        self.problems_total += 1
        if len(self.problems) < PROBLEMS_MAX:
            self.problems.append(Problem(name, number, reason))

    def _count_unknown(self, kind: str) -> None:
        known = kind in self.unknown_kinds or len(self.unknown_kinds) < _UNKNOWN_KINDS_MAX
        self.unknown_kinds[kind if known and len(kind) <= _KIND_CHARS_MAX else "(others)"] += 1


def read_run(folder: Path) -> RunReader:
    """Return an iterator over the records of one run, or of one file of it; raise `RecordError` without either."""
    return RunReader(folder)


def _record_files(folder: Path) -> list[Path]:
    if folder.is_file():
        return [folder]
    try:
        return sorted(path for path in folder.iterdir() if path.name.endswith(".jsonl"))
    except OSError as error:
        raise RecordError(folder, f"cannot read: {error.strerror}") from None


def _skip_line(file: BinaryIO) -> bool:
    """Read on to the end of the line without keeping it; return whether the line has an end."""
    while part := file.readline(_SKIP_BYTES):
        if part.endswith(b"\n"):
            return True
    return False


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


def _integer(text: str) -> int:
    # The length first: a number of a million digits takes long to convert, and overflows any float.
    if len(text) > 21 or abs(int(text)) >= _NUMBER_MAX:
        raise ValueError(f"number {text[:21]} is out of range")
    return int(text)


def _real(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"number {text[:40]} is out of range")
    return value


def _constant(text: str) -> float:
    raise ValueError(f"{text} is not JSON")


_DECODER = json.JSONDecoder(parse_constant=_constant)
_CAREFUL = json.JSONDecoder(parse_int=_integer, parse_float=_real, parse_constant=_constant)
# Below 20 digits and an exponent of one digit (or a negative one) no number reaches 2**64 or overflows.
# Text that only looks like such a number takes the careful way and loses nothing.
_LONG_NUMBER = re.compile(rb"\d{20}|\d[eE]\+?\d\d")
_SURROGATE = re.compile(rb"\\u[dD]")


def _without_surrogates(value: object) -> object:
    """Return `value` with lone surrogates replaced: a terminal or a file cannot be given them."""
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode("utf-8")
    if isinstance(value, list):
        return [_without_surrogates(item) for item in value]
    if isinstance(value, dict):
        return {_without_surrogates(key): _without_surrogates(item) for key, item in value.items()}
    return value
