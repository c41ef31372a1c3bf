"""What Linux and macOS answer differently about processes and threads, in one place. Imports nothing heavy.

What else depends on the system is not here: which compiler there is, and which device.

`MPS_STRESS_REHEARSE=macos` makes all of this answer on Linux as it would on macOS: children are spawned, no death signal is
asked for, nothing of /proc or of the scheduler is read, and resident sizes come in bytes. The tests run so, because nothing
of this project has run on macOS: it is a rehearsal, which cannot show what macOS itself does differently.
"""

from __future__ import annotations

import contextlib
import os
import platform
import re
import resource
import shutil
import signal
import sys
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

REHEARSAL = "MPS_STRESS_REHEARSE"
_MACOS = "macos"
_PR_SET_PDEATHSIG = 1
_ASLEEP = frozenset("StTXZ")
"""Zombies too: they wait for a parent that is asleep."""
_NS = 1e-9


@dataclass(frozen=True)
class Usage:
    """What a process has used."""

    cpu_s: float
    peak_rss_bytes: int
    """The highest resident size."""


def is_rehearsal() -> bool:
    """Whether this is another system than macOS and answers as macOS would."""
    return sys.platform != "darwin" and os.environ.get(REHEARSAL) == _MACOS


def is_macos() -> bool:
    """Whether to behave as on macOS."""
    return sys.platform == "darwin" or is_rehearsal()


def is_linux() -> bool:
    """Whether to behave as on Linux."""
    return sys.platform == "linux" and not is_rehearsal()


def can_fork() -> bool:
    """Whether children may be forked: after Metal or Objective-C is up a fork is not safe."""
    return is_linux()


def die_with_parent(parent_pid: int, signal_number: int = signal.SIGKILL) -> None:
    """Ask the kernel for a signal when the parent dies; Linux only, elsewhere the guardian does it."""
    if not is_linux():
        return
    import ctypes  # not above: every run of pytest imports this module

    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(_PR_SET_PDEATHSIG, int(signal_number), 0, 0, 0)
    if os.getppid() != parent_pid:  # it died before the request was made
        os._exit(1)


def wait(pid: int) -> tuple[int, int, Usage] | None:
    """Return (pid, exit code, usage) of a child that has ended, -1 for any; None while none has.

    Raises `ChildProcessError` where there is none.
    """
    ended, status, usage = os.wait4(pid, os.WNOHANG)
    return (ended, os.waitstatus_to_exitcode(status), _usage(usage)) if ended else None


def own_usage() -> Usage:
    """Return what this process has used so far."""
    return _usage(resource.getrusage(resource.RUSAGE_SELF))


def _usage(usage: resource.struct_rusage) -> Usage:
    # The kernel of a rehearsal is Linux', which counts in kB: we give it the bytes that macOS would have given.
    given = usage.ru_maxrss * 1024 if is_rehearsal() else usage.ru_maxrss
    return Usage(usage.ru_utime + usage.ru_stime, given * (1 if is_macos() else 1024))


def usable_cores() -> int:
    """Return how many cores this process may use; macOS does not bind processes to cores."""
    return len(os.sched_getaffinity(0)) if is_linux() else os.cpu_count() or 1


def cpu_model() -> str | None:
    """Return what Linux calls its processor; None on macOS, where a program has to be asked for it."""
    if is_macos():
        return None
    found = re.search(r"^model name\s*: (.+)$", _text("/proc/cpuinfo"), re.MULTILINE)
    return found.group(1).strip() if found else platform.processor() or None


def prefer_to_be_killed() -> None:
    """Make this process the first that the kernel kills when memory runs out; Linux alone can be asked."""
    if is_linux():
        with contextlib.suppress(OSError):
            Path("/proc/self/oom_score_adj").write_text("1000")


def limit_files(pid: int, size_bytes: int) -> None:
    """Let a child write no larger file; only Linux can say it of another process."""
    if is_linux():
        with contextlib.suppress(ProcessLookupError, PermissionError):
            resource.prlimit(pid, resource.RLIMIT_FSIZE, (size_bytes, size_bytes))


def await_thread_ends(native_ids: Iterable[int | None], seconds_max: float) -> None:
    """Wait until threads of this process are gone from the kernel too, where that can be seen (Linux)."""
    if not is_linux():
        return
    deadline = time.monotonic() + seconds_max
    tasks = [f"/proc/self/task/{one}" for one in native_ids]
    while any(map(os.path.exists, tasks)) and time.monotonic() < deadline:
        time.sleep(0.0001)


def own_thread_count() -> int:
    """Return how many threads this process has, those of native libraries among them; on Linux only."""
    return len(os.listdir("/proc/self/task"))


def own_memory_bytes() -> int:
    """Return the resident memory of this process, without what is mapped from files where that is known (Linux).

    The code of libraries is mapped when it first runs: CUDA's alone is more than half a GB, and no leak.
    """
    status = _text("/proc/self/status") if is_linux() else ""
    pages = dict(re.findall(r"^(Rss\w+):\s+(\d+) kB$", status, re.MULTILINE))
    if not pages:
        import psutil

        return int(psutil.Process().memory_info().rss)
    return (int(pages["RssAnon"]) + int(pages["RssShmem"])) << 10


def can_watch_threads() -> bool:
    """Whether the threads of another process can be seen: asleep or not, and how long they ran."""
    return is_linux() and os.path.exists("/proc/self/schedstat")


def threads_of(pids: Iterable[int]) -> tuple[bool, float]:
    """Return (all threads of the processes asleep, seconds that they ran)."""
    asleep, ran_ns = True, 0
    for pid in pids:
        try:
            tasks = list(Path(f"/proc/{pid}/task").iterdir())
        except OSError:
            return False, 0.0  # it has just ended, which is a sign of life
        for task in tasks:
            state = _text(task / "stat").rpartition(") ")[2][:1]
            schedstat = _text(task / "schedstat").split()
            ran_ns += int(schedstat[0]) if schedstat else 0
            asleep = asleep and (state in _ASLEEP or not state)  # no text: it has ended in the meantime
    return asleep, ran_ns * _NS


def stacks_command(pid: int) -> list[str] | None:
    """Return what prints the native stacks of all threads of a process; None where that is not installed."""
    command = ["sample", str(pid), "1", "-mayDie"] if is_macos() else ["eu-stack", "-p", str(pid)]
    return command if (is_macos() or is_linux()) and shutil.which(command[0]) is not None else None


def loaded_libraries() -> list[str]:
    """Return the files of all libraries that this process has loaded, as far as the system says."""
    if is_macos():
        return _dyld_images()
    lines = _text("/proc/self/maps").splitlines()
    return [fields[5] for line in lines if len(fields := line.split(maxsplit=5)) == 6]


def _dyld_images() -> list[str]:
    import ctypes

    with contextlib.suppress(OSError, AttributeError):
        libc = ctypes.CDLL(None)
        libc._dyld_get_image_name.restype = ctypes.c_char_p
        names = [libc._dyld_get_image_name(index) for index in range(libc._dyld_image_count())]
        return [name.decode("utf-8", "replace") for name in names if name]
    return []


def _text(path: str | Path) -> str:
    try:
        return Path(path).read_bytes().decode("utf-8", "replace")
    except OSError:
        return ""
