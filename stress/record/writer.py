"""Append records so that a crash at any moment loses at most the line being written.

One file per writing process: a torn line in a shared file would swallow the next writer's record (2 of
245,373 lines of 4 kB were torn under SIGKILL, 10 of 14,009 of 60 kB). One `os.write` with O_APPEND per
record, no buffer. What makes a record long (stderr, stacks, crash reports) is a side file.
"""

from __future__ import annotations

import json
import math
import os
import threading
import time
from collections.abc import Callable
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from stress.record import schema
from stress.record import schema_check
from stress.record.folder import RecordError
from stress.record.folder import RunFolder
from stress.record.folder import cannot_write
from stress.record.folder import flush_to_disk
from stress.record.folder import host_name

LINE_BYTES_MAX = 64 * 1024
IDENTITY_CHARS_MAX = 2000

# A reader pairs starts and ends by these: they are cut at the same place in both, whatever else is long.
_IDENTITY = frozenset({"v", "kind", "run", "item", "role", "attempt"})
_FLUSHED = frozenset({"run", "attempt_start"})


class _Limits(NamedTuple):
    chars: int
    items: int
    depth: int


# Tried in this order until the line fits.
_LIMITS = (
    _Limits(16_384, 1_000, 12),
    _Limits(4_096, 200, 8),
    _Limits(1_024, 50, 6),
    _Limits(256, 10, 4),
    _Limits(64, 3, 3),
    _Limits(32, 1, 2),
)
_CUTS_NAMED_MAX = 20
_NUMBER_MAX = 2**64


class RecordWriter:
    """Writes the records of one process; safe to use from several threads, refuses to work after fork."""

    def __init__(
        self,
        folder: RunFolder,
        *,
        on_lost: Callable[[str], None] | None = None,
        first_serial: int = 1,
        serial_step: int = 1,
    ) -> None:
        """Create this process's file in `folder`; raise `RecordError` when that is impossible.

        `on_lost` is called once, with a sentence, when the first record cannot be written. Processes of one run
        that share a step and differ in their first serial name their attempts by different numbers.
        """
        self.folder = folder
        self.lost = 0
        self._on_lost = on_lost
        self._pid = os.getpid()
        self._lock = threading.Lock()
        self._torn = False
        self._next_serial, self._serial_step = first_serial, serial_step
        try:
            self._fd, self.name = _create(folder)
        except OSError as error:
            raise cannot_write(folder.path, error) from None

    def write(self, kind: schema.Kind, /, **fields: object) -> bool:
        """Append one record; return whether it is on file.

        `v`, `kind`, `run` and `time` are added. A full disk loses this record, not the run: it is counted,
        reported once and mentioned in every later record. Raise `ValueError` for a record that violates the
        schema, which is a bug in the caller, and `RecordError` in a process other than the opener's.
        """
        if os.getpid() != self._pid:
            raise RecordError(
                self.folder.path,
                f"process {os.getpid()} inherited the writer of process {self._pid}; open one",
            )
        record = {
            "v": schema.SCHEMA_VERSION,
            "kind": kind,
            "run": self.folder.run,
            "time": time.time(),
            **fields,
        }
        with self._lock:
            if self.lost:
                record["lost"] = self.lost
            problem = schema_check.check(record)
            if problem is not None:
                raise ValueError(problem)
            error = self._append(encode(record), flush=kind in _FLUSHED)
            self.lost += error is not None
            first_loss = error is not None and self.lost == 1
        if first_loss and self._on_lost is not None:
            lost = cannot_write(self.folder.path, error or OSError())
            self._on_lost(
                f"a record is lost, the run continues: records in {self.folder.path}: {lost.reason}"
            )
        return error is None

    @property
    def path(self) -> Path:
        return self.folder.path / self.name

    @property
    def next_serial(self) -> int:
        """Return the number by which the next attempt will be named."""
        return self._next_serial

    def go_on_from(self, serial: int) -> None:
        """Name the next attempt by this number: an earlier process of the run has used those below."""
        self._next_serial = serial

    def side_stem(self) -> str:
        """Return a new name stem, unique in the run folder, for an attempt's side files: stem + ".stderr".

        It ends with the attempt's serial, by which a person names the attempt: `mps-stress replay RUN/17`.
        """
        with self._lock:
            serial = self._next_serial
            self._next_serial += self._serial_step
            return f"{self.name.removesuffix('.jsonl')}-{serial}"

    def close(self) -> None:
        """Close the file; the writer must not be used afterwards."""
        with self._lock:
            os.close(self._fd)
            self._fd = -1

    def _append(self, line: bytes, *, flush: bool) -> OSError | None:
        if self._torn:
            # The remains could not be cut off: end that line, so that it spoils no other.
            line = b"\n" + line
        # Asked every time: Ctrl-C between a write and a count kept here would make the count wrong.
        size_bytes = os.fstat(self._fd).st_size
        try:
            written = os.write(self._fd, line)
            if written < len(line):
                # A disk that fills up takes a part first; the reason comes with the next write.
                written += os.write(self._fd, line[written:])
            if written < len(line):
                raise OSError("the disk took only part of the record")
        except BaseException as error:
            self._cut_back(size_bytes, size_bytes + len(line))
            if isinstance(error, OSError):
                return error
            raise
        self._torn = False
        if flush:
            try:
                flush_to_disk(self._fd)
            except OSError as error:
                return error
        return None

    def _cut_back(self, before_bytes: int, after_bytes: int) -> None:
        """Remove a half-written line: the next record must start on its own line."""
        if os.fstat(self._fd).st_size == after_bytes:
            self._torn = False
            return
        try:
            os.ftruncate(self._fd, before_bytes)
        except OSError:
            self._torn = self._torn or os.fstat(self._fd).st_size > before_bytes


