"""Scenario classes as pytest items: one per (scenario, parameters, environment, thread count)."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

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
from stress.run import run_of
from stress.runner import ItemRunner
from stress.scenario import ProcessScenario
from stress.scenario import Scenario
from stress.scenario import bind
from stress.scenario import combinations
from stress.scenario import environments
from stress.verdict import Verdict

_ID_UNSAFE = re.compile(r"[^A-Za-z0-9_.=+-]+")
SCENARIO_FOLDER = "scenarios"


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
        params: dict[str, Any],
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
        assert run.device is not None
        if self.threads < cls.threads_min:
            pytest.skip(f"needs at least {cls.threads_min} threads: --mps-threads={cls.threads_min}")
        if cls.threads_max is not None and self.threads > cls.threads_max:
            pytest.skip(f"makes sense up to {cls.threads_max} threads only")
        missing = [name for name in cls.requires if name not in run.device.capabilities]
        if missing:
            pytest.skip(f"{run.device.name} here has no {', '.join(missing)}")
        if issubclass(cls, ProcessScenario) and not run.settings.isolation:
            pytest.skip("a process scenario needs isolation: leave out --mps-no-isolation and --pdb")
        left_s = run.budget_left_s()
        if left_s is not None and left_s <= 0:
            pytest.skip(f"time budget spent (--mps-seconds={run.settings.seconds:g}): not run")

    def runtest(self) -> None:
        run = run_of(self.config)
        assert run.device is not None
        scenario = bind(self.scenario_class, self.indices, threads=self.threads, device_type=run.device.name)
        module = self.getparent(pytest.Module)
        assert module is not None
        ref = ScenarioRef(str(self.path), module.obj.__name__, self.scenario_class.__qualname__, self.indices)
        names = {name: value_id(value, name, 0) for name, value in self.params.items()}
        spec = ItemSpec(self.nodeid, scenario, ref, names, self.environment, self.threads)
        try:
            self.result = ItemRunner(run, spec).execute()
        finally:
            run.items_left -= 1
        self.user_properties.append(("mps_verdict", str(self.result.verdict)))
        self.user_properties.append(("mps_failures", f"{self.result.failures} of {self.result.counted}"))
        if not self.result.verdict.is_green:
            raise StressFailure(self.result)

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
    check_class(cls)
    for count in threads:
        for indices, params in combinations(cls):
            for environment in environments(cls):
                parts = [
                    value_id(value, key, index)
                    for (key, value), index in zip(params.items(), indices, strict=True)
                ]
                parts += [_ID_UNSAFE.sub("_", f"{key}={value}") for key, value in environment.items()]
                item_id = "-".join([*parts, f"t{count}"])
                item = ScenarioItem.from_parent(
                    collector,
                    name=f"{name}[{item_id}]",
                    scenario_class=cls,
                    indices=indices,
                    params=params,
                    environment=environment,
                    threads=count,
                )
                item.add_marker("mps_stress")
                yield item


def check_class(cls: type[Any]) -> None:
    """Refuse declarations that cannot be meant, naming the way out."""
    where = f"{cls.__module__}.{cls.__qualname__}"
    needed = "body" if issubclass(cls, ProcessScenario) else "step"
    base: type[Any] = ProcessScenario if needed == "body" else Scenario
    if getattr(cls, needed) is getattr(base, needed) and (needed == "body" or cls.steps is Scenario.steps):
        raise pytest.UsageError(
            f"{where} has no {needed}(): write one, or start a helper class's name with an underscore"
        )
    taken = [name for name in cls.params if hasattr(base, name) or name in ("threads", "device_type")]
    if taken:
        raise pytest.UsageError(
            f"{where}: parameter {taken[0]!r} is a name of Scenario's own; choose another"
        )
    unknown = [name for name in cls.requires if name not in CAPABILITIES]
    if unknown:
        raise pytest.UsageError(
            f"{where} requires {unknown[0]!r}; capabilities are {', '.join(CAPABILITIES)}"
        )
    unknown = [name for name in cls.acceptable if name not in set(Verdict)]
    if unknown:
        raise pytest.UsageError(
            f"{where}: acceptable names {unknown[0]!r}; verdicts are {', '.join(Verdict)}"
        )


def value_id(value: Any, name: str, index: int) -> str:
    """Return the part of a node id that stands for a parameter's value."""
    text = str(value)
    if isinstance(value, str | int | float | bool | None):
        return _ID_UNSAFE.sub("_", text)
    if text.startswith("torch."):
        return _ID_UNSAFE.sub("_", text.removeprefix("torch."))
    return str(getattr(value, "__name__", f"{name}{index}"))
