"""The folder that keeps builds: its place, one builder at a time, nothing half-written, nothing damaged."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Iterator
from collections.abc import Sequence
from contextlib import contextmanager
from contextlib import suppress
from pathlib import Path
from typing import Any

from stress.model.errors import BuildError

CACHE_VARIABLE = "MPS_STRESS_CACHE"
MANIFEST = "manifest.json"
OTHERS = "others"
"""Key of a manifest: files beside the main one."""
BUILDS_KEPT = 8
"""Older builds are removed once they are unused for `_UNUSED_S`: each takes some megabytes."""
_UNUSED_S = 24 * 3600.0
LOG_LINES_SHOWN = 12
_KEY_CHARS = 16

Make = Callable[[Path], dict[str, Any]]


def cache_folder() -> Path:
    """Return the folder for builds: $MPS_STRESS_CACHE, else mps-stress in the user's cache folder."""
    given = os.environ.get(CACHE_VARIABLE)
    if given:
        return Path(given).expanduser().absolute()
    try:
        home = Path.home()
    except RuntimeError as error:
        raise BuildError(
            f"no home folder for the build ({error}): set {CACHE_VARIABLE} to a folder for it"
        ) from error
    if sys.platform == "darwin":
        return home / "Library" / "Caches" / "mps-stress"
    xdg = Path(os.environ.get("XDG_CACHE_HOME", ""))
    return (xdg if xdg.is_absolute() else home / ".cache") / "mps-stress"


def unwritable(folder: Path, error: OSError) -> BuildError:
    return BuildError(
        f"the cache folder {folder} cannot be written ({error.strerror or error}): "
        f"set {CACHE_VARIABLE} to a folder that can be written"
    )


def digest(parts: Iterable[str]) -> str:
    """Return what stands for everything that goes into a build, in this order."""
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def key(parts: Iterable[str]) -> str:
    """Return the digest as a folder's name has it."""
    return digest(parts)[:_KEY_CHARS]


def file_hash(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_valid(folder: Path, file_name: str) -> dict[str, Any] | None:
    """Return the manifest of a build whose files are what was written; None for a missing or damaged one."""
    try:
        manifest: dict[str, Any] = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        hashes = {file_name: manifest["sha256"], **manifest.get(OTHERS, {})}
        return manifest if all(file_hash(folder / name) == one for name, one in hashes.items()) else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def ensure(
    folder: Path,
    file_name: str,
    make: Make,
    *,
    waiting: Callable[[], None],
    again: bool = False,
) -> dict[str, Any]:
    """Return the manifest of the build in `folder`, made now if need be, or with `again` in any case.

    `make(work)` puts `file_name` into the folder `work` and returns the manifest's fields beside its hash; under `OTHERS`
    the names of further files, which become their hashes.
    Raise `BuildError` where nothing can be written. One process builds at a time, the others wait for it.
    """
    found = None if again else read_valid(folder, file_name)
    if found is not None:
        note_use(folder)
        return found
    cache = folder.parent
    try:
        cache.mkdir(parents=True, exist_ok=True, mode=0o700)
        before = _identity(folder / file_name)
        with locked(cache / f"{folder.name}.lock", waiting):
            # The previous holder of the lock has made it; that also suffices if it was to be made again.
            if not again or _identity(folder / file_name) != before:
                found = read_valid(folder, file_name)
            return found or make_locked(folder, file_name, make)
    except OSError as error:
        raise unwritable(cache, error) from error


def make_locked(folder: Path, file_name: str, make: Make) -> dict[str, Any]:
    """Make the build and publish it, as `ensure` does. The caller holds the lock."""
    work = folder.with_name(f"{folder.name}.building")
    shutil.rmtree(work, ignore_errors=True)  # of a process that was killed: we hold the lock
    work.mkdir()
    try:
        started = time.monotonic()
        facts = make(work)
        manifest = {
            "sha256": file_hash(work / file_name),
            **facts,
            OTHERS: {name: file_hash(work / name) for name in facts.get(OTHERS, ())},
            "seconds": round(time.monotonic() - started, 1),
        }
        (work / MANIFEST).write_text(json.dumps(manifest, indent=1) + "\n", encoding="utf-8")
        publish(work, folder)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    remove_old(folder.parent, keep=folder)
    return manifest


def _identity(file: Path) -> tuple[int, int] | None:
    """Return what changes when a build is replaced."""
    try:
        status = file.stat()
    except OSError:
        return None
    return status.st_ino, status.st_mtime_ns


def run_compiler(command: Sequence[str], log: Path, version: str) -> None:
    """Run a compiler; raise `BuildError` with the end of its text, all of which is then in the file `log`."""
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            check=False,
            env={**os.environ, "LC_ALL": "C"},
        )
    except OSError as error:
        raise BuildError(f"the C++ compiler {command[0]} cannot be started ({error})") from error
    if not done.returncode:
        return
    text = done.stdout.decode(errors="replace").strip()
    log.write_text(f"{shlex.join(command)}\n\n{text}\n", encoding="utf-8")
    shown = "\n".join(text.splitlines()[-LOG_LINES_SHOWN:]) or f"exit status {done.returncode}"
    raise BuildError(
        f"the C++ compiler failed (its whole output: {log}); is {version} too old, or the disk full?\n{shown}"
    )


@contextmanager
def locked(path: Path, waiting: Callable[[], None]) -> Iterator[None]:
    """Hold an exclusive lock between processes; it is released if the process dies. Call `waiting` if it is taken."""
    with path.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            waiting()
            fcntl.flock(file, fcntl.LOCK_EX)
        yield  # closing the file unlocks it


def publish(made: Path, target: Path) -> None:
    """Put a finished build in its place, whole or not at all. The caller holds the lock."""
    shutil.rmtree(target, ignore_errors=True)
    os.replace(made, target)


def note_use(folder: Path) -> None:
    """Keep a build from being removed as unused."""
    with suppress(OSError):
        os.utime(folder)


def remove_old(cache: Path, keep: Path) -> None:
    """Remove builds that many newer ones have replaced and that were not used for a day."""
    with suppress(OSError):
        builds = [one for one in cache.iterdir() if one != keep and (one / MANIFEST).is_file()]
        builds.sort(key=lambda one: one.stat().st_mtime, reverse=True)
        for one in builds[BUILDS_KEPT - 1 :]:
            if time.time() - one.stat().st_mtime > _UNUSED_S:
                shutil.rmtree(one, ignore_errors=True)
