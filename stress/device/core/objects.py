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

    def remove_unused(self) -> None:
        """Remove what was not used for two weeks."""
        for one in self._folder.iterdir():
            with suppress(OSError):
                if time.time() - one.stat().st_mtime > _UNUSED_S:
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
