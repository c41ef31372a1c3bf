"""What a child leaves in files: the text that it printed, bounded, and stacks."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path

from stress.model import system

STDERR_BYTES_MAX = 200_000
_STACKS_WAIT_S = 3.0
_NATIVE_STACKS_S_MAX = 30.0


def read_bounded(path: Path, limit: int = STDERR_BYTES_MAX) -> str:
    """Return the text of a file, or its first and last parts with a mark between; "" where there is none."""
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            if size <= limit:
                return file.read().decode(errors="replace")
            head = file.read(limit // 2)
            file.seek(-(limit // 2), 2)
            tail = file.read()
    except OSError:
        return ""
    return f"{head.decode(errors='replace')}\n[... {size - limit} bytes left out ...]\n{tail.decode(errors='replace')}"


def wait_for_text(path: Path) -> None:
    """Wait until the stack dump is there and has stopped growing."""
    deadline = time.monotonic() + _STACKS_WAIT_S
    size = -1
    while time.monotonic() < deadline:
        now = path.stat().st_size if path.exists() else 0
        if now and now == size:
            return
        size = now
        time.sleep(0.05)


def native_stacks(pid: int, into: Path) -> str:
    """Return native stacks of all threads where the platform has a tool (`sample`, `eu-stack`); else ""."""
    command = system.stacks_command(pid)
    if command is None:
        return ""
    try:
        done = subprocess.run(command, capture_output=True, timeout=_NATIVE_STACKS_S_MAX, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    text = done.stdout.decode(errors="replace")
    if text.strip():
        into.write_text(text)
    return text
