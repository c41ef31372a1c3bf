"""`Scenario` and `ProcessScenario`: what an author writes.

This module is imported by every scenario file and by the pytest parent process: it must not import torch.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence
from typing import TYPE_CHECKING
from typing import Any
from typing import ClassVar

if TYPE_CHECKING:
    import torch

ITERATIONS_DEFAULT = 50
NO_DEVICE_WORK, EQUAL_OUTPUTS = "no device work", "equal outputs"
"""Checks of the reference run that a scenario can be exempt from."""


class _Base:
    """The common part of both kinds of scenario: parameters, environment, applicability, expectations."""

    origin: ClassVar[Sequence[str]] = ()
    """The sources of the subject: issue links, or a sentence each."""

    params: ClassVar[Mapping[str, Sequence[Any]]] = {}
    """Attribute name -> values. Each combination is an item; the value is an attribute of the instance."""

    env: ClassVar[Mapping[str, str] | Sequence[Mapping[str, str]]] = ()
    """Environment variables set before the child is executed; several mappings make several items."""

    requires: ClassVar[Sequence[str]] = ()
    """Capabilities the device must have (`stress.scenario.capabilities.CAPABILITIES`); a missing one is a skip."""

    threads_min: ClassVar[int] = 1
    threads_max: ClassVar[int | None] = None

    acceptable: ClassVar[Mapping[str, str]] = {}
    """Verdict -> the reason why it is acceptable here. Any other one fails."""

    unordered: ClassVar[Mapping[str, str]] = {}
    """Last line of an order finding, in which `*` stands for anything -> the reason why the scenario leaves that to chance."""

    rows: ClassVar[Sequence[int]] = ()
    """Rows of docs/coverage.md that the subject of a shipped scenario belongs to; others need none."""

    attempts_quick: ClassVar[int | None] = None
    """Attempts in the quick profile, if the usual number would take too long; 0 leaves the items out of it."""

    params_quick: ClassVar[Mapping[str, Sequence[Any]]] = {}
    """Parameter -> the values that the quick profile runs; only the full profile runs items with other values.
    A subclass with its own `params` does not inherit it."""

    canary: ClassVar[bool] = False
    """A planted fault: this scenario must fail, and passing is the failure."""

    threads: int
    """The item's thread count; set by the framework before any method is called."""

    device_type: str
    """`"mps"`, `"cuda"` or `"cpu"`; set by the framework before any method is called."""


class Scenario(_Base):
    """One subject that N threads run at once, judged value by value against sequential runs.

    Only `step` has to be written. Every optional method and attribute is described in docs/scenarios.md; the
    class must be constructible without arguments.
    """

    iterations: int = ITERATIONS_DEFAULT
    """Steps per thread and attempt; `--mps-iterations` overrides it."""

    sharing: ClassVar[str] = "shared"
    """`"shared"`: one state for all threads. `"per-thread"`: `setup` once per thread."""

    waves: Sequence[tuple[int, int]] = ()
    """`[(threads, iterations), ...]`: crews started and joined one after another in one attempt."""

    exempt: ClassVar[Mapping[str, str]] = {}
    """Check of the reference run (`"no device work"`, `"equal outputs"`) -> why the scenario is right not to pass it."""

    fresh_process: ClassVar[bool] = False
    """Nothing is warm: before the barrier, no device op except `setup`'s has run in the crew's process."""

    reference_envs: Sequence[Mapping[str, str]] = ()
    """Further environments in which the reference is taken; a value that matches any of them passes."""

    def setup(self, device: torch.device) -> Any:
        """Return the state that the threads share. Draw on the CPU, then move."""
        return None

    def make_input(self, generator: torch.Generator) -> Any:
        """Return one input (nested tensors, on the CPU), drawn from `generator` alone."""
        return None

    def step(self, state: Any, x: Any) -> Any:
        """Run one iteration of one thread; return what is to be judged: tensors, numbers, texts, bytes, None
        or NumPy arrays, in lists, tuples, dicts and dataclasses."""
        raise NotImplementedError

    def steps(self) -> Sequence[Callable[[Any, Any], Any]]:
        """Return the roles: thread i runs ``steps[i % len(steps)]``."""
        return (self.step,)

    def main_step(self, state: Any) -> None:
        """Run on the main thread, again and again, while the crew works."""
        raise NotImplementedError

    def finish(self, state: Any) -> Any:
        """Arbiter: runs once after all threads joined; its value is judged like an output."""
        raise NotImplementedError

    def reference(self, device: torch.device, inputs: Sequence[Sequence[Any]]) -> Any:
        """Replace the sequential run. Return ``outputs[thread][iteration]`` for ``inputs[thread][iteration]``.

        Where `finish` is overridden too, return the pair ``(outputs, [finished])``. `inputs` are on `device`
        already. With `waves`, threads of all waves are counted through.
        """
        raise NotImplementedError

    def compare(self, got: Any, expected: Any) -> bool | str:
        """Replace the comparison: true when `got` is right; false, or a sentence, when it is wrong.

        Both are nested tensors on the CPU; `expected` comes from a sequential run on the same device.
        """
        raise NotImplementedError


