"""Programs in pairs: racy, and fixed by one line. `python -m tests.order.pairs DEVICE REPEATS [NAME...]` runs them and prints JSON.

A program gets a `Bench` and is right or wrong by its order alone: it is judged after one run, in whatever schedule that had.
DEVICE is sim:DESIGN, wrapped:DESIGN (the simulated device without its trace), core:LIBRARY (a built core's module for Python),
cuda or cpu. With CUDA, torch's own sanitizer judges the same pairs in the same process, for comparison.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import json
import queue
import sys
import threading
from collections.abc import Callable
from collections.abc import Iterator
from typing import Any

import torch

import stress
from stress.order.pair import UnorderedPair
from stress.scenario import streams

Program = Callable[["Bench"], None]
PAIRS: dict[str, tuple[Program, str, str]] = {}
"""Name -> (program, kind of its finding, level that finds it)."""
SIZE = 64


class Bench:
    """A device with two side streams; `fixed` says which of the two programs is wanted."""

    def __init__(self, device: torch.device, fixed: bool) -> None:
        self.device, self.fixed = device, fixed
        self.one, self.two = streams.new_stream(device), streams.new_stream(device)
        self._kept: list[Any] = []

    def make(self, *shape: int) -> torch.Tensor:
        """Return a tensor that every later operation comes after."""
        made = torch.ones(shape or (SIZE, SIZE), device=self.device)
        streams.synchronize(self.device)
        return made

    def on(self, stream: torch.Stream | None) -> contextlib.AbstractContextManager[Any]:
        return streams.use_stream(stream)

    def event(self) -> streams.Event:
        return streams.new_event(self.device)

    def order(self, first: torch.Stream | None, then: torch.Stream | None) -> None:
        """Let `then` wait for what `first` holds, if this is the fixed program."""
        if self.fixed:
            event = self.event()
            streams.record(event, first)
            streams.wait(event, then)

    def keep(self, *tensors: object) -> None:
        """Keep tensors until all is over, so that no memory is given out again."""
        self._kept += tensors

    def run_in_threads(self, *bodies: Callable[[], None]) -> None:
        """Run one thread after another, so that no luck decides; without anything that orders streams."""
        for body in bodies:
            thread = threading.Thread(target=body)
            thread.start()
            thread.join()


def pair(kind: str, *, level: str = "device") -> Callable[[Program], Program]:
    def add(program: Program) -> Program:
        PAIRS[program.__name__] = (program, kind, level)
        return program

    return add


# ---- streams and events


@pair("stream-stream")
def side_write_default_read(b: Bench) -> None:
    x = b.make()
    with b.on(b.one):
        x.add_(1)
    b.order(b.one, None)
    if b.fixed:
        event = b.event()
        streams.record(event, b.one)
        event.wait()
    b.keep(x @ x)


@pair("stream-stream")
def default_write_side_read(b: Bench) -> None:
    x = b.make()
    x.mul_(2)
    if b.fixed:
        event = b.event()
        event.record()
        streams.wait(event, b.one)
    with b.on(b.one):
        b.keep(x + 1)


@pair("stream-stream")
def read_then_write_elsewhere(b: Bench) -> None:
    x = b.make()
    with b.on(b.one):
        b.keep(x @ x)
    b.order(b.one, b.two)
    with b.on(b.two):
        x.zero_()


@pair("stream-stream")
def two_writes(b: Bench) -> None:
    x = b.make()
    with b.on(b.one):
        x.add_(1)
    b.order(b.one, b.two)
    with b.on(b.two):
        x.mul_(2)


@pair("stream-stream")
def a_third_stream_waits_for_the_wrong_one(b: Bench) -> None:
    x, three = b.make(), streams.new_stream(b.device)
    with b.on(b.one):
        x.add_(1)
    b.order(b.one, b.two)  # chained: one, two, three
    event = b.event()
    streams.record(event, b.two)
    streams.wait(event, three)
    with b.on(three):
        b.keep(x + 1)


@pair("stream-stream")
def event_recorded_too_early(b: Bench) -> None:
    x, event = b.make(), b.event()
    with b.on(b.one):
        if not b.fixed:
            event.record()
        x.add_(1)
        if b.fixed:
            event.record()
    streams.wait(event, b.two)
    with b.on(b.two):
        b.keep(x + 1)


@pair("stream-stream")
def event_recorded_again_before_the_wait(b: Bench) -> None:
    x, event = b.make(), b.event()
    with b.on(b.one):
        x.add_(1)
        event.record()
    if not b.fixed:
        with b.on(b.two):
            event.record()  # it stands for the second stream's work now
    streams.wait(event, b.two)
    with b.on(b.two):
        b.keep(x + 1)


@pair("stream-stream")
def event_never_recorded(b: Bench) -> None:
    x, event = b.make(), b.event()
    with b.on(b.one):
        x.add_(1)
        if b.fixed:
            event.record()
    streams.wait(event, b.two)
    with b.on(b.two):
        b.keep(x + 1)


@pair("stream-stream")
def event_of_one_that_was_deleted(b: Bench) -> None:
    x, event = b.make(), b.event()
    with b.on(b.one):
        x.add_(1)
        event.record()
    if not b.fixed:
        del event
        event = b.event()  # the pool may give the same handle out again
    streams.wait(event, b.two)
    with b.on(b.two):
        b.keep(x + 1)


@pair("stream-stream")
def wait_on_the_wrong_stream(b: Bench) -> None:
    x, event = b.make(), b.event()
    with b.on(b.one):
        x.add_(1)
        event.record()
    streams.wait(event, b.two if b.fixed else b.one)
    with b.on(b.two):
        b.keep(x + 1)


@pair("stream-stream")
def wait_after_the_use(b: Bench) -> None:
    x, event = b.make(), b.event()
    with b.on(b.one):
        x.add_(1)
        event.record()
    with b.on(b.two):
        if b.fixed:
            event.wait()
        b.keep(x + 1)
        if not b.fixed:
            event.wait()


@pair("stream-stream")
def query_loop(b: Bench) -> None:
    x, event = b.make(), b.event()
    with b.on(b.one):
        x.add_(1)
        event.record()
    while b.fixed and not event.query():
        pass
    with b.on(b.two):
        b.keep(x + 1)


@pair("stream-stream")
def event_synchronize(b: Bench) -> None:
    x, event = b.make(), b.event()
    with b.on(b.one):
        x.add_(1)
        event.record()
    if b.fixed:
        event.synchronize()
    with b.on(b.two):
        b.keep(x + 1)


@pair("stream-stream")
def device_synchronize(b: Bench) -> None:
    x = b.make()
    with b.on(b.one):
        x.add_(1)
    if b.fixed:
        streams.synchronize(b.device)
    with b.on(b.two):
        b.keep(x + 1)


@pair("stream-stream")
def work_launched_before_the_synchronize(b: Bench) -> None:
    x = b.make()
    with b.on(b.one):
        x.add_(1)
    if b.fixed:
        streams.synchronize(b.device)
    with b.on(b.two):
        b.keep(x + 1)
    streams.synchronize(b.device)  # too late: the read was launched before


@pair("stream-stream")
def item_of_one_stream_orders_that_stream(b: Bench) -> None:
    x, y = b.make(), b.make(4)
    with b.on(b.one):
        x.add_(1)
    with b.on(b.one if b.fixed else b.two):
        y.sum().item()
    with b.on(b.two):
        b.keep(x + 1)


@pair("stream-stream")
def blocking_copy_to_the_host(b: Bench) -> None:
    x, y = b.make(), b.make(4)
    with b.on(b.one):
        x.add_(1)
        y.to("cpu", non_blocking=not b.fixed)
    with b.on(b.two):
        x.mul_(2)
    b.keep(y)
    streams.synchronize(b.device)


@pair("stream-stream")
def nonzero_waits(b: Bench) -> None:
    x, y = b.make(), b.make(4)
    with b.on(b.one):
        x.add_(1)
        b.keep(torch.nonzero(y) if b.fixed else y + 1)
    with b.on(b.two):
        b.keep(x + 1)


# ---- views and ranges


@pair("stream-stream")
def overlapping_halves(b: Bench) -> None:
    x = b.make(100)
    with b.on(b.one):
        x[:60].add_(1)
    with b.on(b.two):
        x[60 if b.fixed else 40 :].mul_(2)


@pair("stream-stream")
def columns(b: Bench) -> None:
    x = b.make()
    with b.on(b.one):
        x[:, ::2].add_(1)
    with b.on(b.two):
        x[:, 1 if b.fixed else 2 :: 2].mul_(2)


@pair("stream-stream")
def same_start_other_strides(b: Bench) -> None:
    x = b.make(8, 8)
    with b.on(b.one):
        x[0].add_(1)
    with b.on(b.two):
        (x[1:, 0] if b.fixed else x[:, 0]).mul_(2)


@pair("stream-stream")
def transposed_view(b: Bench) -> None:
    x = b.make()
    with b.on(b.one):
        x.t().mul_(2)
    b.order(b.one, b.two)
    with b.on(b.two):
        b.keep(x[1:] + 1)


@pair("stream-stream")
def partial_write_then_whole_read(b: Bench) -> None:
    x = b.make(100)
    with b.on(b.one):
        x[10:20] = 5
    with b.on(b.two):
        b.keep(x[20:] + 1 if b.fixed else x + 1)


@pair("stream-stream")
def cache_row_and_its_readers(b: Bench) -> None:
    cache, row = b.make(16, SIZE), b.make(SIZE)
    with b.on(b.one):
        for index in range(8):
            cache[index].copy_(row)
    with b.on(b.two):
        b.keep(cache[8:].sum() if b.fixed else cache[7:].sum())


@pair("stream-stream")
def foreach_of_a_shared_tensor(b: Bench) -> None:
    x, y = b.make(), b.make()
    with b.on(b.one):
        torch._foreach_add_([y, x], 1)
    b.order(b.one, b.two)
    with b.on(b.two):
        torch._foreach_mul_([x], 2)


@pair("stream-stream")
def out_argument(b: Bench) -> None:
    x, out = b.make(), b.make()
    with b.on(b.one):
        torch.mm(x, x, out=out)
    b.order(b.one, b.two)
    with b.on(b.two):
        b.keep(out + 1)


@pair("stream-stream")
def new_zeros_reads_nothing(b: Bench) -> None:
    x = b.make()
    with b.on(b.one):
        x.add_(1)
    with b.on(b.two):
        b.keep(x.new_zeros(4) if b.fixed else x.clone())


# ---- memory that is given out again


@pair("reuse")
def freed_while_another_stream_reads(b: Bench) -> None:
    x = b.make()
    with b.on(b.two):
        b.keep(x @ x)
    b.order(b.two, None)
    if b.fixed:
        event = b.event()
        streams.record(event, b.two)
        event.wait()
    del x
    for _ in range(3):
        b.keep(torch.zeros(SIZE, SIZE, device=b.device))


@pair("reuse")
def freed_without_record_stream(b: Bench) -> None:
    x = b.make()
    with b.on(b.two):
        b.keep(x @ x)
    if b.fixed:
        streams.record_stream(x, b.two)
    del x
    for _ in range(3):
        b.keep(torch.zeros(SIZE, SIZE, device=b.device))


@pair("reuse")
def record_stream_of_another_stream(b: Bench) -> None:
    x = b.make()
    with b.on(b.two):
        b.keep(x @ x)
    streams.record_stream(x, b.two if b.fixed else b.one)
    del x
    for _ in range(3):
        b.keep(torch.ones(SIZE, SIZE, device=b.device))


@pair("reuse")
def side_stream_copy_without_record_stream(b: Bench) -> None:
    """The pattern of pytorch/torchrec#4231: a batch that is copied on a side stream, used on the default one, and dropped."""
    with b.on(b.one):
        batch = torch.ones(SIZE, SIZE).to(b.device, non_blocking=True)
        event = b.event()
        event.record()
    event.wait()
    b.keep(batch @ batch)
    if b.fixed:
        streams.record_stream(batch, streams.current_stream(b.device))
    del batch
    with b.on(b.one):
        for _ in range(3):
            b.keep(torch.zeros(SIZE, SIZE, device=b.device))


