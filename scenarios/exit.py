"""The end of the process: work in flight, tensors alive, threads waiting; judged by how the interpreter ends."""

from __future__ import annotations

import atexit
import gc
import os
import sys
import threading
import time
import traceback
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from typing import ClassVar

import torch

from stress import ProcessScenario
from stress.scenario.exact import climb
from stress.scenario.exact import count_wrong
from stress.scenario.exact import shift_matrix
from stress.scenario.streams import synchronize

_LONG = 2
_STEPS, _STEPS_LONG = 4, 120
_PIECES, _PIECE_S = 4, 0.02
_alive: list[Any] = []
"""Tensors and threads that are kept until the interpreter ends."""


class ExitWithWork(ProcessScenario):
    """Threads queue more work than can be done, and the program ends with all of it in flight and its tensors alive."""

    origin = (
        "Static: MPS Cleanup, Atexit and Thread Cleanup of dropbox/dML",
        "pytorch#188812, pytorch#100635: crashes while the interpreter ends",
    )
    rows: ClassVar[tuple[int, ...]] = (23,)
    params = {"ending": ["threads-ended", "threads-waiting", "atexit"]}
    params_quick = {"ending": ["threads-waiting", "atexit"]}
    attempts_quick: ClassVar[int | None] = 1
    ending: str

    def body(self, device: torch.device) -> None:
        gc.freeze()  # as servers do: collecting torch's modules takes a second, in which the work would be done
        shift = shift_matrix(384).to(device)
        synchronize(device)  # the threads have their own streams, which wait for nothing
        _alive.append(shift)
        if self.ending == "executor":
            pool = ThreadPoolExecutor(self.threads)
            _alive.extend(
                [pool, *(pool.submit(_queue_work, shift, number) for number in range(self.threads))]
            )
            return  # the interpreter waits for the pool's threads, not for the device
        if self.ending == "threads-running":
            # The interpreter waits for these, too, and they go on submitting.
            for number in range(self.threads):
                threading.Thread(target=_queue_slowly, args=(shift, number)).start()
            return
        work = _queue_backward if self.ending == "backward" else _queue_work
        threads = [
            threading.Thread(target=work, args=(shift, number, self.ending == "threads-waiting"), daemon=True)
            for number in range(self.threads)
        ]
        for one in threads:
            one.start()
        for _ in threads:
            _queued.acquire()
        if self.ending == "atexit":
            atexit.register(_check, shift)


class ExitWhileWorking(ExitWithWork):
    """The program's main thread ends while others still submit, compute for a pool, or have differentiated."""

    params = {"ending": ["threads-running", "executor", "backward"]}
    attempts_quick: ClassVar[int | None] = 0


_queued = threading.Semaphore(0)


def _queue_work(shift: torch.Tensor, number: int, stay: bool = False) -> None:
    """Queue work; the first threads more than the interpreter's end takes, the others little, to leave it a core."""
    torch.set_num_threads(1)
    _alive.append(climb(1.0, shift, rows=1024, steps=_STEPS_LONG if number < _LONG else _STEPS))
    _queued.release()
    if stay:
        threading.Event().wait()


def _queue_slowly(shift: torch.Tensor, number: int) -> None:
    """Queue work piece by piece; the last pieces when the main thread has ended."""
    for _ in range(_PIECES):
        _queue_work(shift, number)
        time.sleep(_PIECE_S)


def _queue_backward(shift: torch.Tensor, number: int, stay: bool) -> None:
    """Differentiate, so that autograd has started the device's thread, and leave work in flight."""
    torch.set_num_threads(1)
    weight = torch.ones(len(shift), device=shift.device, requires_grad=True)
    (climb(1.0, shift, rows=64, steps=_STEPS) * weight).sum().backward()
    _alive.append(weight)
    _queue_work(shift, number, stay)


def _check(shift: torch.Tensor) -> None:
    """Use the device once more while the interpreter ends. What is raised here would be printed and forgotten."""
    try:
        wrong = int(count_wrong(climb(1.0, shift, rows=8, steps=2), 3.0))
    except BaseException:
        traceback.print_exc()
        wrong = -1
    if wrong:
        print(f"{wrong} wrong elements while the interpreter ended", file=sys.stderr, flush=True)
        os._exit(1)