def serial_of(stem: str) -> int:
    """Return the serial that a stem of `RecordWriter.side_stem` ends with."""
    return int(stem.rpartition("-")[2])


def _create(folder: RunFolder) -> tuple[int, str]:
    start_ms = int(time.time() * 1000)
    while True:
        name = f"{host_name()}-{os.getpid()}-{start_ms}.jsonl"
        try:
            fd = os.open(folder.path / name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o644)
        except FileExistsError:
            start_ms += 1
            continue
        _flush_folder(folder)
        return fd, name


def _flush_folder(folder: RunFolder) -> None:
    """Make the new file's name itself survive a panic of the machine."""
    fd = os.open(folder.path, os.O_RDONLY)
    try:
        flush_to_disk(fd)
    finally:
        os.close(fd)


def encode(record: Mapping[str, object]) -> bytes:
    """Return the line of a record, cut until it is below `LINE_BYTES_MAX`, with what was cut named in it."""
    for limits in _LIMITS:
        cuts: list[str] = []
        clipped = {
            key: _clip(
                value, limits._replace(chars=IDENTITY_CHARS_MAX) if key in _IDENTITY else limits, key, cuts
            )
            for key, value in record.items()
        }
        if cuts:
            clipped["truncated"] = cuts[:_CUTS_NAMED_MAX]
        line = json.dumps(clipped, allow_nan=False, separators=(",", ":")).encode("ascii") + b"\n"
        if len(line) <= LINE_BYTES_MAX:
            return line
    raise ValueError(
        f"a {record.get('kind')} record with {len(record)} fields does not fit {LINE_BYTES_MAX} bytes"
    )


def _clip(value: object, limits: _Limits, place: str, cuts: list[str]) -> object:
    """Return `value` as something JSON can hold, within `limits`, noting every cut in `cuts`.

    Lists and mappings lose their tail instead of gaining a marker: a marker would change their element type.
    """
    if isinstance(value, str):
        if len(value) <= limits.chars:
            return str(value)
        cuts.append(f"{place}: {limits.chars} of {len(value)} characters kept")
        return f"{value[: limits.chars]}... [truncated, {len(value)} characters]"
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)  # JSON has no nan.
    if isinstance(value, int) and abs(value) >= _NUMBER_MAX:
        return str(value)  # A reader refuses what overflows other languages' numbers.
    if value is None or isinstance(value, bool | int | float):
        return value
    if not isinstance(value, Mapping | list | tuple):
        return _clip(str(value), limits, place, cuts)
    if len(value) > limits.items:
        cuts.append(f"{place}: {limits.items} of {len(value)} entries kept")
    if limits.depth == 0 and value:
        cuts.append(f"{place}: nested too deeply")
        return {} if isinstance(value, Mapping) else []
    inner = limits._replace(depth=limits.depth - 1)
    if isinstance(value, Mapping):
        kept = list(value.items())[: limits.items]
        return {str(key)[:200]: _clip(item, inner, f"{place}.{str(key)[:40]}", cuts) for key, item in kept}
    return [_clip(item, inner, f"{place}[{i}]", cuts) for i, item in enumerate(value[: limits.items])]
