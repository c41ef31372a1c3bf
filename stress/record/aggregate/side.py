"""Text of the files beside a record, read with as little trust as the record itself."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from stress.record.schema import side_name_error

SIDE_BYTES_MAX = 256 * 1024


def side_text(folder: Path, name: object, bytes_max: int = SIDE_BYTES_MAX) -> str | None:
    """Return the end of a side file; None where there is none, or where it is anything but a plain file there."""
    if not isinstance(name, str) or side_name_error(name) is not None:
        return None
    try:
        # No link is followed and no pipe waited for: the folder may be a stranger's.
        descriptor = os.open(folder / name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return None
    with open(descriptor, "rb") as file:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            return None
        try:
            file.seek(max(0, status.st_size - bytes_max))
            return file.read(bytes_max).decode("utf-8", "replace")
        except OSError:
            return None
