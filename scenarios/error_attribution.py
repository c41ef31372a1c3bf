"""Errors belong to the thread that made them: it alone sees them, and all others stay right."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Sequence
from functools import partial
from typing import Any
from typing import ClassVar

import torch
import torch.nn.functional as F

from stress import Scenario
from stress import current
from stress import streams


def _assert(beyond: torch.Tensor) -> torch.Tensor:
    torch._assert_async((beyond < 10).all(), "a value is beyond 10")
    return beyond


_OFFENDERS: tuple[Callable[[torch.Tensor, torch.Tensor], torch.Tensor], ...] = (
    lambda x, beyond: torch.index_select(x, 0, beyond),
    lambda x, beyond: torch.gather(x, 0, beyond[:, None]),
    lambda x, beyond: torch.zeros_like(x).scatter(0, beyond[:, None], x[:3, :1]),
    lambda x, beyond: F.one_hot(beyond, 8),
    lambda x, beyond: F.embedding_bag(beyond, x, offsets=torch.zeros_like(beyond[:1])),
    lambda x, beyond: torch.bernoulli(beyond.float()),
    lambda x, beyond: _assert(beyond),
)
"""What fails with indices or values of 1000, on the device where it checks them there."""
_ERRORS_MAX = 20
"""Waits after which a device is taken to tell of one error for ever."""


class OneOffender(Scenario):
    """Thread 0 provokes an error in every second iteration while all other threads run valid operators."""

    origin = (
        "pytorch#166615: an out-of-range index is reported at a later synchronisation, perhaps another thread's",
        "pytorch#78503: an exception inside a dispatch block kills the process",
    )
    rows: ClassVar[tuple[int, ...]] = (20,)
    params = {"error": ["shape", "dtype", "index"]}
    threads_min = 2
    iterations = 20
    error: str

    def setup(self, device: torch.device) -> dict[str, Any]:
        return {"weight": torch.randn(32, 32).to(device), "own": _own_streams(device, self.threads)}

    def make_input(self, generator: torch.Generator) -> torch.Tensor:
        return torch.randn(16, 32, generator=generator)

    def steps(self) -> Sequence[Callable[[Any, Any], Any]]:
        return (self.offend, *[self.work] * (self.threads - 1))

    def work(self, state: dict[str, Any], x: torch.Tensor) -> torch.Tensor:
        with _on_own_stream(state):
            chosen = torch.index_select(x, 0, (x[:, 0] > 0).long())
            return torch.softmax((x + chosen) @ state["weight"] / 8, dim=-1).cpu()

    def offend(self, state: dict[str, Any], x: torch.Tensor) -> torch.Tensor:
        if current().iteration % 2:
            return self.work(state, x)
        with _on_own_stream(state):
            return self.fail(state, x)

    def fail(self, state: dict[str, Any], x: torch.Tensor) -> torch.Tensor:
        if self.error == "shape":
            return x @ x
        # Read at once, so that an error found on the device surfaces here and not in the next thread that waits.
        if self.error == "dtype":
            return torch.bitwise_and(x, x).cpu()
        if self.device_type == "cuda" or state["own"] is None:
            # Checked on the host: an index checked on the device ends the CUDA context for all, and is told to whoever
            # waits first where all threads have one stream (`ErrorsOnASharedStream`).
            return x[len(x)]
        return torch.index_select(x, 0, torch.full((3,), 1000).to(x.device)).cpu()


class LateErrors(Scenario):
    """Threads submit operators that fail on the device, one after another, continue, and wait later: each gets only its own errors."""

    origin = (
        "pytorch#166615: errors found by the device surface at a later synchronisation, perhaps another thread's",
        "pytorch#193571: the status of a failed command buffer is not read, and garbage is",
    )
    rows: ClassVar[tuple[int, ...]] = (20,)
    requires = ("own_errors",)
    threads_min = 2
    iterations = 15

    def setup(self, device: torch.device) -> dict[str, Any]:
        own = _own_streams(device, self.threads)
        return {
            "weight": torch.randn(32, 32).to(device),
            "beyond": torch.full((3,), 1000).to(device),
            "offenders": _that_fail(device),
            "own": own,
        }

    def make_input(self, generator: torch.Generator) -> torch.Tensor:
        return torch.randn(16, 32, generator=generator)

    def steps(self) -> Sequence[Callable[[Any, Any], Any]]:
        return (self.offend, self.work)

    def work(self, state: dict[str, Any], x: torch.Tensor) -> torch.Tensor:
        with _on_own_stream(state):
            return self.read_often(state, x)

    def read_often(self, state: dict[str, Any], x: torch.Tensor) -> torch.Tensor:
        return torch.stack([_read(state["weight"], x * scale) for scale in (1.0, 0.5, 0.25, 0.125)])

    def offend(self, state: dict[str, Any], x: torch.Tensor) -> dict[str, Any]:
        with _on_own_stream(state):
            return self.fail_late(state, x)

    def fail_late(self, state: dict[str, Any], x: torch.Tensor) -> dict[str, Any]:
        told = 0
        for _ in range(2):
            try:
                if self.device_type == "cuda":  # as above
                    failed = x[len(x)]
                else:
                    offenders = state["offenders"]
                    failed = offenders[current().iteration % len(offenders)](x, state["beyond"])
                torch.softmax(x @ state["weight"], dim=-1)  # the error is there, and nobody has waited yet
                failed.cpu()
            except (IndexError, RuntimeError):
                told += 1
        return {"told": told, "right after it": _read(state["weight"], x)}


class ErrorsOnASharedStream(Scenario):
    """Half of the threads submit what fails on the device: whoever waits for the stream first is told, and all values stay right."""

    origin = (
        "pytorch#166615: a stream has one buffer of errors, which whoever waits reads: plain threads share a stream",
        "pytorch#193571: a failure that nobody is told of",
    )
    rows: ClassVar[tuple[int, ...]] = (20,)
    requires = ("index_errors",)
    threads_min = 2
    iterations = 10

    def setup(self, device: torch.device) -> dict[str, Any]:
        return {
            "weight": torch.randn(32, 32).to(device),
            "beyond": torch.full((3,), 1000).to(device),
            "told": [],
        }

    def make_input(self, generator: torch.Generator) -> torch.Tensor:
        return torch.randn(16, 32, generator=generator)

    def steps(self) -> Sequence[Callable[[Any, Any], Any]]:
        return (self.offend, self.work)

    def offend(self, state: dict[str, Any], x: torch.Tensor) -> torch.Tensor:
        try:
            if self.device_type == "cuda":  # as above
                x[len(x)]
            else:
                torch.index_select(x, 0, state["beyond"])
        except IndexError as error:  # refused at the call
            state["told"].append(str(error))
        return self.work(state, x)

    def work(self, state: dict[str, Any], x: torch.Tensor) -> torch.Tensor:
        for _ in range(100 * self.threads):
            try:
                return _read(state["weight"], x)
            except (IndexError, RuntimeError) as error:
                state["told"].append(str(error))
        raise RuntimeError("every wait raises: an error is told more than once")

    def finish(self, state: dict[str, Any]) -> dict[str, bool]:
        told = state["told"]
        return {"somebody was told": bool(told), "of an index": all("index" in text for text in told)}


def _that_fail(device: torch.device) -> list[Callable[[torch.Tensor, torch.Tensor], torch.Tensor]]:
    """Return the offenders that this device tells of, once: a backend need not check all of them.

    Where one leaves several errors, a step that has caught the first gets the next one later. On CUDA one would end the context.
    """
    if device.type == "cuda":
        return []
    x, beyond = torch.ones(16, 32).to(device), torch.full((3,), 1000).to(device)
    found = [one for one in _OFFENDERS if _errors_of(partial(one, x, beyond), x) == 1]
    return found or [lambda x, _: x[len(x)]]  # which the host checks


def _errors_of(call: Callable[[], object], other: torch.Tensor) -> int:
    """Return how many errors a call leaves, one at each wait; none is left then. Some devices tell only who copies, as of `other`."""
    try:
        call()
        told = 0
    except (IndexError, RuntimeError):
        told = 1
    while told < _ERRORS_MAX:
        try:
            streams.synchronize(other.device)
            other.cpu()
        except (IndexError, RuntimeError):
            told += 1
        else:
            break
    return told


def _own_streams(device: torch.device, threads: int) -> list[torch.Stream | None] | None:
    """Return a stream for each thread, as errors belong to streams; None where all threads have one."""
    try:
        return [streams.own_stream(device) for _ in range(threads)]
    except NotImplementedError:
        return None


@contextlib.contextmanager
def _on_own_stream(state: dict[str, Any]) -> Iterator[None]:
    own = state["own"]
    stream = None if own is None else own[current().thread_index % len(own)]
    if stream is None:
        yield
        return
    begun = streams.new_event(state["weight"].device)
    streams.record(begun)  # behind what brought the input
    with streams.use_stream(stream):
        streams.wait(begun)
        yield


def _read(weight: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    """Compute, and wait: the first thread to wait must not get another thread's error."""
    return torch.softmax(x @ weight / 8, dim=-1).cpu()
