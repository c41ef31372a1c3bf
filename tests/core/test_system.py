"""`stress.model.system`: what Linux says of a process, and what is said where nothing is known."""

from __future__ import annotations

import mmap
import os
import sys
from pathlib import Path

import pytest

from stress.model import system

BYTES = 128 << 20


@pytest.mark.skipif(sys.platform != "linux", reason="what is mapped from files is known on Linux only")
class TestOwnMemory:
    def test_leaves_out_what_is_mapped_from_files(self, tmp_path: Path) -> None:
        path = tmp_path / "library"
        path.touch()
        os.truncate(path, BYTES)
        with path.open("rb") as file, mmap.mmap(file.fileno(), BYTES, access=mmap.ACCESS_READ) as pages:
            before = system.own_memory_bytes()
            assert sum(pages[:: mmap.PAGESIZE]) == 0, "each page is resident now"
            assert system.own_memory_bytes() - before < BYTES // 2

    @pytest.mark.parametrize("shared", [False, True])
    def test_counts_what_the_process_holds(self, shared: bool) -> None:
        before = system.own_memory_bytes()
        flags = mmap.MAP_ANONYMOUS | (mmap.MAP_SHARED if shared else mmap.MAP_PRIVATE)
        with mmap.mmap(-1, BYTES, flags=flags) as pages:
            for place in range(0, BYTES, mmap.PAGESIZE):
                pages[place] = 1
            assert system.own_memory_bytes() - before > BYTES // 2

    def test_is_the_resident_size_where_no_more_is_known(self, monkeypatch: pytest.MonkeyPatch) -> None:
        known = system.own_memory_bytes()
        monkeypatch.setenv(system.REHEARSAL, "macos")
        assert system.own_memory_bytes() > known
