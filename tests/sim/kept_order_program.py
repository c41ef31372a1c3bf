"""A program: `python -m tests.sim.kept_order_program LIBRARY KEY`. Which orders each design and fault does not keep.

Each case runs in a forked child. Prints case -> names of the promises that were broken, as one JSON object.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from collections.abc import Mapping
from functools import partial
from typing import Any

import torch
import torch._dynamo  # the first op of each child would import it
from torch.nn import functional

from stress.device.sim import loading
from stress.device.sim.device_type import device_type_number
from stress.device.sim.zoo import BY_NAME
from stress.device.sim.zoo import FAULTS
from stress.order.broken_promise import BrokenPromise
from tests.sim.programs import print_cases

PAIRS_OF_THREADS, ITERATIONS = 2, 32
CLEAR = {
    "allocator_reuse_before_completion": "reuse",
    "allocator_size_class": "owner",
    "copy_source_freed": "source",
    "copy_torn": "stream",
    "event_pool_crosstalk": "owner",
    "event_wait_missing": "wait",
    "event_wrong_ticket": "wait",
    "layer_norm_shared_statistics": "scratch",
    "linear_shared_scratch": "scratch",
    "op_pair_order": "stream",
    "record_stream_first_only": "reuse",
    "record_stream_missing": "reuse",
    "scalar_buffer_reused": "scratch",
    "synchronize_skips_stream": "synchronize",
}
"""Fault -> the promise that it breaks in this program; the others end the process, or need more threads than it has."""
CALLED_SELDOM = ("synchronize_skips_stream",)
DESIGNS = ("upstream", "fork", "fork-free-list")


def order_of_ops(device: str) -> None:
    """What one thread does by itself: its own stream orders all of it."""
    weight = torch.ones(64, 64, device=device)
    x = torch.ones(64, 64).to(device, non_blocking=True)
    x = functional.linear(x, weight) * 3
    x = functional.layer_norm(x, (64,))
    packed = x.view(1, 8, 8, 64).transpose(1, 2).contiguous()
    functional.scaled_dot_product_attention(packed, packed, packed)
    x.clone().add_(1)


def producer(device: str, hand_over: queue.Queue[Any], iterations: int) -> None:
    ops = loading.ops()
    for iteration in range(iterations):
        order_of_ops(device)
        made = torch.ones(64, 64, device=device) @ torch.ones(64, 64, device=device)
        event, beside = ops.event_acquire(False), ops.event_acquire(False)
        ops.event_release(beside)
        ops.event_record(event, ops.current_stream())
        used = threading.Event()
        hand_over.put((made, event, used))
        used.wait()
        del made  # what comes next takes its memory
        kept = torch.zeros(64, 64, device=device), torch.zeros(32, 64, device=device)
        del kept
        if iteration % 8 == 7:  # seldom: a fault strikes only while two threads have used the device since
            ops.synchronize_all()
            ops.empty_cache()
    hand_over.put(None)


def consumer(hand_over: queue.Queue[Any], waits: bool) -> None:
    ops = loading.ops()
    while (taken := hand_over.get()) is not None:
        made, event, used = taken
        own = ops.current_stream()
        if waits:
            ops.event_wait(event, own)
        ops.event_release(event)
        stream = torch.Stream(stream_id=own, device_index=0, device_type=device_type_number())
        made.record_stream(stream)
        made.sum()
        made.record_stream(stream)
        made.sum()
        del made, taken
        used.set()


def broken(configure: str, device: str, *, waits: bool = True) -> list[str]:
    """Return the names of what was promised and not kept; raise for a line that is no report. For a child."""
    torch.set_num_threads(1)
    ops = loading.ops()
    ops.configure(configure)
    threads = []
    for _ in range(PAIRS_OF_THREADS):
        hand_over: queue.Queue[Any] = queue.Queue()
        threads.append(threading.Thread(target=producer, args=(device, hand_over, ITERATIONS)))
        threads.append(threading.Thread(target=consumer, args=(hand_over, waits)))
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    for _ in range(3):  # of threads that have ended
        torch.ones(64, 64, device=device).add_(1)
    ops.synchronize_all()
    found = [BrokenPromise.from_line(one) for one in ops.take_broken_promises()]
    assert all(one.text for one in found)
    return sorted({one.promise for one in found})


def cases(device: str) -> Mapping[str, Callable[[], list[str]]]:
    found: dict[str, Callable[[], list[str]]] = {}
    for design in DESIGNS:
        found[design] = partial(broken, f"design={design}", device)
        found[f"{design} replayable"] = partial(
            broken, f"design={design};schedule=random;schedule_seed=3", device
        )
        found[f"{design} racy"] = partial(broken, f"design={design}", device, waits=False)
    for fault in FAULTS:
        if not fault.unkept:
            continue
        spec = f"design={fault.design};seed=1;faults={fault.name}:{1 if fault.name in CALLED_SELDOM else 0.3}:{BY_NAME[fault.name].window_us}"
        found[f"{fault.name} twin"] = partial(broken, f"{spec}/twin", device)
        if fault.name in CLEAR:
            found[fault.name] = partial(broken, spec, device)
    found["unchecked"] = partial(broken, "design=fork;order=unchecked;faults=event_wait_missing:1", device)
    return found


if __name__ == "__main__":
    print_cases(cases)
