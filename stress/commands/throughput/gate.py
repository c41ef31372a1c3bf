"""A gate in a small file that several processes map: all arrive, then one opens it for all."""

from __future__ import annotations

import mmap
import time
from pathlib import Path

_OPEN = 0
_FIRST = 1


class Gate:
    """Byte 0 says whether the gate is open, the others who has arrived; each byte has one writer."""

    def __init__(self, path: Path) -> None:
        self._path = path
        with path.open("r+b") as file:
            self._map = mmap.mmap(file.fileno(), 0)

    @classmethod
    def create(cls, path: Path, count: int) -> Gate:
        path.write_bytes(bytes(_FIRST + count))
        return cls(path)

    @classmethod
    def join(cls, path: Path) -> Gate:
        return cls(path)

    def arrive(self, number: int) -> None:
        self._map[_FIRST + number] = 1

    def all_arrived(self) -> bool:
        return all(self._map[_FIRST:])

    def open(self) -> None:
        self._map[_OPEN] = 1

    def wait(self) -> None:
        """Wait until the gate is open, without a limit: whoever waits dies with the process that opens it."""
        while not self._map[_OPEN]:
            time.sleep(0.0005)

    def remove(self) -> None:
        self._path.unlink(missing_ok=True)
