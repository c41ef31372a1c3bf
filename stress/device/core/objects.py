"""Object files of earlier builds, found again by everything that goes into them.

One edited source of a tree is compiled alone, and what is ours is compiled once for all trees.
"""

from __future__ import annotations

import os
import shutil
import time
from contextlib import suppress
from pathlib import Path

from stress.device import cache

FOLDER = "core-objects"
_UNUSED_S = 14 * 24 * 3600.0
_HEADERS = (".h", ".inc")
_FAILURE = ".failed"
PRECOMPILED = ".pch"
"""End of the key of a precompiled header: each takes some ten megabytes."""
_PRECOMPILED_KEPT = 16
"""Those of two trees, with and without a sanitizer."""


class ObjectCache:
    """A folder with one file for each key; several processes may use it at once."""

    def __init__(self, folder: Path) -> None:
        """Make the folder; raise `OSError` where it cannot be made."""
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def take(self, key: str, target: Path) -> bool:
        """Put the file of this key at `target`; return whether there is one."""
        kept = self._folder / key
        try:
            os.utime(kept)  # Still of use.
            _link_or_copy(kept, target)
        except FileNotFoundError:
            return False
        return True

    def keep(self, key: str, made: Path) -> None:
        """Keep the file under this key, whole or not at all."""
        part = self._folder / f"{key}.{os.getpid()}"
        try:
            shutil.copyfile(made, part)
            os.replace(part, self._folder / key)
        finally:
            part.unlink(missing_ok=True)  # of a full disk

    def failure(self, key: str) -> str | None:
        """Return the compiler's output where what has this key does not compile, as far as is known."""
        kept = self._folder / f"{key}{_FAILURE}"
        try:
            os.utime(kept)
            return kept.read_text(encoding="utf-8")
        except FileNotFoundError:
            return None

    def keep_failure(self, key: str, log: str) -> None:
        """Keep that what has this key does not compile: the same content would fail again."""
        part = self._folder / f"{key}.{os.getpid()}"
        try:
            part.write_text(log, encoding="utf-8")
            os.replace(part, self._folder / f"{key}{_FAILURE}")
        finally:
            part.unlink(missing_ok=True)

    def remove_unused(self) -> None:
        """Remove what was not used for two weeks, and all precompiled headers but those that were used last."""
        used: dict[Path, float] = {}
        for one in self._folder.iterdir():
            with suppress(OSError):
                used[one] = one.stat().st_mtime
        large = sorted((one for one in used if one.suffix == PRECOMPILED), key=lambda one: -used[one])
        old = [one for one in used if time.time() - used[one] > _UNUSED_S]
        for one in {*old, *large[_PRECOMPILED_KEPT:]}:
            with suppress(OSError):
                one.unlink()


def headers_digest(*folders: Path) -> str:
    """Return the hash of every header below the folders (or of a file itself), with its path."""
    parts = []
    for folder in folders:
        found = sorted(folder.rglob("*")) if folder.is_dir() else [folder]
        for path in found:
            if path.suffix in _HEADERS and path.is_file():
                parts += [path.relative_to(folder).as_posix(), cache.file_hash(path)]
    return cache.digest(parts)


def _link_or_copy(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except FileNotFoundError:
        raise
    except OSError:  # Another file system.
        shutil.copyfile(source, target)