class ProcessScenario(_Base):
    """The main program of a fresh interpreter, judged by how that process ends."""

    def body(self, device: torch.device) -> None:
        """Run in the main thread of a fresh interpreter, which then finalises as any program does."""
        raise NotImplementedError


AnyScenario = Scenario | ProcessScenario


def overrides(scenario: _Base | type[_Base], name: str) -> bool:
    """Whether the author's class defines `name` itself."""
    cls = scenario if isinstance(scenario, type) else type(scenario)
    return getattr(cls, name) is not getattr(Scenario, name, None)


def environments(cls: type[_Base]) -> list[dict[str, str]]:
    """Return the environments of the class, at least one (the empty one)."""
    declared = cls.env
    if isinstance(declared, Mapping):
        return [dict(declared)]
    return [dict(one) for one in declared] or [{}]


def combinations(cls: type[_Base]) -> Iterator[tuple[tuple[int, ...], dict[str, Any]]]:
    """Yield (index of the value of each parameter, name -> value) for every combination."""
    names = list(cls.params)
    for indices in itertools.product(*(range(len(cls.params[name])) for name in names)):
        yield indices, {name: cls.params[name][i] for name, i in zip(names, indices, strict=True)}


def params_quick(cls: type[_Base]) -> Mapping[str, Sequence[Any]]:
    """Return the class's `params_quick`, or that of a base class where the parameters come from there too."""
    for one in cls.__mro__:
        own = vars(one)
        if "params_quick" in own or "params" in own:
            kept: Mapping[str, Sequence[Any]] = own.get("params_quick", {})
            return kept
    return {}


def is_quick(cls: type[_Base], indices: Sequence[int]) -> bool:
    """Return whether the quick profile runs the combination of parameters."""
    values = {name: cls.params[name][i] for name, i in zip(cls.params, indices, strict=True)}
    return cls.attempts_quick != 0 and all(values[name] in kept for name, kept in params_quick(cls).items())


def bind(
    cls: type[_Base],
    indices: Sequence[int],
    *,
    threads: int,
    device_type: str,
    overrides: Mapping[str, Any] | None = None,
) -> Any:
    """Construct the scenario with the parameters at `indices`, the item's thread count, and attributes that replace its own."""
    scenario = cls()
    for (name, values), index in zip(cls.params.items(), indices, strict=True):
        setattr(scenario, name, values[index])
    for name, value in (overrides or {}).items():
        setattr(scenario, name, value)
    scenario.threads = threads
    scenario.device_type = device_type
    return scenario


def shares_process(scenario: _Base) -> bool:
    """Whether its attempts may run in a process that has served others: not where that must be cold, or sets its limits."""
    cold = not isinstance(scenario, Scenario) or scenario.fresh_process
    return not cold and "memory_limit" not in scenario.requires


def waves_of(scenario: Scenario, iterations: int | None) -> list[tuple[int, int]]:
    """Return ``[(threads, iterations), ...]``; `iterations` (from the command line) overrides all."""
    waves = list(scenario.waves) or [(scenario.threads, scenario.iterations)]
    return [(threads, iterations or own) for threads, own in waves]
