"""A pool without a free stream: it shares, refuses, waits, or waits for a time; and streams that threads choose."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any
from typing import ClassVar

import torch

from stress import Scenario
from stress import current
from stress import streams
from stress.scenario.exact import climb
from stress.scenario.exact import count_wrong
from stress.scenario.exact import shift_matrix
from stress.scenario.exact import total

_WORKER_STREAMS = 31
_LIVE = 40
_WAIT_S_MAX = 30.0
_TIMEOUT_MS = 120
_VARIABLE = "MPS_STREAM_POOL_WAIT_TIMEOUT_MS"
_ORIGIN = (
    "dropbox/dML: test_pool_exhaustion and test_bounded_wait; MPS_STREAM_POOL_WAIT_TIMEOUT_MS is 0 to raise, -1 to "
    "wait, or milliseconds, in the design with a free list; the round-robin design shares",
)


class _Round:
    """Threads that take a stream at the same time and hold it until they are let go."""

    def __init__(self, shift: torch.Tensor, count: int) -> None:
        self._shift = shift
        self._let_go = threading.Event()
        self._changed = threading.Condition()
        self._threads = [threading.Thread(target=self._take) for _ in range(count)]
        self.streams: list[int] = []
        """The streams of the threads that were served."""
        self.refusals: list[tuple[str, float]] = []
        """(Error, seconds that its thread had waited)."""
        self.wrong = 0
        for one in self._threads:
            one.start()

    def _take(self) -> None:
        torch.set_num_threads(1)
        started = time.monotonic()
        try:
            torch.empty(1, device=self._shift.device)
        except RuntimeError as error:
            with self._changed:
                self.refusals.append((str(error), time.monotonic() - started))
                self._changed.notify_all()
            return
        wrong = _climb_checked(self._shift)
        with self._changed:
            self.streams.append(streams.current_stream_id(self._shift.device))
            self._changed.notify_all()
        self._let_go.wait(_WAIT_S_MAX)
        wrong += _climb_checked(self._shift)  # on the stream that it has held
        with self._changed:
            self.wrong += wrong

    def await_answers(self, count: int) -> bool:
        """Wait until `count` threads were served or refused; whether they were."""
        with self._changed:
            return self._changed.wait_for(
                lambda: len(self.streams) + len(self.refusals) >= count, _WAIT_S_MAX
            )

    def end(self) -> None:
        self._let_go.set()
        for one in self._threads:
            one.join()

    @property
    def shares_fairly(self) -> bool:
        """Whether all were served, the streams going round."""
        held = Counter(self.streams).values()
        return not self.refusals and (set(self.streams) == {0} or max(held) - min(held) <= 1)

    @property
    def is_exclusive(self) -> bool:
        """Whether as many were served as there are streams, each with its own."""
        return len(self.streams) == len(set(self.streams)) == _WORKER_STREAMS


class _Pool(Scenario):
    """One thread that starts others: those of a crew would hold streams themselves."""

    origin = _ORIGIN
    rows: ClassVar[tuple[int, ...]] = (9,)
    requires = ("per_thread_streams", "stream_ids")
    waves = ((1, 1),)
    fresh_process = True

    def setup(self, device: torch.device) -> torch.Tensor:
        return shift_matrix(16).to(device)

    def step(self, state: torch.Tensor, x: None) -> dict[str, bool]:
        return {name: bool(value) for name, value in self.checks(state).items()}

    def checks(self, shift: torch.Tensor) -> Mapping[str, object]:
        """Return what has to be true, by name."""
        raise NotImplementedError

    names: tuple[str, ...]

    def reference(self, device: torch.device, inputs: Sequence[Sequence[Any]]) -> list[list[dict[str, bool]]]:
        """Expect every check to be true: a sequential run would start the same threads."""
        return [[dict.fromkeys(self.names, True) for _ in of_thread] for of_thread in inputs]


class PoolRefuses(_Pool):
    """Forty threads want a stream at once: all share 31 fairly, or 31 have one each and the others a clear error."""

    names = ("shares or refuses", "errors are clear", "values are right", "serves all afterwards")

    def checks(self, shift: torch.Tensor) -> Mapping[str, object]:
        first = _Round(shift, _LIVE)
        answered = first.await_answers(_LIVE)
        first.end()
        second = _Round(shift, _WORKER_STREAMS)  # by now each stream was given back
        second.await_answers(_WORKER_STREAMS)
        second.end()
        if second.refusals:
            raise RuntimeError(f"no thread holds a stream, and one is refused: {second.refusals[0][0]}")
        return {
            "shares or refuses": answered and (first.shares_fairly or first.is_exclusive),
            "errors are clear": all("stream" in text for text, _ in first.refusals),
            "values are right": first.wrong + second.wrong == 0,
            "serves all afterwards": second.shares_fairly or second.is_exclusive,
        }


class PoolWaits(_Pool):
    """Forty threads want a stream at once, and the pool lets them wait: nobody is refused, and all are served."""

    env: ClassVar[Mapping[str, str]] = {_VARIABLE: "-1"}
    attempts_quick: ClassVar[int | None] = 0
    names = ("nobody is refused", "values are right", "waits or shares", "serves all")

    def checks(self, shift: torch.Tensor) -> Mapping[str, object]:
        one = _Round(shift, _LIVE)
        one.await_answers(_WORKER_STREAMS)
        held = _WORKER_STREAMS if len(one.streams) < _LIVE else _LIVE
        waits = len(set(one.streams[:held])) == _WORKER_STREAMS
        one.end()
        return {
            "nobody is refused": not one.refusals,
            "values are right": one.wrong == 0,
            "waits or shares": waits or one.shares_fairly,
            "serves all": len(one.streams) == _LIVE,
        }


class PoolTimesOut(_Pool):
    """Forty threads want a stream at once: nine share, or wait for the configured time and get a clear error."""

    env: ClassVar[Mapping[str, str]] = {_VARIABLE: str(_TIMEOUT_MS)}
    attempts_quick: ClassVar[int | None] = 0
    names = ("shares or refuses", "errors are clear", "waits first", "values are right")

    def checks(self, shift: torch.Tensor) -> Mapping[str, object]:
        one = _Round(shift, _LIVE)
        answered = one.await_answers(_LIVE)
        one.end()
        return {
            "shares or refuses": answered and (one.shares_fairly or one.is_exclusive),
            "errors are clear": all("stream" in text for text, _ in one.refusals),
            "waits first": all(waited_s * 1000.0 >= _TIMEOUT_MS for _, waited_s in one.refusals),
            "values are right": one.wrong == 0,
        }


class ChosenStreams(Scenario):
    """Every thread computes on streams that it chose, one inside the other, and is back on its own afterwards."""

    origin = (
        "pytorch#191415: torch.mps.Stream and torch.mps.stream, which upstream's threads have to use by themselves",
    )
    rows: ClassVar[tuple[int, ...]] = (8,)
    requires = ("streams", "stream_ids", "events")
    sharing: ClassVar[str] = "per-thread"
    iterations = 10

    def setup(self, device: torch.device) -> dict[str, Any]:
        return {
            "shift": shift_matrix(96).to(device),
            "streams": [streams.new_stream(device) for _ in range(2)],
        }

    def step(self, state: dict[str, Any], x: None) -> dict[str, int]:
        shift, (outer, inner) = state["shift"], state["streams"]
        device, value = shift.device, float(current().thread_index * 100 + current().iteration)
        own = streams.current_stream(device)
        counts: list[torch.Tensor] = []
        misplaced = 0

        def work(stream: torch.Stream | None) -> None:
            nonlocal misplaced
            start = value + len(counts)
            # Counted where it was made: what other streams may see of it is the subject of events.
            counts.append(count_wrong(climb(start, shift, rows=48, steps=2), start + 2))
            misplaced += stream is not None and streams.current_stream_id(device) != stream.stream_id

        for _ in range(2):
            work(own)
            with streams.use_stream(outer):
                work(outer)
                with streams.use_stream(inner):
                    work(inner)
                work(outer)
            work(own)
        streams.synchronize(device)
        return {"wrong": total(counts), "on another stream than chosen": misplaced}


def _climb_checked(shift: torch.Tensor) -> int:
    """Run a short chain on the calling thread's stream, wait for it, and return how many elements are wrong."""
    start = float(threading.get_ident() % 97)
    return int(count_wrong(climb(start, shift, rows=4, steps=3), start + 3))
