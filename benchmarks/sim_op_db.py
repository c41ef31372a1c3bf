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

THREADS = 8
CHILD_TIMEOUT_S = 60.0

RANDOM = "draws random numbers, which are the device's own"
UNINITIALISED = "returns memory as it finds it"
NOT_COMPARABLE: Mapping[str, str] = {
    **dict.fromkeys(
        (
            "cauchy", "exponential", "geometric", "log_normal", "multinomial", "normal", "rand_like", "randint", "randint_like", "randn",
            "randn_like", "uniform", "nn.functional.rrelu", "svd_lowrank", "pca_lowrank",
        ),
        RANDOM,
    ),
    **dict.fromkeys(
        ("empty", "empty_like", "empty_permuted", "empty_strided", "new_empty", "new_empty_strided"),
        UNINITIALISED,
    ),
}  # fmt: skip
"""Entries that are run but not compared, by name, with the reason."""

JITERATOR = "jiterator_"
"""These entries are for CUDA only and have no CPU reference."""


def full_name(op: Any) -> str:
    return f"{op.name}.{op.variant_test_name}" if op.variant_test_name else str(op.name)


def entries() -> list[Any]:
    """Return the OpInfos that have float32 on the CPU."""
    from torch.testing._internal.common_methods_invocations import op_db

    return [
        op
        for op in op_db
        if torch.float32 in op.supported_dtypes("cpu") and not op.name.startswith(JITERATOR)
    ]


def moved(value: Any, device: str) -> Any:
    """Return the arguments of a sample, with its tensors and device names on `device`."""
    if isinstance(value, torch.Tensor):
        return value.detach().clone().to(device).requires_grad_(value.requires_grad)
    if isinstance(value, torch.device) or value == "cpu":
        return torch.device(device) if isinstance(value, torch.device) else device
    if isinstance(value, tuple | list):
        return type(value)(moved(one, device) for one in value)
    if isinstance(value, dict):
        return {key: moved(one, device) for key, one in value.items()}
    return value


def on_cpu(value: Any) -> Any:
    if isinstance(value, torch.Tensor):
        return value.detach().cpu()
    if isinstance(value, tuple | list):
        return [on_cpu(one) for one in value]
    return value


def call(op: Any, sample: Any, device: str) -> Any:
    given = moved([sample.input, list(sample.args), sample.kwargs], device)
    return on_cpu(op(given[0], *given[1], **given[2]))


def first_sample(op: Any) -> Any:
    torch.manual_seed(0)
    return next(iter(op.sample_inputs("cpu", torch.float32, requires_grad=False)))


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
            if full_name(op).split(".")[0] not in NOT_COMPARABLE and op.name not in NOT_COMPARABLE:
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
