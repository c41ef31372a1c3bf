"""Missing orders between streams that were reported in public, each with what orders it.

`ordered = False` in a subclass takes that away: what `--mps-order` then has to report, whatever the values are.
"""

from __future__ import annotations

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

_ROUNDS = 4
_ROWS = 64


class _TwoStreams(Scenario):
    """Every thread has a side stream of its own."""

    rows: ClassVar[tuple[int, ...]] = (11,)
    requires: ClassVar[tuple[str, ...]] = ("streams", "events")
    sharing: ClassVar[str] = "per-thread"
    iterations = 6
    ordered: ClassVar[bool] = True

    def setup(self, device: torch.device) -> dict[str, Any]:
        return {
            "ones": torch.ones(_ROWS, 128).to(device),
            "shift": shift_matrix(128).to(device),
            "buffer": torch.zeros(_ROWS, 128).to(device),
            "side": streams.new_stream(device),
        }

    def step(self, state: dict[str, Any], x: None) -> int:
        first = current().thread_index * 1000 + current().iteration * _ROUNDS
        counts = [self.round(state, float(first + number)) for number in range(_ROUNDS)]
        if state["side"] is not None:
            state["side"].synchronize()
        return total(counts)

    def reference(self, device: torch.device, inputs: Sequence[Sequence[Any]]) -> list[list[int]]:
        """Expect no wrong element: a missing order between streams shows on one thread, too."""
        return [[0 for _ in of_thread] for of_thread in inputs]

    def round(self, state: dict[str, Any], value: float) -> torch.Tensor:
        """Hand one value from stream to stream; return how many elements are wrong."""
        raise NotImplementedError


class CopyOnATransferStream(_TwoStreams):
    """Weights are copied to the device on a transfer stream; the product on the default stream waits for the copy."""

    origin = ("ROCm/pytorch#3194: the consumer reads what was there before the copy, without wait_stream",)

    def round(self, state: dict[str, Any], value: float) -> torch.Tensor:
        buffer, side = state["buffer"], state["side"]
        used, copied = streams.new_event(buffer.device), streams.new_event(buffer.device)
        streams.record(used)
        with streams.use_stream(side):
            streams.wait(used)
            climb(value, state["shift"], rows=_ROWS, steps=2)  # so that the copy comes late
            state["host"] = torch.full((_ROWS, 128), value)
            buffer.copy_(state["host"], non_blocking=True)
            streams.record(copied)
        if self.ordered:
            streams.wait(copied)
        wrong = count_wrong(buffer * (state["ones"] + 1), 2 * value)
        if not self.ordered and side is not None:
            side.synchronize()  # the next round's copy would otherwise race with this one's
        return wrong


class StashOnASideStream(_TwoStreams):
    """A tensor is copied to the host on a side stream and released at once; record_stream keeps its memory until then."""

    origin = ("meta-pytorch/torchrec#4231: NaN, because memory of a copy in flight was given out again",)
    requires = ("streams", "events", "record_stream")

    def round(self, state: dict[str, Any], value: float) -> torch.Tensor:
        ones, side = state["ones"], state["side"]
        made = streams.new_event(ones.device)
        activation = ones * value
        streams.record(made)
        with streams.use_stream(side):
            streams.wait(made)
            climb(value, state["shift"], rows=_ROWS, steps=2)
            stash = torch.empty(_ROWS, 128)
            stash.copy_(activation, non_blocking=True)
            streams.record(streams.new_event(ones.device))
        if self.ordered:
            streams.record_stream(activation, side)
        del activation
        torch.neg(ones)  # of the same size: it takes the memory that was let go
        if side is not None:
            side.synchronize()
        return count_wrong(stash.to(ones.device), value)


class StaticInputOfAReplay(_TwoStreams):
    """A replay reads its input from one buffer; the next input is copied there when the replay before is done with it."""

    origin = ("SNU-ARC/DecDEC#1: the next input is copied in place while the graph's replay still reads it",)

    def round(self, state: dict[str, Any], value: float) -> torch.Tensor:
        buffer, side = state["buffer"], state["side"]
        done = state.pop("done", None)
        if self.ordered and done is not None:
            streams.wait(done)
        buffer.copy_(state["ones"] * value)
        filled, done = streams.new_event(buffer.device), streams.new_event(buffer.device)
        streams.record(filled)
        with streams.use_stream(side):
            streams.wait(filled)
            climb(value, state["shift"], rows=_ROWS, steps=2)
            wrong = count_wrong(buffer, value)
            streams.record_stream(buffer, side)
            streams.record(done)
        state["done"] = done
        return wrong
