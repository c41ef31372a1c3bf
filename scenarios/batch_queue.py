"""BatchQueue: threads that use the device through a queue's workers get their own answers and their own errors."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from collections.abc import Sequence
from typing import Any
from typing import ClassVar

import torch

from stress import Scenario
from stress import current

_EMBEDDING = 32
_FAILING = 2
"""The index of the request of a step that fails."""
_DRAINED_S_MAX = 10.0
_REQUESTS_MAX = 4000
"""More than any thread can submit before the queue is stopped, which it is after a few."""


class ThroughBatchQueue(Scenario):
    """Every thread sends a transformer block and now and then a failing call through one queue, several at a time."""

    origin = (
        "test_batch_inference.py of dropbox/dML: 8 threads, transformer block, errors, shutdown drains",
    )
    rows: ClassVar[tuple[int, ...]] = (24,)
    requires = ("batch_queue",)
    params = {"num_workers": [1, 4]}
    params_quick = {"num_workers": [4]}
    iterations = 8
    num_workers: int

    def setup(self, device: torch.device) -> dict[str, Any]:
        return {"block": _block().to(device), "queue": _started_queue(device, self.num_workers)}

    def make_input(self, generator: torch.Generator) -> torch.Tensor:
        return torch.randn(5, 1, 4, _EMBEDDING, generator=generator)

    def step(self, state: dict[str, Any], x: torch.Tensor) -> dict[str, Any]:
        def run(part: torch.Tensor) -> torch.Tensor:
            return _run(state["block"], part)

        parts = list(x)
        submit = state["queue"].submit
        futures = [submit(part, _fail if number == _FAILING else run) for number, part in enumerate(parts)]
        answers = [_answer(future) for future in futures]
        return {
            "answers": torch.cat([one for one in answers if one is not None]),
            "failed": [one is None for one in answers],
        }

    def finish(self, state: dict[str, Any]) -> dict[str, bool]:
        """Leave requests in the queue and stop it: it must answer them, and accept no more."""
        queue = state["queue"]
        left = [queue.submit(torch.zeros(1), lambda one: one + 1.0) for _ in range(8)]
        queue.stop()
        return {
            "drained": all(one.result(_DRAINED_S_MAX) is not None for one in left),
            "refuses": _refuses(queue),
        }

    def reference(self, device: torch.device, inputs: Sequence[Sequence[torch.Tensor]]) -> Any:
        """Compute without the queue, whose workers would make threads of a sequential run."""
        block = _block().to(device, inputs[0][0].dtype)
        outputs = [[_expected(block, x) for x in of_thread] for of_thread in inputs]
        return outputs, [{"drained": True, "refuses": True}]


class StopWhileSubmitting(Scenario):
    """One thread stops the queue while the others submit: accepted requests are answered, others are refused clearly."""

    origin = (
        "test_batch_inference.py of dropbox/dML: stop drains, and a request after it is an error",
        "suite row 24: a request that is taken and never answered blocks a server's thread for ever",
    )
    rows: ClassVar[tuple[int, ...]] = (24,)
    requires = ("batch_queue",)
    threads_min = 2
    iterations = 1

    def setup(self, device: torch.device) -> dict[str, Any]:
        return {"weight": torch.eye(_EMBEDDING).to(device), "queue": _started_queue(device, 2), "taken": 0}

    def steps(self) -> Sequence[Callable[[Any, Any], Any]]:
        return (self.stop, *[self.submit] * (self.threads - 1))

    def stop(self, state: dict[str, Any], x: None) -> dict[str, int]:
        """Wait until some requests were accepted: stopped before that, the queue would only refuse."""
        deadline_s = time.monotonic() + _DRAINED_S_MAX
        while state["taken"] < 2 * self.threads and time.monotonic() < deadline_s:
            time.sleep(0.0002)
        state["queue"].stop()
        return {"wrong": 0, "unanswered": 0, "unclear": 0, "refused": 1}

    def submit(self, state: dict[str, Any], x: None) -> dict[str, int]:
        """Submit until the queue refuses, then look at every answer."""
        weight, queue = state["weight"], state["queue"]
        me, taken, unclear, refused = current().thread_index, [], 0, 0
        for number in range(_REQUESTS_MAX):
            value = float(1000 * me + number)
            part = torch.full((2, _EMBEDDING), value, device=weight.device)
            try:
                taken.append((queue.submit(part, lambda one: one @ weight), value))
            except RuntimeError as error:
                unclear, refused = int(not _is_clear(error)), 1
                break
            state["taken"] += 1
        wrong = unanswered = 0
        for future, value in taken:
            try:
                wrong += int((future.result(_DRAINED_S_MAX) != value).sum())
            except TimeoutError:
                unanswered += 1
        return {"wrong": wrong, "unanswered": unanswered, "unclear": unclear, "refused": refused}

    def reference(self, device: torch.device, inputs: Sequence[Sequence[Any]]) -> list[list[dict[str, int]]]:
        """Expect nothing wrong: one thread alone would wait for the one that stops the queue."""
        right = {"wrong": 0, "unanswered": 0, "unclear": 0, "refused": 1}
        return [[right for _ in of_thread] for of_thread in inputs]


def _block() -> torch.nn.Module:
    return torch.nn.TransformerEncoderLayer(_EMBEDDING, 2, 64, dropout=0.0, batch_first=True).eval()


def _expected(block: torch.nn.Module, x: torch.Tensor) -> dict[str, Any]:
    answers = [_run(block, part) for number, part in enumerate(x) if number != _FAILING]
    return {"answers": torch.cat(answers), "failed": [number == _FAILING for number in range(len(x))]}


def _run(block: torch.nn.Module, part: torch.Tensor) -> torch.Tensor:
    with torch.no_grad():  # a worker has its own mode
        y: torch.Tensor = block(part)
    return y


def _fail(part: torch.Tensor) -> torch.Tensor:
    return part @ torch.ones(_EMBEDDING + 1, 1, device=part.device)


def _started_queue(device: torch.device, num_workers: int) -> Any:
    """Return the device's queue, running; None on the CPU, which has none and only makes references."""
    make = getattr(getattr(torch, device.type, None), "BatchQueue", None)
    if make is None:
        return None
    queue = make(batch_size=2, num_workers=num_workers)
    queue.start()
    return queue


def _refuses(queue: Any) -> bool:
    """Whether a stopped queue raises, saying so, instead of accepting a request that will never be answered."""
    try:
        queue.submit(torch.zeros(1), lambda one: one)
    except RuntimeError as error:
        return _is_clear(error)
    return False


def _is_clear(error: RuntimeError) -> bool:
    """Whether the text tells a user that the queue is not running."""
    return re.search(r"stop|start|run|clos|shut", str(error), re.IGNORECASE) is not None


def _answer(future: Any) -> Any:
    """Return the answer, or None where the call failed as it must."""
    try:
        return future.result()
    except RuntimeError:
        return None
