"""Remembered hashes: files are read once, and any change is noticed, also one that leaves size and time as they were."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from stress.device import cache
from stress.device.file_hashes import file_hashes

HOUR_NS = 3600 * 10**9


class Folder:
    """Two files, their hashes, and which of them were read for these."""

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.root, self.cache = root / "files", root / "cache"
        self.root.mkdir()
        self.first, self.second = self.root / "first.h", self.root / "second.h"
        self.first.write_text("one\n")
        self.second.write_text("two\n")
        self.read: list[str] = []
        real = cache.file_hash

        def file_hash(path: Path) -> str:
            self.read.append(path.name)
            return real(path)

        monkeypatch.setattr(cache, "file_hash", file_hash)

    def hashes(self, *paths: Path) -> list[str]:
        self.read.clear()
        return file_hashes(self.root, paths or (self.first, self.second), self.cache)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Folder:
    return Folder(tmp_path, monkeypatch)


@pytest.fixture
def later(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let an hour have passed since files were written."""
    now = time.time_ns
    monkeypatch.setattr("stress.device.file_hashes.time.time_ns", lambda: now() + HOUR_NS)


def write(path: Path) -> None:
    path.write_text("six\n")


def replace(path: Path) -> None:
    path.with_name("new").write_text("six\n")
    path.with_name("new").replace(path)


@pytest.mark.usefixtures("later")
class TestSettledFiles:
    def test_are_read_once(self, folder: Folder) -> None:
        before = folder.hashes()
        assert before == [f"{one.name} {cache.file_hash(one)}" for one in (folder.first, folder.second)]
        assert folder.hashes() == before
        assert not folder.read

    @pytest.mark.parametrize("change", [write, replace], ids=["in place", "replaced"])
    def test_are_read_again_after_a_change_that_leaves_size_and_time(
        self, folder: Folder, change: Callable[[Path], object]
    ) -> None:
        before, times = folder.hashes(), folder.first.stat()
        change(folder.first)
        os.utime(folder.first, ns=(times.st_atime_ns, times.st_mtime_ns))
        after = folder.hashes()
        assert folder.read == ["first.h"]
        assert (after[0] != before[0], after[1]) == (True, before[1])

    def test_that_went_are_forgotten(self, folder: Folder) -> None:
        folder.hashes()
        assert folder.hashes(folder.second) == [f"second.h {cache.file_hash(folder.second)}"]
        folder.hashes()
        assert folder.read == ["first.h"]

    @pytest.mark.parametrize("text", ["", "[1]", '{"first.h": 7}', '{"first.h": ["x"]}', "\0"])
    def test_are_read_where_the_memory_is_damaged(self, folder: Folder, text: str) -> None:
        before = folder.hashes()
        (memory,) = folder.cache.iterdir()
        memory.write_text(text)
        assert folder.hashes() == before
        assert folder.read == ["first.h", "second.h"]
        assert folder.hashes() == before
        assert not folder.read

    def test_are_read_where_nothing_can_be_remembered(self, folder: Folder) -> None:
        folder.cache.write_text("a file in the place of the folder")
        assert folder.hashes() == folder.hashes()
        assert folder.read == ["first.h", "second.h"]


def test_a_file_that_was_changed_just_now_is_read_again(folder: Folder) -> None:
    """Its next change may come within the same tick of the kernel's clock."""
    ahead = time.time_ns() + HOUR_NS
    os.utime(folder.first, ns=(ahead, ahead))
    folder.hashes()
    folder.hashes()
    assert "first.h" in folder.read
