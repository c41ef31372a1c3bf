"""One campaign at a time on a device: a lock that the kernel gives back when its owner dies, however it dies."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from stress.model.errors import UserError

FOLDER_VARIABLE = "MPS_STRESS_LOCK_DIR"
FOLDER_DEFAULT = (
    "/tmp"  # One for all users of the machine, who share its device; TMPDIR is each user's own on macOS.
)
_OWNER_BYTES_MAX = 200


class LockError(UserError):
    """The lock cannot be had; the text names who has it, or what is wrong with the file."""


class DeviceLock:
    """Held from construction until `release` or the end of the process."""

    def __init__(self, device: str) -> None:
        """Take the lock of a device; raise `LockError`, which has `is_held` where another campaign has it."""
        folder = Path(os.environ.get(FOLDER_VARIABLE) or FOLDER_DEFAULT)
        self.path = folder / f"mps-stress-{device}.lock"
        self._fd = _open(self.path)
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            owner = os.pread(self._fd, _OWNER_BYTES_MAX, 0).decode("ascii", "replace").strip()
            os.close(self._fd)
            who = f"process {owner}" if owner.isdigit() else "another process"
            raise LockHeld(
                f"a campaign of {who} runs on {device} ({self.path}): wait for its end, or stop it with Ctrl-C or "
                "SIGTERM"
            ) from None
        os.ftruncate(self._fd, 0)
        os.pwrite(self._fd, f"{os.getpid()}\n".encode(), 0)

    def release(self) -> None:
        """Give the lock back. The file stays: removing it would let two processes lock two files of one name."""
        os.close(self._fd)


class LockHeld(LockError):
    """Another campaign has the lock."""


def _open(path: Path) -> int:
    flags = os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        try:
            return os.open(
                path, flags
            )  # without O_CREAT: in a sticky folder it fails for a file of another user
        except FileNotFoundError:
            fd = os.open(path, flags | os.O_CREAT, 0o666)
            os.fchmod(fd, 0o666)
            return fd
    except OSError as error:
        raise LockError(
            f"{path}: cannot open the lock: {error.strerror}; name another folder with {FOLDER_VARIABLE}"
        ) from None
