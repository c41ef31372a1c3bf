"""Set up every child process, whether forked or spawned: files, signals, paths, orphan guard."""

from __future__ import annotations

import contextlib
import errno
import faulthandler
import os
import signal
import sys
import traceback
from typing import NoReturn

from stress.model import blackbox
from stress.model.spec import ChildSpec

_WATCHDOG_GRACE_S = 60.0
EXIT_FRAMEWORK = 70
"""The status of a child whose framework code raised."""
NO_ROOM = (errno.ENOSPC, errno.EDQUOT)

_stacks_file: object = (
    None  # faulthandler keeps only the descriptor: the object must outlive this module's users
)


def prepare(spec: ChildSpec) -> None:
    """Redirect output to the spec's files, arm the crash and hang dumps, and take over path and environment.

    File descriptors 1 and 2 are pytest's unlinked capture files in a forked child, where the last words of
    a dying process would be lost: both are redirected before anything else.
    """
    redirect(spec)
    os.environ.update(spec.env)
    if spec.cwd:
        os.chdir(spec.cwd)
    sys.path[:] = list(spec.sys_path) or sys.path
    arm_dumps(spec)


def redirect(spec: ChildSpec) -> None:
    for descriptor, suffix in ((1, "stdout"), (2, "stderr")):
        target = os.open(spec.file(suffix), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        os.dup2(target, descriptor)
        os.close(target)
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.close(null)


def arm_dumps(spec: ChildSpec) -> None:
    """Let faulthandler write Python stacks to a separate file, so that stderr keeps only native text.

    On a crash only the current thread is dumped: dumping all threads without the GIL crashed in its turn
    and made a SIGSEGV of a SIGABRT (3 of 150 runs of a prototype, 0 of 150 like this). SIGUSR1 dumps all
    threads, also with the GIL held, because the handler is C. The timer is a last resort that ends a child
    whose parent is gone; it needs no GIL either.
    """
    global _stacks_file
    file = spec.file("stacks").open("w")
    _stacks_file = file
    faulthandler.enable(file=file, all_threads=False)
    faulthandler.register(signal.SIGUSR1, file=file, all_threads=True, chain=False)
    faulthandler.dump_traceback_later(spec.deadline_s + _WATCHDOG_GRACE_S, exit=True, file=file)


def fail(spec: ChildSpec | None, error: BaseException) -> NoReturn:
    """End a child in which the framework itself failed, not the scenario, and report it to the parent.

    The mark in the black box reaches the parent even where the disk is full, which loses the trace.
    """
    if spec is not None:
        no_room = isinstance(error, OSError) and error.errno in NO_ROOM
        with contextlib.suppress(OSError):
            blackbox.mark(
                spec.file("blackbox"),
                blackbox.FLAG_DISK_FULL if no_room else blackbox.FLAG_FRAMEWORK_FAILED,
            )
    with contextlib.suppress(OSError):
        traceback.print_exception(error)
        sys.stderr.flush()
    os._exit(EXIT_FRAMEWORK)
