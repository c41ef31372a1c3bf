"""Smaller configurations of an attempt: along which axes, and in which order they are tried."""

from __future__ import annotations

import math
from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Sequence
from dataclasses import dataclass
from dataclasses import replace
from typing import Any

from stress.commands.replay.repetition import Configuration
from stress.commands.replay.resolve import Resolved
from stress.model.text import count
from stress.scenario.scenario import ProcessScenario
from stress.scenario.scenario import waves_of
from stress.scenario.sequences.generated import GeneratedScenario
from stress.scenario.variants import value_id

THREADS_LEAST = 2
"""One thread cannot race. The one-thread control says whether it fails alone."""
PLAIN_DTYPE = "float32"
PLAIN_READBACKS = ("end", "every")
_CLOSE_ENOUGH = 1.5
"""Between a number that is too small and one that is not, no more steps are taken than this factor apart."""

Tried = Callable[["Candidate"], bool]
"""Try a candidate; return whether it was kept."""


@dataclass(frozen=True)
class Candidate:
    """A configuration that is smaller in one way than the one before it."""

    text: str
    case: Configuration


class Axes:
    """Walks along the axes of one scenario, always from the smallest configuration that was kept so far."""

    def __init__(self, what: Resolved, case: Configuration, device: str, attempt: Tried) -> None:
        self._what, self.case, self._device, self._attempt = what, case, device, attempt

    def walk(self) -> None:
        """Try every axis once."""
        self._completion()
        if self._is_process:
            self._threads()
            self._params()
            return
        self._perturbation()
        self._readback()
        self._waves()
        self._threads()
        self._reducible()
        self._iterations()
        self._params()

    @property
    def _is_process(self) -> bool:
        return self._what.is_process

    def _scenario(self) -> Any:
        return self.case.scenario(self._device)

    def _try(self, text: str, **changes: Any) -> bool:
        """Try the present configuration with these changes; go on from there when it was kept."""
        candidate = Candidate(text, replace(self.case, **changes))
        if candidate.case == self.case:
            return False
        kept = self._attempt(candidate)
        if kept:
            self.case = candidate.case
        return kept

    def _override(self, text: str, name: str, value: Any) -> bool:
        return self._try(text, overrides={**self.case.overrides, name: value})

    def _perturbation(self) -> None:
        if self.case.perturb != "none":
            self._try("no perturbation", perturb="none", perturb_level="off")

    def _completion(self) -> None:
        if self.case.completion != "in_order":
            self._try("completion in order", completion="in_order")

    def _readback(self) -> None:
        """Try the ways that plain code would have: keep all outputs, or read each at once."""
        for readback in PLAIN_READBACKS:
            if self.case.readback in PLAIN_READBACKS or self._try(
                f"outputs read back {_READBACK_TEXTS[readback]}", readback=readback
            ):
                return

    def _waves(self) -> None:
        """Try one wave of several, then half of them."""
        while True:
            waves = waves_of(self._scenario(), self.case.iterations)
            if len(waves) == 1:
                return
            most = max(waves)
            shorter = [[most], waves[-(len(waves) // 2) :]]
            if not any(
                self._override(f"{len(some)} of {len(waves)} waves", "waves", [list(one) for one in some])
                for some in shorter
                if len(some) < len(waves)
            ):
                return

    def _threads(self) -> None:
        scenario = self._scenario()
        waves = [] if self._is_process else list(scenario.waves)
        if waves:
            most = max(threads for threads, _ in waves)
            for threads in _doubling(THREADS_LEAST, most):
                fewer = [[min(threads, one), iterations] for one, iterations in waves]
                if self._override(f"{threads} threads", "waves", fewer):
                    return
            return
        for threads in _doubling(max(THREADS_LEAST, scenario.threads_min), self.case.threads):
            if self._try(f"{threads} threads", threads=threads):
                return

    def _iterations(self) -> None:
        """Search between 1 and the present number, in equal ratios: rates follow the number, not its steps."""
        scenario = self._scenario()
        high = max(iterations for _, iterations in waves_of(scenario, self.case.iterations))
        low = 1
        if low == high or self._try(count(low, "iteration"), iterations=low):
            return
        while high / low > _CLOSE_ENOUGH:
            middle = max(low + 1, min(high - 1, round(math.sqrt(low * high))))
            if middle in (low, high):
                return
            if self._try(count(middle, "iteration"), iterations=middle):
                high = middle
            else:
                low = middle

    def _params(self) -> None:
        """Try simpler values of parameters: smaller numbers, and single precision for a dtype."""
        cls = self._what.cls
        for place, (name, values) in enumerate(cls.params.items()):
            for index in simpler(values, self.case.ref.indices[place], name):
                indices = list(self.case.ref.indices)
                indices[place] = index
                ref = replace(self.case.ref, indices=tuple(indices))
                if self._try(f"{name} {value_id(values[index], name)}", ref=ref):
                    break

    def _reducible(self) -> None:
        cls = self._what.cls
        for name in cls.reducible if issubclass(cls, GeneratedScenario) else ():
            self._shorten(name)

    def _shorten(self, name: str) -> None:
        """Leave out ever smaller stretches of a list (delta debugging: Zeller and Hildebrandt, 2002)."""
        size = len(getattr(self._scenario(), name)) // 2
        while size >= 1:
            start = 0
            while start < len(items := list(getattr(self._scenario(), name))):
                shorter = items[:start] + items[start + size :]
                left_out = ", ".join(map(str, items[start : start + size]))
                if not shorter or not self._override(f"{name} without {left_out}", name, shorter):
                    start += size
            size //= 2


_READBACK_TEXTS = {"end": "at the end", "every": "after every step"}


def simpler(values: Sequence[Any], present: int, name: str) -> Iterator[int]:
    """Yield indices of values that are simpler than the present one, the simplest first."""
    value = values[present]
    if isinstance(value, int | float) and not isinstance(value, bool):
        smaller = [
            (one, index)
            for index, one in enumerate(values)
            if isinstance(one, int | float) and not isinstance(one, bool) and one < value
        ]
        yield from (index for _, index in sorted(smaller))
    elif str(value).startswith("torch.") and value_id(value, name) != PLAIN_DTYPE:
        yield from (index for index, one in enumerate(values) if value_id(one, name) == PLAIN_DTYPE)


def _doubling(low: int, high: int) -> Iterator[int]:
    """Yield low, 2 low, 4 low, ... below high."""
    while low < high:
        yield low
        low *= 2


def described(what: Resolved, case: Configuration, device: str) -> str:
    """Return a configuration in words."""
    parts = []
    scenario = case.scenario(device)
    if isinstance(scenario, ProcessScenario):
        parts.append(count(case.threads, "thread"))
    else:
        waves = waves_of(scenario, case.iterations)
        if len(waves) > 1:
            parts.append(f"{len(waves)} waves of up to {max(threads for threads, _ in waves)} threads")
        else:
            parts.append(count(waves[0][0], "thread"))
        parts.append(count(max(iterations for _, iterations in waves), "iteration"))
        parts.append(f"perturbation {case.perturb}")
        parts.append(f"read back {case.readback}")
    if device == "core":
        parts.append(f"completion {case.completion}")
    names = zip(what.cls.params.items(), case.ref.indices, strict=True)
    parts += [f"{name} {value_id(values[index], name)}" for (name, values), index in names]
    parts += [f"{name} {value}" for name, value in case.overrides.items() if name != "waves"]
    return ", ".join(parts)
