"""Scenario classes as pytest items: one per (scenario, parameters, environment, thread count)."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from typing import NamedTuple

import pytest
from _pytest._code.code import ReprFileLocation  # only the message and place of the short summary
from _pytest._code.code import TerminalRepr
from _pytest._io import TerminalWriter

from stress.attempts import ItemResult
from stress.attempts import ItemSpec
from stress.capabilities import CAPABILITIES
from stress.isolate.spec import ScenarioRef
from stress.report.block import failure_block
from stress.report.words import summary_of
from stress.run import Run
from stress.run import run_of
from stress.runner import ItemRunner
from stress.scenario import ProcessScenario
from stress.scenario import Scenario
from stress.scenario import bind
from stress.scenario import combinations
from stress.scenario import environments
from stress.scenario import params_quick
from stress.verdict import Verdict

_ID_UNSAFE = re.compile(r"[^A-Za-z0-9_.=+-]+")
SCENARIO_FOLDER = "scenarios"
# Not inconclusive, error and broken: they say that nothing was tested, and no reason makes that green.
_ACCEPTABLE = tuple(one for one in Verdict if one.is_failure or one == Verdict.OOM)


def is_scenario_class(obj: object, module: Any) -> bool:
    """Whether a collected object is a scenario of that module itself (imported ones belong to their own).

    A helper base class opts out with a leading underscore or with `__test__ = False` of its own.
    """
    return (
        inspect.isclass(obj)
        and issubclass(obj, Scenario | ProcessScenario)
        and obj.__module__ == module.__name__
        and not obj.__name__.startswith("_")
        and obj.__dict__.get("__test__", True)
    )


class StressFailure(Exception):
    """An item that is not green; carries its result to the report."""

    def __init__(self, result: ItemResult) -> None:
        super().__init__(result.headline)
        self.result = result


class ScenarioItem(pytest.Item):
    """One item; running it runs its references, attempts and controls in child processes."""

    cls: type[Any]
    threads: int
    result: ItemResult | None = None

    def __init__(
        self,
        *,
        scenario_class: type[Any],
        indices: tuple[int, ...],
        params: dict[str, str],
        environment: dict[str, str],
        threads: int,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.scenario_class, self.indices, self.params = scenario_class, indices, params
        self.environment, self.threads = environment, threads
        # pytest-run-parallel would mark every line of the output; its own flag for foreign items.
        self._parallel_custom_item = True

    def setup(self) -> None:
        """Skip what does not apply here, with the reason."""
        cls = self.scenario_class
        run = run_of(self.config)
        if run.device is None:  # --setup-only and --setup-plan run nothing, so nothing was opened
            return
        run.budget.items_left -= 1
        if self.threads < cls.threads_min:
            pytest.skip(f"needs at least {cls.threads_min} threads: --mps-threads={cls.threads_min}")
        if cls.threads_max is not None and self.threads > cls.threads_max:
            pytest.skip(f"makes sense up to {cls.threads_max} threads only")
        missing = [name for name in cls.requires if name not in run.device.capabilities]
        if missing:
            pytest.skip(f"{run.device.name} here has no {', '.join(missing)}")
        if issubclass(cls, ProcessScenario) and not run.settings.isolation:
            pytest.skip("a process scenario needs isolation: leave out --mps-no-isolation and --pdb")
        if self.environment and not run.settings.isolation:
            pytest.skip("an environment needs a process of its own: leave out --mps-no-isolation and --pdb")
        if run.budget.is_spent:
            pytest.skip(f"time budget spent (--mps-seconds={run.settings.seconds:g}): not run")

    def runtest(self) -> None:
        run = run_of(self.config)
        self.result = ItemRunner(run, self.spec(run)).execute()
        self.user_properties.append(("mps_verdict", str(self.result.verdict)))
        if self.result.simulated:
            self.user_properties.append(("mps_simulated", True))
        self.user_properties.append(("mps_failures", f"{self.result.failures} of {self.result.counted}"))
        if not self.result.verdict.is_green:
            raise StressFailure(self.result)

    def spec(self, run: Run) -> ItemSpec:
        """Return what the runner needs of this item, on the device that the run has opened."""
        assert run.device is not None
        scenario = bind(self.scenario_class, self.indices, threads=self.threads, device_type=run.device.name)
        module = self.getparent(pytest.Module)
        assert module is not None
        ref = ScenarioRef(str(self.path), module.obj.__name__, self.scenario_class.__qualname__, self.indices)
        return ItemSpec(self.nodeid, scenario, ref, self.params, self.environment, self.threads)

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        if isinstance(excinfo.value, StressFailure):
            result = excinfo.value.result
            path, line, _ = self.location
            return StressRepr(
                failure_block(result, run_of(self.config)), path, (line or 0) + 1, summary_of(result)
            )
        return super().repr_failure(excinfo, style)

    def reportinfo(self) -> tuple[Path, int | None, str]:
        try:
            line: int | None = inspect.getsourcelines(self.scenario_class)[1] - 1
        except (OSError, TypeError):
            line = None
        return self.path, line, self.name


class StressRepr(TerminalRepr):
    """The failure block, with the one-line message that pytest's short summary shows."""

    def __init__(self, text: str, path: str, line: int, message: str) -> None:
        self.text = text
        self.reprcrash = ReprFileLocation(path, line, message)

    def toterminal(self, tw: TerminalWriter) -> None:
        tw.line(self.text)


