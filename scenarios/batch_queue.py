"""BatchQueue: threads that use the device through a queue's workers get their own answers and their own errors."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any
from typing import ClassVar

import torch

from stress import Scenario

_EMBEDDING = 32


class ThroughBatchQueue(Scenario):
    """Every thread sends a transformer block and now and then a failing call through one queue, several at a time."""

    origin = (
        "test_batch_inference.py of dropbox/dML: 8 threads, transformer block, errors, shutdown drains",
    )
    rows: ClassVar[tuple[int, ...]] = (24,)
    requires = ("batch_queue",)
    params = {"num_workers": [1, 4]}
    iterations = 8
    num_workers: int

    def setup(self, device: torch.device) -> dict[str, Any]:
        block = torch.nn.TransformerEncoderLayer(_EMBEDDING, 2, 64, dropout=0.0, batch_first=True)
        return {"block": block.eval().to(device), "queue": _Queue(device, self.num_workers)}

    def make_input(self, generator: torch.Generator) -> torch.Tensor:
        return torch.randn(5, 1, 4, _EMBEDDING, generator=generator)

    def step(self, state: dict[str, Any], x: torch.Tensor) -> dict[str, Any]:
        def run(part: torch.Tensor) -> torch.Tensor:
            with torch.no_grad():  # a worker has its own mode
                y: torch.Tensor = state["block"](part)
            return y

        def fail(part: torch.Tensor) -> torch.Tensor:
            return part @ torch.ones(_EMBEDDING + 1, 1, device=part.device)

        parts = list(x)
        futures = [
            state["queue"].submit(part, fail if number == 2 else run) for number, part in enumerate(parts)
        ]
        answers = [_answer(future) for future in futures]
        return {
            "answers": torch.cat([one for one in answers if one is not None]),
            "failed": [one is None for one in answers],
        }

    def finish(self, state: dict[str, Any]) -> dict[str, bool]:
        """Leave requests in the queue and stop it: it must answer them, and take no more."""
        queue = state["queue"]
        left = [queue.submit(torch.zeros(1), lambda one: one + 1.0) for _ in range(8)]
        queue.stop()
        return {"drained": all(one() is not None for one in left), "takes no more": queue.refuses()}


class _Queue:
    """The device's queue, started at its first request; the CPU, which has none, answers at once."""

    def __init__(self, device: torch.device, num_workers: int) -> None:
        make = getattr(getattr(torch, device.type, None), "BatchQueue", None)
        self._queue: Any = None if make is None else make(batch_size=2, num_workers=num_workers)
        self._lock = threading.Lock()
        self._is_started = False

    def submit(self, part: torch.Tensor, function: Callable[[Any], Any]) -> Callable[[], Any]:
        """Return what waits for the answer and returns it, or raises."""
        if self._queue is None:
            return lambda: function(part)
        with self._lock:
            if not self._is_started:
                self._is_started = True
                self._queue.start()
        result: Callable[[], Any] = self._queue.submit(part, function).result
        return result

    def stop(self) -> None:
        if self._queue is not None:
            self._queue.stop()

    def refuses(self) -> bool:
        """Whether a stopped queue raises instead of taking a request that nobody will answer."""
        if self._queue is None:
            return True
        try:
            self._queue.submit(torch.zeros(1), lambda one: one)
        except RuntimeError:
            return True
        return False


def _answer(wait: Callable[[], Any]) -> Any:
    """Return the answer, or None where the call failed as it must."""
    try:
        return wait()
    except RuntimeError:
        return None
