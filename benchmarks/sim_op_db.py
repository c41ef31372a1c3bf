"""torch's own operator samples on the simulated device: from 8 threads at once, in one forked child each, against the CPU."""

from __future__ import annotations

import faulthandler
import os
import pickle
import select
import signal
import sys
import threading
import time
import traceback
from collections import Counter
from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Mapping
from functools import partial
from typing import Any

import torch

from stress.commands.sweep.op_db import NOT_COMPARABLE
from stress.commands.sweep.op_db import arguments
from stress.commands.sweep.op_db import entries
from stress.commands.sweep.op_db import full_name
from stress.commands.sweep.op_db import moved
from stress.commands.sweep.op_db import samples
from stress.commands.sweep.op_db import why_not_comparable

THREADS = 8
CHILD_TIMEOUT_S = 60.0


def on_cpu(value: Any) -> Any:
    if isinstance(value, torch.Tensor):
        return value.detach().cpu()
    if isinstance(value, tuple | list):
        return [on_cpu(one) for one in value]
    return value


def call(op: Any, sample: Any, device: str) -> Any:
    given = moved(arguments(sample), device)
    return on_cpu(op(given[0], *given[1], **given[2]))


def first_sample(op: Any) -> Any:
    torch.manual_seed(0)
    return next(samples(op, torch.float32))


def differences(op: Any, device: str) -> str:
    """Return "ok", or what differs: the first sample from all threads at once, each against the CPU."""
    sample = first_sample(op)
    expected = call(op, sample, "cpu")
    outcomes: list[str] = []
    barrier = threading.Barrier(THREADS)

    def work() -> None:
        torch.set_num_threads(1)
        barrier.wait()
        try:
            got = call(op, sample, device)
            if not why_not_comparable(op, NOT_COMPARABLE):
                torch.testing.assert_close(got, expected, equal_nan=True, check_stride=False)
            outcomes.append("ok")
        except Exception as error:
            kind = "differs" if isinstance(error, AssertionError) else type(error).__name__
            outcomes.append(f"{kind}: {str(error).strip().splitlines()[0] if str(error).strip() else ''}")

    threads = [threading.Thread(target=work) for _ in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return next((one for one in outcomes if one != "ok"), "ok")


def in_child(work: Callable[[], Any]) -> Any:
    """Run `work` in a forked child; return its value, or one line that says how the child ended."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        code = 0
        try:
            os.close(reader)
            faulthandler.disable()
            with os.fdopen(writer, "wb") as pipe:
                pipe.write(pickle.dumps(work()))
        except BaseException:
            traceback.print_exc()
            code = 1
        finally:
            sys.stdout.flush()
            os._exit(code)
    os.close(writer)
    with os.fdopen(reader, "rb") as pipe:
        deadline = time.monotonic() + CHILD_TIMEOUT_S
        data = b""
        while select.select([pipe], [], [], max(0.0, deadline - time.monotonic()))[0]:
            piece = os.read(pipe.fileno(), 1 << 16)
            if not piece:
                break
            data += piece
        else:
            os.kill(pid, signal.SIGKILL)
    _, status = os.waitpid(pid, 0)
    code = os.waitstatus_to_exitcode(status)
    return pickle.loads(data) if code == 0 and data else f"child ended with {code}"


def run_entry(op: Any, device: str) -> tuple[str, int]:
    """Return the outcome of one entry, and its number of synchronous calls. For a child."""
    torch.set_num_threads(1)
    outcome = differences(op, device)
    return outcome, torch.ops.mps_stress_sim.statistics()["calls_synchronous"]


def run_op_db(device: str, names: str = "") -> Iterator[tuple[str, str, int]]:
    """Yield (entry, outcome, synchronous calls) of each entry whose name contains `names`. Runs no op itself."""
    for op in entries():
        if names not in full_name(op):
            continue
        outcome = in_child(partial(run_entry, op, device))
        yield (full_name(op), *outcome) if isinstance(outcome, tuple) else (full_name(op), outcome, 0)


def summary(outcomes: Mapping[str, str]) -> str:
    kinds = Counter(text.partition(":")[0] for text in outcomes.values())
    return ", ".join(f"{count} {kind}" for kind, count in kinds.most_common())