def make_items(collector: Any, name: str, cls: type[Any], threads: tuple[int, ...]) -> Iterator[pytest.Item]:
    """Yield the items of one scenario class; ids hold no seeds and no dates, so `--lf` finds them again."""
    problem = class_problem(cls)
    if problem is not None:
        raise collector.CollectError(f"{collector.path}: {name}: {problem}")
    for count in threads:
        for one in variants(cls, name, count):
            item = ScenarioItem.from_parent(
                collector,
                name=one.name,
                # As a text: pytest 9.2 parses it into name and parameters, as it does with what --lf reads
                # from the cache, and compares the two.
                nodeid=f"{collector.nodeid}::{one.name}",
                scenario_class=cls,
                indices=one.indices,
                params=one.params,
                environment=one.environment,
                threads=count,
            )
            item.add_marker("mps_stress")
            yield item


class Variant(NamedTuple):
    """One item of a class: its name in node ids, and what it stands for."""

    name: str
    indices: tuple[int, ...]
    params: dict[str, str]
    environment: dict[str, str]


def variants(cls: type[Any], name: str, threads: int) -> Iterator[Variant]:
    """Yield the items of a scenario class that is called `name`, for one thread count."""
    ids = {key: distinct([value_id(value, key) for value in values]) for key, values in cls.params.items()}
    known = environments(cls)
    environment_ids = distinct(["-".join(f"{key}={value}" for key, value in one.items()) for one in known])
    for indices, _ in combinations(cls):
        params = {key: ids[key][index] for key, index in zip(ids, indices, strict=True)}
        for environment, environment_id in zip(known, environment_ids, strict=True):
            parts = [*params.values(), environment_id, f"t{threads}"]
            yield Variant(f"{name}[{'-'.join(filter(None, parts))}]", indices, params, environment)


def class_problem(cls: type[Any]) -> str | None:
    """Return what cannot be meant in a class's declarations, with the way out; None when all is well."""
    needed = "body" if issubclass(cls, ProcessScenario) else "step"
    base: type[Any] = ProcessScenario if needed == "body" else Scenario
    if getattr(cls, needed) is getattr(base, needed) and (needed == "body" or cls.steps is Scenario.steps):
        return f"it has no {needed}(): write one, or start a helper class's name with an underscore"
    required = [
        one.name
        for one in inspect.signature(cls).parameters.values()
        if one.default is one.empty and one.kind not in (one.VAR_POSITIONAL, one.VAR_KEYWORD)
    ]
    if required:
        return f"its __init__ needs {required[0]!r}: a scenario is made without arguments; use params"
    return (
        _params_problem(cls, base) or _names_problem(cls) or _environment_problem(cls) or _quick_problem(cls)
    )


def _params_problem(cls: type[Any], base: type[Any]) -> str | None:
    if not isinstance(cls.params, Mapping):
        return "params must be a mapping, as in {'dtype': [torch.float32, torch.float16]}"
    for name, values in cls.params.items():
        if not isinstance(name, str) or not name.isidentifier():
            return f"parameter {name!r} cannot be the name of an attribute"
        if hasattr(base, name) or name in ("threads", "device_type"):
            return f"parameter {name!r} is a name of {base.__name__}'s own; choose another"
        if isinstance(values, str) or not isinstance(values, Sequence) or not values:
            return f"parameter {name!r} needs a list of values, at least one"
    return None


def _names_problem(cls: type[Any]) -> str | None:
    if isinstance(cls.requires, str):
        return f"requires must be a list, as in [{cls.requires!r}]"
    for name in cls.requires:
        if name not in CAPABILITIES:
            return f"it requires {name!r}; capabilities are {', '.join(CAPABILITIES)}"
    if not isinstance(cls.acceptable, Mapping):
        return "acceptable must be a mapping from a verdict to the reason why it is fine here"
    for name in cls.acceptable:
        if name not in _ACCEPTABLE:
            return f"acceptable names {name!r}; what can be acceptable is {', '.join(_ACCEPTABLE)}"
    return None


def _quick_problem(cls: type[Any]) -> str | None:
    quick = cls.attempts_quick
    if quick is not None and not (isinstance(quick, int) and quick >= 0):
        return f"attempts_quick is {quick!r}: expected a number of attempts, or 0 for the full profile alone"
    kept = params_quick(cls)
    if not isinstance(kept, Mapping):
        return "params_quick must be a mapping, as in {'dtype': [torch.float32]}"
    for name, values in kept.items():
        known = cls.params.get(name, ())
        if isinstance(values, str) or not isinstance(values, Sequence) or not values:
            return f"params_quick of {name!r} needs a list of values, at least one"
        if any(value not in known for value in values):
            return f"params_quick names values of {name!r} that params has not: {values!r} of {known!r}"
    return None


def _environment_problem(cls: type[Any]) -> str | None:
    for one in [cls.env] if isinstance(cls.env, Mapping) else cls.env:
        if not isinstance(one, Mapping) or not all(
            isinstance(text, str) for pair in one.items() for text in pair
        ):
            return "env must be a mapping of texts, as in {'PYTORCH_MPS_FAST_MATH': '1'}, or a list of them"
    return None


def value_id(value: Any, name: str) -> str:
    """Return the part of a node id that stands for a parameter's value; the name where it has no short text."""
    text = str(value)
    if isinstance(value, str | int | float | bool | None):
        return text
    return text.removeprefix("torch.") if text.startswith("torch.") else str(getattr(value, "__name__", name))


def distinct(ids: list[str]) -> list[str]:
    """Return the ids with unsafe characters replaced, numbered where they would be equal."""
    safe = [_ID_UNSAFE.sub("_", one) for one in ids]
    numbered = [f"{one}.{index}" for index, one in enumerate(safe)]
    some = [one if safe.count(one) == 1 else numbered[index] for index, one in enumerate(safe)]
    return some if len(set(some)) == len(some) else numbered
