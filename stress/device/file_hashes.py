"""SHA-256 of many files, remembered beside what changes with their content: a lookup of a build then reads none of them.

A file counts as unchanged while device, inode, size, mtime and ctime are. The kernel sets ctime at every change of the
content, and no program can set it back. Its clock ticks some milliseconds at a time, and two changes within a tick have
the same, so a file that was changed shortly before it was read is not remembered (as in git's index).
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from stress.device import cache

_SETTLED_NS = 2_000_000_000
"""FAT and some network file systems keep times to two seconds."""

Stamp = list[int]


def file_hashes(root: Path, paths: Iterable[Path], cache_folder: Path) -> list[str]:
    """Return "path hash" for each file below `root`, in this order; raise `OSError` for one that cannot be read.

    What is known is kept in `cache_folder`; where that cannot be written, all files are read each time.
    """
    memory = cache_folder / f"hashes-{cache.key([str(root)])}.json"
    known, seen = _read(memory), {}
    for path in paths:
        name, now = path.relative_to(root).as_posix(), time.time_ns()
        stamp, newest = _stamp(path)
        remembered = known.get(name)
        if remembered is not None and remembered[0] == stamp:
            seen[name] = remembered
            continue
        found = cache.file_hash(path)
        # Changed while it was read, or a moment ago: another change may leave the same stamp.
        is_settled = newest + _SETTLED_NS < now and _stamp(path)[0] == stamp
        seen[name] = (stamp if is_settled else [], found)
    if seen != known:
        _write(memory, seen)
    return [f"{name} {found}" for name, (_, found) in seen.items()]


def _stamp(path: Path) -> tuple[Stamp, int]:
    """Return what changes with the content, and the newer of its times in ns."""
    status = path.stat()
    times = status.st_mtime_ns, status.st_ctime_ns
    return [status.st_dev, status.st_ino, status.st_size, *times], max(times)


def _read(memory: Path) -> dict[str, tuple[Stamp, str]]:
    """Return what is remembered; nothing where the file is missing or damaged."""
    try:
        data = json.loads(memory.read_text(encoding="utf-8"))
        return {str(name): (list(stamp), str(found)) for name, (stamp, found) in data.items()}
    except (OSError, ValueError, TypeError, AttributeError):
        return {}


def _write(memory: Path, seen: dict[str, tuple[Stamp, str]]) -> None:
    part = memory.with_suffix(f".{os.getpid()}")
    with suppress(OSError):
        try:
            memory.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            part.write_text(json.dumps(seen), encoding="utf-8")
            os.replace(part, memory)
        finally:
            part.unlink(missing_ok=True)
