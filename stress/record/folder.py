"""The folder of one run's records and side files."""

from __future__ import annotations

import errno
import fcntl
import os
import re
import secrets
import shlex
import socket
from dataclasses import dataclass
from datetime import UTC
from datetime import datetime
from pathlib import Path

from stress.model.errors import OptionError
from stress.model.spec import RESULTS_DEFAULT
from stress.record.schema import side_name_error

PROBE_BYTES = 64 * 1024  # As much as the longest record: a disk with less room cannot take one attempt.

_HOST_CHARS_MAX = 32
_MEND = "Make room or fix the permissions there"


class RecordError(OptionError):
    """Records cannot be written or read. The text names the path, the cause and the way out."""

    def __init__(self, path: Path, reason: str, *, way_out: str = "") -> None:
        super().__init__(reason, way_out=way_out)
        self.path = path

    def told(self, prefix: str) -> str:
        return f"records in {self.path}: {super().told(prefix)}"


def attempt_command(command: str, folder: Path, serial: int, rootdir: Path) -> str:
    """Return the command line, for the current folder, of a command about an attempt: `replay` or `show`.

    `folder` is the run's. Its path is named only where the command would not look for it.
    """
    name = folder.name if folder.parent == (rootdir / RESULTS_DEFAULT).resolve() else str(folder)
    parts = ["mps-stress", command, f"{name}/{serial}"]
    if rootdir.resolve() != Path.cwd():
        parts.append(f"--rootdir={rootdir}")
    return shlex.join(parts)


def folders_by_age(base: Path) -> list[Path]:
    """Return the folders in `base`, where runs are, the oldest first; none where it is no folder."""
    if not base.is_dir():
        return []
    # A run's name begins with its minute; within it the file system knows better.
    found = (one for one in base.iterdir() if one.is_dir())
    return sorted(found, key=lambda one: (one.name[:16], one.stat().st_mtime))


def cannot_write(path: Path, error: OSError) -> RecordError:
    reason = f"cannot write: {error.strerror or error}. {_MEND}"
    return RecordError(path, reason, way_out=", or choose another folder with {results}=DIR.")


def host_name() -> str:
    """Return this machine's first name, reduced to characters that are safe in a file name."""
    name = re.sub(r"[^a-z0-9-]+", "-", socket.gethostname().split(".")[0].lower()).strip("-")
    return name[:_HOST_CHARS_MAX] or "host"


def run_id() -> str:
    """Return a new run id such as `2026-11-20T0917Z-host-4f2a`: sorts by time, unique between machines."""
    return f"{datetime.now(UTC):%Y-%m-%dT%H%MZ}-{host_name()}-{secrets.token_hex(2)}"


@dataclass(frozen=True)
class RunFolder:
    """The folder of one run; its name is the run id."""

    path: Path

    @property
    def run(self) -> str:
        return self.path.name

    @classmethod
    def create(cls, results: Path, run: str) -> RunFolder:
        """Make the folder of a new run; raise `RecordError` if it exists or cannot be made."""
        path = results / run
        try:
            results.mkdir(parents=True, exist_ok=True)
            path.mkdir()
        except OSError as error:
            raise cannot_write(path, error) from None
        return cls(path)

    @classmethod
    def open(cls, path: Path) -> RunFolder:
        """Return the folder of a run that exists, as another process of the same run does."""
        if not path.is_dir():
            raise RecordError(path, "there is no such folder")
        return cls(path)

    def side(self, name: str) -> Path:
        """Return the path of a side file; raise `RecordError` for a name that leads out of the folder."""
        reason = side_name_error(name)
        if reason is not None:
            raise RecordError(self.path, reason)
        return self.path / name

    def probe(self) -> None:
        """Write, flush to disk and remove a file; raise `RecordError` when that fails.

        Called before the first attempt: a campaign of hours must not find out at its end that nothing
        was kept.
        """
        path = self.path / f".probe-{os.getpid()}"
        try:
            fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
            try:
                _write_fully(fd, b"\0" * PROBE_BYTES)
                flush_to_disk(fd)
            finally:
                os.close(fd)
                path.unlink(missing_ok=True)
        except OSError as error:
            raise cannot_write(self.path, error) from None


def _write_fully(fd: int, data: bytes) -> None:
    """Write all of `data`: a nearly full disk takes a part, and only the next write says why."""
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]


def flush_to_disk(fd: int) -> None:
    """Flush what was written through the drive's cache; raise `OSError` only for a real failure.

    A GPU hang can take the whole machine down, and macOS' `fsync` does not flush the drive. File systems
    that know neither call (some network and overlay ones) answer EINVAL or ENOTSUP: they do what they can.
    """
    full_sync = getattr(fcntl, "F_FULLFSYNC", None)
    if full_sync is not None:
        try:
            fcntl.fcntl(fd, full_sync)
            return
        except OSError as error:
            if error.errno in (errno.EIO, errno.ENOSPC):
                raise
    try:
        os.fsync(fd)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise
