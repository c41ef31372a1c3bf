"""Watching processes from outside, for tests that kill them. Waits poll a condition up to a bound."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import psutil

from tests.acceptance import PROLOGUE

WAIT_S_MAX = 800.0
T = TypeVar("T")


def write_scenarios(folder: Path, source: str, file: str = "scenarios/subject.py") -> None:
    path = folder / file
    path.parent.mkdir(exist_ok=True, parents=True)
    path.write_text(PROLOGUE + textwrap.dedent(source))


def start_pytest(folder: Path, *args: str, **environment: str) -> subprocess.Popen[str]:
    """Start pytest in `folder`; its output goes to the file `output` there."""
    with (folder / "output").open("w") as output:
        return subprocess.Popen(
            [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--mps-device=cpu", *args],
            cwd=folder,
            env={**os.environ, **environment},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            text=True,
        )


def wait_for(what: str, condition: Callable[[], T]) -> T:
    """Return the first true value of `condition`; fail when there is none in time."""
    deadline = time.monotonic() + WAIT_S_MAX
    while time.monotonic() < deadline:
        value = condition()
        if value:
            return value
        time.sleep(0.02)
    raise AssertionError(f"{what}: not in {WAIT_S_MAX:.0f} s")


def pid_in(path: Path) -> int | None:
    """Return the process id in a marker file, or None until it is written completely."""
    try:
        text = path.read_text()
    except FileNotFoundError:
        return None
    return int(text) if text.endswith("\n") else None


def is_alive(pid: int) -> bool:
    """Whether the process runs; a zombie, which only waits to be reaped, does not."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def wait_until_gone(*pids: int) -> None:
    wait_for(f"the end of {pids}", lambda: not any(map(is_alive, pids)))
