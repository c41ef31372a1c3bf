"""Cost of the order checker: time per operator, beside torch's plain mode and CUDA's sanitizer, and memory over many reads.

    python -m benchmarks.order_cost [READS]

Times are CPU times of the calling thread from one process, each the median with minimum and maximum of the rounds. An empty
dispatch mode is what any checker in Python pays. Torch's own sanitizer needs CUDA; what its handler does for one launch, with
its stack, is called directly, without its mode.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from contextlib import nullcontext
from functools import partial
from typing import Any

import psutil
import torch
from torch.utils._python_dispatch import TorchDispatchMode

import stress
from stress.order.session import OrderSession

ROUNDS, OPS = 15, 400
CSAN = "torch.cuda._sanitizer's handler"
READS = 1_000_000


class Empty(TorchDispatchMode):
    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return func(*args, **(kwargs or {}))


Work = Callable[[], object]
Context = Callable[[], AbstractContextManager[object]]


def per_op_us(cases: dict[str, tuple[Work, Context]]) -> dict[str, list[float]]:
    """Return microseconds per call of each, one figure per round.

    They take turns within each round: on a busy machine a core is now half as fast, now not, for seconds.
    """
    figures: dict[str, list[float]] = {name: [] for name in cases}
    for _ in range(ROUNDS):
        for name, (work, context) in cases.items():
            with context():
                for _ in range(20):
                    work()
                started = time.thread_time()
                for _ in range(OPS):
                    work()
                figures[name].append((time.thread_time() - started) / OPS * 1e6)
    return figures


def times(device: torch.device) -> None:
    x, y = torch.ones(8, 8, device=device), torch.ones(8, 8, device=device)

    def work() -> None:
        x.add_(y)

    figures = per_op_us(
        {
            "no checker": (work, nullcontext),
            "an empty dispatch mode": (work, Empty),
            "order, level device": (work, partial(stress.order.check, "device")),
            "order, level strict": (work, partial(stress.order.check, "strict")),
            CSAN: (csan_launch(), nullcontext),
        }
    )
    print(f"add_ of two 8x8 tensors on {device}:")
    plain, csan = figures["no checker"], figures[CSAN]
    for name, own in figures.items():
        more = [one - other for one, other in zip(own, plain, strict=True)]
        text = f"  {name:36} {statistics.median(own):6.1f} us  ({min(own):.1f}-{max(own):.1f})"
        if own is not plain and own is not csan:
            share = statistics.median(one / other for one, other in zip(more, csan, strict=True))
            text += f", {statistics.median(more):5.1f} more than none, {share:.2f} of the sanitizer's"
        print(text)


def csan_launch() -> Work:
    """Return what torch's sanitizer does for one launch with its stack, once its mode has seen it."""
    from torch.cuda import _sanitizer

    handler = _sanitizer.EventHandler()
    aliases: dict[int, list[str]] = {1: ["self"], 2: ["other"]}

    def work() -> None:
        handler._handle_kernel_launch(0, {2}, {1}, set(), "add_", aliases)

    return work


def memory(device: torch.device, reads: int) -> None:
    x = torch.ones(8, 8, device=device)
    process = psutil.Process()
    with stress.order.check("strict"):
        session = OrderSession.active
        assert session is not None
        figures = []
        for part in range(5):
            for _ in range(reads // 5):
                x.sum()
            figures.append(process.memory_info().rss >> 20)
            print(
                f"  after {(part + 1) * (reads // 5):9,} reads: {figures[-1]} MiB, {len(session._storages)} storages tracked"
            )
    print(f"  grown by {figures[-1] - figures[0]} MiB from the first fifth to the last")


def simulated() -> torch.device | None:
    """Load the simulated device if it can be built here."""
    from stress.device.sim import loading
    from stress.device.sim.build import default_builder
    from stress.device.sim.settings import SimSettings
    from stress.model.errors import BuildError
    from stress.model.spec import ChildSpec

    try:
        spec = default_builder().ensure(print).spec(SimSettings())
    except BuildError as error:
        print(error)
        return None
    loading.prepare(ChildSpec("crew", sim=spec), spec)
    return loading.torch_device()


def main() -> None:
    torch.set_num_threads(1)
    device = simulated()
    devices = [torch.device("cpu"), *([device] if device is not None else [])]
    if torch.cuda.is_available():
        devices.append(torch.device("cuda"))
    for one in devices:
        times(one)
    reads = int(sys.argv[1]) if len(sys.argv) > 1 else READS
    print(f"{reads:,} reads of one tensor on {devices[-1]}, level strict:")
    memory(devices[-1], reads)


if __name__ == "__main__":
    main()
