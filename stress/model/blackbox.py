"""The black box: a small memory-mapped file with each thread's last stamp, readable after SIGKILL.

Layout, in 64-bit words of the machine's byte order: a header of 8 words (magic, slots, stage, flags, number of
op names, reserved), then 8 words per slot (status, wave, iteration, phase, op, op count, reserved), then
a table of 64-byte op names. Slot i belongs to worker i, the last one to the main thread. A stamp is two
to four stores through ``memoryview.cast("Q")``, about 50 ns each; `struct.pack_into` and a lock were
slower, and nothing needs one: every slot has a single writer.
"""

from __future__ import annotations

import mmap
import sys
import threading
from dataclasses import dataclass
from pathlib import Path

_MAGIC = int.from_bytes(b"MPSBBOX1", "little")
_HEADER_WORDS = 8
_SLOT_WORDS = 8
_OPS_MAX = 512
_OP_NAME_BYTES = 64

STAGES = (
    "start",
    "import",
    "setup",
    "inputs",
    "crew",
    "join",
    "finish",
    "readback",
    "judge",
    "done",
    "references",
)
STATUSES = ("unused", "waiting", "running", "finished", "died")
PHASES = ("none", "barrier", "input", "step", "readback", "main_step")
FLAG_BODY_FINISHED = 1
FLAG_FINALISATION_ENTERED = 2
FLAG_FRAMEWORK_FAILED = 4
FLAG_DISK_FULL = 8
_FLAGS_OFFSET = 3 * 8


@dataclass(frozen=True)
class Stamp:
    """The last thing one thread was seen doing; ``op`` is "" where no op boundary was observed."""

    worker: int | None
    status: str
    wave: int
    iteration: int
    phase: str
    op: str

    def __str__(self) -> str:
        who = "main thread" if self.worker is None else f"thread {self.worker}"
        if self.status in ("unused", "waiting", "finished"):
            return f"{who}: {self.status}"
        return f"{who}: {self.status}, iteration {self.iteration}, {self.phase}, op {self.op or 'unknown'}"


@dataclass(frozen=True)
class Snapshot:
    """The contents of a box, as the parent reads them."""

    stage: str
    body_finished: bool
    finalisation_entered: bool
    stamps: tuple[Stamp, ...]
    framework_failed: bool = False
    disk_full: bool = False


class BlackBox:
    """The child's side. Create the file in the parent with `create`, open it in the child."""

    def __init__(self, path: Path, workers: int) -> None:
        size = _size(workers)
        with path.open("r+b") as file:
            self._map = mmap.mmap(file.fileno(), size)
        self._words = memoryview(self._map).cast("Q")
        self._names = (_HEADER_WORDS + (workers + 1) * _SLOT_WORDS) * 8
        self._workers = workers
        self._ops: dict[str, int] = {}
        self._lock = threading.Lock()

    @staticmethod
    def create(path: Path, workers: int) -> None:
        """Write an empty box; raise ``OSError`` on a full disk (a hole in the file would end in SIGBUS)."""
        words = bytearray(_size(workers))
        header = memoryview(words).cast("Q")
        header[0], header[1] = _MAGIC, workers
        path.write_bytes(words)

    def stage(self, name: str) -> None:
        self._words[2] = STAGES.index(name)

    def flag(self, bit: int) -> None:
        self._words[3] |= bit

    def writer(self, worker: int | None) -> Writer:
        """Return the writer of one worker's slot (`None`: the main thread's)."""
        index = self._workers if worker is None else worker
        return Writer(self, self._words, _HEADER_WORDS + index * _SLOT_WORDS)

    def op_id(self, name: str) -> int:
        """Return the number of an op name, entering it into the table when new; 0 when the table is full."""
        known = self._ops.get(name)
        if known is not None:
            return known
        with self._lock:
            known = self._ops.get(name)
            if known is None:
                known = len(self._ops) + 1
                if known >= _OPS_MAX:
                    return 0
                start = self._names + known * _OP_NAME_BYTES
                self._map[start : start + _OP_NAME_BYTES] = name.encode()[:_OP_NAME_BYTES].ljust(
                    _OP_NAME_BYTES, b"\0"
                )
                self._ops[name] = known
        return known


class Writer:
    """Stamps one slot; used by one thread only."""

    __slots__ = ("_base", "_box", "_ops", "_words")

    def __init__(self, box: BlackBox, words: memoryview[int], base: int) -> None:
        self._box, self._words, self._base = box, words, base
        self._ops = box._ops

    def status(self, name: str) -> None:
        self._words[self._base] = STATUSES.index(name)

    def iteration(self, wave: int, iteration: int) -> None:
        words, base = self._words, self._base
        words[base + 1] = wave
        words[base + 2] = iteration

    def phase(self, number: int) -> None:
        """Stamp the index into `PHASES`; a new phase has no op yet."""
        words, base = self._words, self._base
        words[base + 3] = number
        words[base + 4] = 0

    def op(self, name: str) -> None:
        """Stamp the op in flight ("" for none)."""
        words, base = self._words, self._base
        words[base + 4] = (self._ops.get(name) or self._box.op_id(name)) if name else 0
        words[base + 5] += 1


def read(path: Path) -> Snapshot:
    """Read a box, even if its writer was killed; raise ``ValueError`` for any other file."""
    data = path.read_bytes()
    if len(data) < _HEADER_WORDS * 8 or len(data) % 8:
        raise ValueError(f"{path}: not a black box (only {len(data)} bytes)")
    words = memoryview(data).cast("Q")
    workers = words[1]
    if words[0] != _MAGIC or len(data) != _size(workers):
        raise ValueError(f"{path}: not a black box of this version")
    names = (_HEADER_WORDS + (workers + 1) * _SLOT_WORDS) * 8

    def op_name(number: int) -> str:
        raw = data[names + number * _OP_NAME_BYTES : names + (number + 1) * _OP_NAME_BYTES]
        return raw.rstrip(b"\0").decode(errors="replace") if 0 < number < _OPS_MAX else ""

    def stamp(index: int) -> Stamp:
        slot = words[_HEADER_WORDS + index * _SLOT_WORDS : _HEADER_WORDS + (index + 1) * _SLOT_WORDS]
        worker = None if index == workers else index
        return Stamp(
            worker, _name(STATUSES, slot[0]), slot[1], slot[2], _name(PHASES, slot[3]), op_name(slot[4])
        )

    flags = words[3]
    return Snapshot(
        stage=_name(STAGES, words[2]),
        body_finished=bool(flags & FLAG_BODY_FINISHED),
        finalisation_entered=bool(flags & FLAG_FINALISATION_ENTERED),
        stamps=tuple(stamp(index) for index in range(workers + 1)),
        framework_failed=bool(flags & FLAG_FRAMEWORK_FAILED),
        disk_full=bool(flags & FLAG_DISK_FULL),
    )


def mark(path: Path, bit: int) -> None:
    """Set a flag without a `BlackBox`. The box already has its space, so a full disk does not matter."""
    with path.open("r+b", buffering=0) as file:
        file.seek(_FLAGS_OFFSET)
        flags = int.from_bytes(file.read(8), sys.byteorder) | bit
        file.seek(_FLAGS_OFFSET)
        file.write(flags.to_bytes(8, sys.byteorder))


def _name(names: tuple[str, ...], index: int) -> str:
    return names[index] if index < len(names) else f"?{index}"


def _size(workers: int) -> int:
    return (_HEADER_WORDS + (workers + 1) * _SLOT_WORDS) * 8 + _OPS_MAX * _OP_NAME_BYTES
