"""Latency over time: whether a request takes longer the more of them a process has served.

Drift is what every request pays: the quickest of a round must take longer and longer, and the median (P50) with it.
A busy machine lengthens the median by bursts, and leaves the quickest nearly alone; a hot one slows the host, too. Both
must have a trend over the rounds, and be twice as long in the last third of them as in the first; where the host's
quickest became longer as well, that many times more. Smaller drift is not seen, and neither is one that takes longer
than the run; `--mps-iterations` makes it longer. P99 is shown but not judged: without any drift it was 18 times as
long in the last third as in the first, because of the operating system's scheduler.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Mapping
from collections.abc import Sequence
from statistics import median
from typing import Any
from typing import ClassVar

import torch

from stress import Scenario
from stress import current
from stress.scenario.exact import climb
from stress.scenario.exact import count_wrong
from stress.scenario.exact import shift_matrix
from stress.scenario.growth import growth_p_value

_ROUNDS = 24
_WARM = 3
"""Rounds in which caches fill and streams are made: left out."""
_FACTOR_MIN = 2.0
_P_MAX = 1e-6
"""26 runs on two cores, beside up to four processes that came and went: the quickest's p was 0.02 or more, P50's 0.04."""
_SIZE, _ROWS, _STEPS = 48, 8, 3


class LatencyDrift(Scenario):
    """Rounds of requests to the device alternate with the same work on the host: latency must not drift."""

    origin = ("suite row 25: P50 and P99 latency drift over a soak",)
    rows: ClassVar[tuple[int, ...]] = (25,)
    attempts_quick: ClassVar[int | None] = 0

    @property
    def waves(self) -> Sequence[tuple[int, int]]:  # type: ignore[override]
        """Alternate the device's rounds with the host's, of as many threads."""
        return ((self.threads, 6), (self.threads, 6)) * _ROUNDS

    def setup(self, device: torch.device) -> dict[str, Any]:
        return {"shift": shift_matrix(_SIZE).to(device), "seconds": {}}

    def step(self, state: dict[str, Any], x: None) -> int:
        shift = _on_the_host() if current().wave % 2 else state["shift"]
        started = time.perf_counter()
        wrong = self._serve(shift)
        state["seconds"].setdefault(current().wave, []).append(time.perf_counter() - started)
        return wrong

    def _serve(self, shift: torch.Tensor) -> int:
        """Answer one request; reading the number waits for the device."""
        return int(count_wrong(climb(1.0, shift, rows=_ROWS, steps=_STEPS), 1.0 + _STEPS))

    def finish(self, state: dict[str, Any]) -> dict[str, float]:
        """Return how many times as long the quickest requests, P50 and P99 became; nothing where that is no drift."""
        rounds = [state["seconds"][wave] for wave in sorted(state["seconds"])]
        device, host = rounds[::2][_WARM:], rounds[1::2][_WARM:]
        factors = {f"P{percent}": _growth(_percentiles(device, percent)) for percent in (50, 99)}
        factors["the quickest"] = _growth(_percentiles(device, 0))
        return {"drifts": float(_drifts(device, host)), **factors}

    def compare(self, got: Any, expected: Any) -> bool | str:
        if not isinstance(got, Mapping):
            return bool(got == 0)
        told = ", ".join(f"{name} {float(factor):.1f}" for name, factor in got.items() if name != "drifts")
        drifts = bool(got["drifts"])
        return (
            f"latency drifts: times as long in the last third of the rounds as in the first: {told}"
            if drifts
            else True
        )


@functools.cache
def _on_the_host() -> torch.Tensor:
    return shift_matrix(_SIZE)


Rounds = Sequence[Sequence[float]]
"""Seconds of each request of each round."""


def _drifts(device: Rounds, host: Rounds) -> bool:
    """Whether the quickest requests to the device and their P50 take longer and longer, by more than the host's do."""
    factor_min = _FACTOR_MIN * max(1.0, _growth(_percentiles(host, 0)))
    judged = (_percentiles(device, 0), _percentiles(device, 50))
    return all(_growth(values) >= factor_min and growth_p_value(values) < _P_MAX for values in judged)


def _growth(values: Sequence[float]) -> float:
    third = len(values) // 3
    return median(values[-third:]) / median(values[:third])


def _percentiles(rounds: Rounds, percent: int) -> list[float]:
    """Return each round's percentile, of the nearest rank; 0 is the least."""
    return [sorted(seconds)[max(0, -(-len(seconds) * percent // 100) - 1)] for seconds in rounds]
