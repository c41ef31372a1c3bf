"""`BatchQueue` of the simulated fork: worker threads that run requests, so that callers need no stream at all.

Each worker has its own stream. Work goes from stream to stream three times, and each is ordered: the
worker's stream waits for what the submitting thread had queued, a result is complete on the device before its
future is, and its memory is not reused before the submitting thread's stream is done with it.
"""

from __future__ import annotations

import contextlib
import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from dataclasses import field
from typing import Any

import torch
from torch.utils import _pytree

WRONG_FUTURE = "batch_queue_wrong_future"


@dataclass
class _Request:
    input: Any
    fn: Callable[[Any], Any]
    stream: int
    """The submitting thread's."""
    ready: int
    """An event on that stream after everything that the input depends on."""
    future: Future[Any] = field(default_factory=Future)


class BatchQueue:
    """Runs `fn(input)` of each request on one of `num_workers` threads; a worker takes up to `batch_size` at once."""

    def __init__(self, batch_size: int = 1, num_workers: int = 1) -> None:
        if batch_size < 1 or num_workers < 1:
            raise ValueError(f"batch_size={batch_size}, num_workers={num_workers}: both must be at least 1")
        self.batch_size, self.num_workers = batch_size, num_workers
        self._requests: queue.SimpleQueue[_Request | None] = queue.SimpleQueue()
        self._workers: list[threading.Thread] = []
        self._lock = threading.Lock()
        self._accepts = False

    def start(self) -> None:
        """Start the workers; raise `RuntimeError` when they run already."""
        with self._lock:
            if self._accepts:
                raise RuntimeError("BatchQueue: it is already started")
            self._accepts = True
            self._workers = [
                threading.Thread(target=self._work, name=f"batch-queue-{number}", daemon=True)
                for number in range(self.num_workers)
            ]
            for one in self._workers:
                one.start()

    def submit(self, input: Any, fn: Callable[[Any], Any]) -> Future[Any]:
        """Queue `fn(input)`; return the future of its value. Raise `RuntimeError` before start and after stop."""
        ops = torch.ops.mps_stress_sim
        stream, ready = ops.current_stream(), ops.event_acquire(False)
        ops.event_record(ready, stream)
        request = _Request(input, fn, stream, ready)
        with self._lock:  # so that no request can come behind the marks that end the workers
            accepted = self._accepts
            if accepted:
                self._requests.put(request)
        if not accepted:
            ops.event_release(ready)
            raise RuntimeError("BatchQueue: it is not running and takes no requests: call start() first")
        return request.future

    def stop(self) -> None:
        """Take no more requests, finish those that were taken, and end the workers."""
        with self._lock:
            if not self._accepts:
                return
            self._accepts = False
            for _ in self._workers:
                self._requests.put(None)
        for one in self._workers:
            one.join()

    def _work(self) -> None:
        ended = False
        while not ended:
            batch, ended = self._take(self.batch_size)
            if batch and torch.ops.mps_stress_sim.strikes(WRONG_FUTURE):
                if len(batch) == 1 and not ended:
                    more, ended = self._take(1, wait=False)
                    batch += more
                if len(batch) > 1:
                    batch[0].future, batch[1].future = batch[1].future, batch[0].future
            self._run(batch)

    def _take(self, count_max: int, *, wait: bool = True) -> tuple[list[_Request], bool]:
        """Take requests that are there, after waiting for a first one; (requests, whether to end after them)."""
        batch: list[_Request] = []
        while len(batch) < count_max:
            try:
                request = self._requests.get(block=wait and not batch)
            except queue.Empty:
                break
            if request is None:
                return batch, True
            batch.append(request)
        return batch, False

    def _run(self, batch: list[_Request]) -> None:
        for request in batch:
            if not request.future.set_running_or_notify_cancel():
                torch.ops.mps_stress_sim.event_release(request.ready)
                continue
            try:
                value = _value(request)
            except BaseException as error:  # of this request: it must reach its own future and no other
                with contextlib.suppress(
                    RuntimeError
                ):  # nor may what it left on the stream reach the next one
                    torch.ops.mps_stress_sim.synchronize_stream(torch.ops.mps_stress_sim.current_stream())
                request.future.set_exception(error)
            else:
                request.future.set_result(value)


def _value(request: _Request) -> Any:
    """Return `fn(input)`, complete on the device."""
    from stress.device.sim.device_type import device_type_number

    ops = torch.ops.mps_stress_sim
    own = ops.current_stream()
    ops.event_wait(request.ready, own)
    ops.event_release(request.ready)
    value = request.fn(request.input)
    ops.synchronize_stream(own)
    reader = torch.Stream(stream_id=request.stream, device_index=0, device_type=device_type_number())
    for leaf in _pytree.tree_leaves(value):
        if isinstance(leaf, torch.Tensor) and leaf.device.type != "cpu":
            leaf.record_stream(reader)
    return value