@pair("reuse")
def freed_in_a_view(b: Bench) -> None:
    x = b.make()
    view = x[: SIZE // 2]
    del x
    with b.on(b.two):
        b.keep(view + 1)
    if b.fixed:
        streams.record_stream(view, b.two)
    del view
    for _ in range(3):
        b.keep(torch.zeros(SIZE, SIZE, device=b.device))


# ---- the host


@pair("stream-host")
def result_read_before_it_is_there(b: Bench) -> None:
    x, target = b.make(), host_tensor(b)
    target.copy_(x, non_blocking=True)
    if b.fixed:
        streams.synchronize(b.device)
    target.sum().item()
    streams.synchronize(b.device)


@pair("stream-host")
def result_read_through_numpy(b: Bench) -> None:
    x, target = b.make(), host_tensor(b)
    target.copy_(x, non_blocking=True)
    if b.fixed:
        streams.synchronize(b.device)
    target.numpy()
    streams.synchronize(b.device)


@pair("stream-host")
def result_read_after_torchs_own_event(b: Bench) -> None:
    """`torch.Event`, which C++ records and waits for: no function of the device's module is called."""
    x, target, event = b.make(), host_tensor(b), torch.Event(b.device)
    target.copy_(x, non_blocking=True)
    event.record()
    if b.fixed:
        event.synchronize()
    target.sum().item()
    streams.synchronize(b.device)


@pair("stream-host")
def source_overwritten_while_it_is_copied(b: Bench) -> None:
    x, source = b.make(), host_tensor(b)
    x.copy_(source, non_blocking=True)
    if b.fixed:
        streams.synchronize(b.device)
    source.zero_()
    streams.synchronize(b.device)


@pair("stream-host")
def source_overwritten_after_an_event(b: Bench) -> None:
    x, source, event = b.make(), host_tensor(b), b.event()
    x.copy_(source, non_blocking=True)
    event.record()
    if b.fixed:
        event.synchronize()
    source.fill_(3)
    streams.synchronize(b.device)


@pair("stream-stream")
def transfer_stream_without_a_wait(b: Bench) -> None:
    """The pattern of ROCm/pytorch#3194: a transfer stream fills a tensor that the default stream then uses."""
    x, source = b.make(), host_tensor(b)
    with b.on(b.one):
        x.copy_(source, non_blocking=True)
        event = b.event()
        event.record()
    if b.fixed:
        event.wait()
    b.keep(x @ x)
    streams.synchronize(b.device)


def host_tensor(b: Bench) -> torch.Tensor:
    made = torch.ones(SIZE, SIZE)
    return made.pin_memory() if b.device.type == "cuda" else made


# ---- threads


@pair("stream-stream")
def hand_over_by_a_list(b: Bench) -> None:
    x, box = b.make(), list[torch.Tensor]()
    event = b.event()

    def producer() -> None:
        with b.on(b.one):
            box.append(x.add_(1))
            event.record()

    def consumer() -> None:
        with b.on(b.two):
            if b.fixed:
                event.wait()
            b.keep(box[0] + 1)

    b.run_in_threads(producer, consumer)


@pair("stream-stream")
def hand_over_by_a_queue(b: Bench) -> None:
    x, box = b.make(), queue.Queue[tuple[torch.Tensor, streams.Event]]()

    def producer() -> None:
        with b.on(b.one):
            event = b.event()
            y = x * 2
            event.record()
            box.put((y, event))
            b.keep(y)

    def consumer() -> None:
        y, event = box.get()
        with b.on(b.two):
            if b.fixed:
                event.wait()
            b.keep(y + 1)

    b.run_in_threads(producer, consumer)


@pair("stream-stream")
def a_lock_does_not_order_streams(b: Bench) -> None:
    x, lock, events = b.make(), threading.Lock(), list[streams.Event]()

    def body(stream: torch.Stream | None) -> None:
        with lock, b.on(stream):
            if b.fixed and events:
                events[-1].wait()
            x.add_(1)
            event = b.event()
            event.record()
            events.append(event)

    b.run_in_threads(lambda: body(b.one), lambda: body(b.two))


@pair("stream-stream")
def backward_on_another_stream(b: Bench) -> None:
    w = b.make().requires_grad_()
    with b.on(b.one):
        (w * w).sum().backward()
    b.order(b.one, b.two)
    grad = w.grad
    assert grad is not None
    with b.on(b.two):
        b.keep(grad + 1)


@pair("stream-stream")
def optimiser_step_while_another_stream_reads(b: Bench) -> None:
    w = b.make().requires_grad_()
    w.grad = b.make()
    with b.on(b.one), torch.no_grad():
        b.keep(w @ w)
    b.order(b.one, b.two)
    with b.on(b.two):
        torch.optim.SGD([w], lr=0.1).step()


@pair("stream-stream")
def batch_norm_statistics(b: Bench) -> None:
    norm, x = torch.nn.BatchNorm1d(SIZE).to(b.device), b.make()
    streams.synchronize(b.device)
    with b.on(b.one):
        b.keep(norm(x))
    b.order(b.one, b.two)
    with b.on(b.two):
        b.keep(norm(x))


# ---- more ways to wait


@pair("stream-stream")
def stream_synchronize(b: Bench) -> None:
    x = b.make()
    with b.on(b.one):
        x.add_(1)
    if b.fixed and b.one is not None:
        b.one.synchronize()
    with b.on(b.two):
        b.keep(x + 1)


@pair("stream-stream")
def stream_query_loop(b: Bench) -> None:
    x = b.make()
    with b.on(b.one):
        x.add_(1)
        event = b.event()
        event.record()  # hands over what is encoded: a query does not
    while b.fixed and b.one is not None and not b.one.query():
        pass
    with b.on(b.two):
        b.keep(x + 1)


@pair("stream-stream")
def tolist_waits(b: Bench) -> None:
    x, y = b.make(), b.make(4)
    with b.on(b.one):
        x.add_(1)
        if b.fixed:
            y.tolist()
    with b.on(b.two):
        b.keep(x + 1)


@pair("stream-stream")
def equal_waits(b: Bench) -> None:
    x, y = b.make(), b.make(4)
    with b.on(b.one):
        x.add_(1)
        if b.fixed:
            torch.equal(y, y)
    with b.on(b.two):
        b.keep(x + 1)


@pair("stream-stream")
def masked_assignment_waits(b: Bench) -> None:
    x, y, value = b.make(), b.make(4), b.make(4)
    mask = torch.ones(4, dtype=torch.bool, device=b.device)
    streams.synchronize(b.device)
    with b.on(b.one):
        x.add_(1)
        if b.fixed:
            y[mask] = value
    with b.on(b.two):
        b.keep(x + 1)


# ---- more views


@pair("stream-stream")
def other_dtype_same_bytes(b: Bench) -> None:
    x = b.make(64)
    with b.on(b.one):
        x.view(torch.int32)[:32].zero_()
    with b.on(b.two):
        b.keep(x[32 if b.fixed else 31 :] + 1)


@pair("stream-stream")
def windows_with_gaps(b: Bench) -> None:
    x = b.make(64)
    with b.on(b.one):
        x.as_strided((8,), (4,)).mul_(2)  # 0, 4, 8, ...
    with b.on(b.two):
        x.as_strided((4, 2), (8, 1), 1 if b.fixed else 3).mul_(2)  # 1-2, 9-10, ... or 3-4, 11-12, ...


@pair("stream-stream")
def detached_alias(b: Bench) -> None:
    x = b.make().requires_grad_()
    y = x.detach()
    with b.on(b.one), torch.no_grad():
        x.add_(1)
    b.order(b.one, b.two)
    with b.on(b.two):
        b.keep(y + 1)


@pair("stream-stream")
def expanded_row(b: Bench) -> None:
    x = b.make(4, SIZE)
    with b.on(b.one):
        b.keep(x[:1].expand(8, SIZE) + 1)
    with b.on(b.two):
        x[1 if b.fixed else 0].zero_()


# ---- patterns


@pair("stream-stream")
def double_buffer(b: Bench) -> None:
    """A copy stream refills a buffer; racy, it does not wait until the last use of it is over."""
    buffers, batch = [b.make(), b.make()], b.make()
    used: list[streams.Event | None] = [None, None]
    for turn in range(4):
        buffer = buffers[turn % 2]
        with b.on(b.one):
            last = used[turn % 2]
            if b.fixed and last is not None:
                last.wait()
            buffer.copy_(batch)
            filled = b.event()
            filled.record()
        with b.on(b.two):
            filled.wait()
            b.keep(buffer @ buffer)
            done = b.event()
            done.record()
            used[turn % 2] = done


@pair("stream-stream")
def static_input_overwritten(b: Bench) -> None:
    """The pattern of SNU-ARC/DecDEC#1, without a graph: a static input is filled while the last step still reads it."""
    static, batch = b.make(), b.make()
    with b.on(b.two):
        b.keep(static @ static)
    b.order(b.two, b.one)
    with b.on(b.one):
        static.copy_(batch)


@pair("reuse")
def temporary_used_elsewhere(b: Bench) -> None:
    x = b.make()
    y = x + 1
    event = b.event()
    event.record()
    with b.on(b.two):
        event.wait()
        b.keep(y @ y)
    if b.fixed:
        streams.record_stream(y, b.two)
    del y
    b.keep(*(x * 2 for _ in range(3)))


@pair("reuse")
def freed_after_a_synchronize(b: Bench) -> None:
    x = b.make()
    with b.on(b.two):
        b.keep(x @ x)
    if b.fixed:
        streams.synchronize(b.device)
    del x
    b.keep(*(torch.zeros(SIZE, SIZE, device=b.device) for _ in range(3)))


@pair("stream-host")
def half_of_a_result_is_read(b: Bench) -> None:
    x, target = b.make(), host_tensor(b)
    target[:32].copy_(x[:32], non_blocking=True)
    target[32 if b.fixed else 31 :].sum().item()
    streams.synchronize(b.device)


@pair("stream-stream")
def hand_over_by_a_future(b: Bench) -> None:
    x, event = b.make(), b.event()

    def produce() -> torch.Tensor:
        with b.on(b.one):
            y = x * 2
            event.record()
            return y

    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        y = pool.submit(produce).result()
    with b.on(b.two):
        if b.fixed:
            event.wait()
        b.keep(y + 1)


@pair("stream-stream")
def batch_norm_in_eval_only_reads(b: Bench) -> None:
    norm, x = torch.nn.BatchNorm1d(SIZE).to(b.device), b.make()
    norm.train(not b.fixed)
    streams.synchronize(b.device)
    for stream in (b.one, b.two):
        with b.on(stream):
            b.keep(norm(x))


# ---- threads without an order: level strict


def _two_threads(b: Bench, first: Callable[[], object], second: Callable[[], object]) -> None:
    """Run two threads that only luck orders; fixed, the first is joined before the second starts."""
    ready = [False]

    def early() -> None:
        first()
        ready[0] = True

    def late() -> None:
        while not ready[0]:
            pass
        second()

    if b.fixed:
        b.run_in_threads(early, late)
        return
    threads = [threading.Thread(target=one) for one in (early, late)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()


@pair("order-only", level="strict")
def two_threads_on_one_stream(b: Bench) -> None:
    x = b.make()

    def body(work: Callable[[], object]) -> Callable[[], None]:
        def run() -> None:
            with b.on(b.one):
                work()

        return run

    _two_threads(b, body(lambda: x.add_(1)), body(lambda: x.mul_(2)))


@pair("host-host", level="strict")
def two_threads_on_host_memory(b: Bench) -> None:
    x = torch.ones(SIZE)
    _two_threads(b, lambda: x.add_(1), lambda: x.mul_(2))


@pair("order-only", level="strict")
def a_lock_orders_two_threads(b: Bench) -> None:
    x, lock = b.make(), threading.Lock()
    barrier = [0]

    def body(number: int) -> None:
        while barrier[0] != number:
            pass
        with lock if b.fixed else contextlib.nullcontext(), b.on(b.one):
            x.add_(number)
        barrier[0] += 1

    threads = [threading.Thread(target=body, args=(number,)) for number in range(2)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()


@pair("order-only", level="strict")
def an_event_that_another_thread_records(b: Bench) -> None:
    """It holds what was launched before, and by chance that is all."""
    x = b.make()

    def launch() -> None:
        with b.on(b.one):
            x.add_(1)

    def hand_on() -> None:
        event = b.event()
        streams.record(event, b.one)
        streams.wait(event, b.two)
        with b.on(b.two):
            x.mul_(2)

    _two_threads(b, launch, hand_on)


@pair("generator", level="strict")
def the_default_generator(b: Bench) -> None:
    """Each thread fills a tensor of its own: which numbers it gets is chance."""
    x, y = b.make(), b.make()
    _two_threads(b, x.normal_, lambda: torch.nn.functional.dropout(y, 0.5))


@pair("generator", level="strict")
def seeded_by_another_thread(b: Bench) -> None:
    """Draws come before the seed or after it."""
    x = b.make()
    seed = torch.mps.manual_seed if b.device.type == "mps" else torch.manual_seed
    _two_threads(b, x.normal_, lambda: seed(7))


@pair("metadata", level="strict")
def resized_while_another_thread_reads(b: Bench) -> None:
    x = b.make()
    _two_threads(b, lambda: b.keep(x + 1), lambda: x.resize_(SIZE // 2, SIZE))


@pair("metadata", level="strict")
def transposed_in_place_by_another_thread(b: Bench) -> None:
    x = b.make()
    _two_threads(b, x.t_, lambda: b.keep(x @ x))


@pair("metadata", level="strict")
def set_to_other_memory(b: Bench) -> None:
    """As a server does that swaps weights in under running requests."""
    x, new = b.make(), b.make()
    _two_threads(b, lambda: b.keep(x @ x), lambda: x.set_(new.untyped_storage(), 0, new.shape, new.stride()))


@pair("metadata", level="strict")
def data_replaced(b: Bench) -> None:
    """As `Module.to` and `Module.half` do with each parameter."""
    x, new = b.make(), b.make()

    def replace() -> None:
        x.data = new

    _two_threads(b, lambda: b.keep(x @ x), replace)


@pair("metadata", level="strict")
def gradient_taken_away(b: Bench) -> None:
    """As `zero_grad` does while another thread's optimiser reads it."""
    x = b.make().requires_grad_()
    x.grad = b.make()

    def read() -> None:
        b.keep(x.grad)

    def clear() -> None:
        x.grad = None

    _two_threads(b, read, clear)


@pair("order-only", level="strict")
def a_queue_orders_two_threads(b: Bench) -> None:
    x, box, plain = b.make(), queue.Queue[int](), list[int]()

    def producer() -> None:
        with b.on(b.one):
            x.add_(1)
        plain.append(1)
        box.put(1)

    def consumer() -> None:
        if b.fixed:
            box.get()
        while not plain:
            pass
        with b.on(b.one):
            x.mul_(2)

    threads = [threading.Thread(target=one) for one in (producer, consumer)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()


# ---- running them


def run_once(device: torch.device, name: str, *, fixed: bool) -> list[UnorderedPair]:
    """Return what the checker finds in one run of a program."""
    program, _, level = PAIRS[name]
    bench = Bench(device, fixed)
    with stress.order.check(level) as found:
        program(bench)
    streams.synchronize(device)
    return found.findings


def csan_found(name: str, *, fixed: bool) -> bool:
    """Whether torch's own sanitizer reports a program on CUDA."""
    from torch.cuda import _sanitizer

    bench = Bench(torch.device("cuda"), fixed)
    try:
        with _sanitizer.CUDASanitizerDispatchMode():
            PAIRS[name][0](bench)
    except _sanitizer.CUDASanitizerErrors:
        return True
    finally:
        torch.cuda.synchronize()
    return False


@contextlib.contextmanager
def opened(name: str) -> Iterator[torch.device]:
    """Make a device ready: sim:DESIGN, wrapped:DESIGN, core:LIBRARY, cuda or cpu."""
    kind, _, design = name.partition(":")
    if kind == "core":
        from stress.device import preparation
        from stress.model.spec import ChildSpec
        from stress.model.spec import CoreSpec

        preparation.prepare(ChildSpec("crew", core=CoreSpec(design)))
        yield torch.device("mps")
        return
    if kind not in ("sim", "wrapped"):
        yield torch.device(kind)
        return
    from stress.device.sim import loading
    from stress.device.sim.build import default_builder
    from stress.device.sim.settings import SimSettings
    from stress.model.spec import ChildSpec

    spec = default_builder().ensure(lambda text: print(text, file=sys.stderr)).spec(SimSettings(design))
    loading.prepare(ChildSpec("crew", sim=spec), spec)
    if kind == "wrapped":  # as MPS is today: no trace, only the Python functions of torch.mps
        del torch.mps._gpu_trace  # type: ignore[attr-defined]
    yield loading.torch_device()


def main(name: str, repeats: int, names: list[str]) -> None:
    result: dict[str, Any] = {}
    with opened(name) as device:
        for one in names or [
            key for key, (_, _, level) in PAIRS.items() if name != "cpu" or level == "strict"
        ]:
            racy = [run_once(device, one, fixed=False) for _ in range(repeats)]
            fixed = [run_once(device, one, fixed=True) for _ in range(repeats)]
            kind = PAIRS[one][1]
            if name == "cpu" and kind == "order-only":  # a thread's work is its own there
                kind = "host-host"
            result[one] = {
                "racy": sum(any(found.kind == kind for found in run) for run in racy),
                "others": sorted({found.kind for run in racy for found in run if found.kind != kind}),
                "fixed": sum(bool(run) for run in fixed),
                "texts": [found.text for run in fixed for found in run][:2],
            }
            if device.type == "cuda" and PAIRS[one][2] == "device":
                result[one]["csan"] = [csan_found(one, fixed=False), csan_found(one, fixed=True)]
    print(json.dumps(result))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), sys.argv[3:])
