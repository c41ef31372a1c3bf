"""Scenario classes as pytest items: one per (scenario, parameters, environment, thread count)."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from stress.device.sim.zoo import FORK_CAPABILITIES
from stress.model.spec import ScenarioRef
from stress.plugin.failed_first import RecordedFailure
from stress.plugin.item import ItemSpec
from stress.plugin.item_runner import ItemRunner
from stress.plugin.judged_item import JudgedItem
from stress.plugin.judged_item import NotGreen
from stress.plugin.run import Run
from stress.plugin.run import run_of
from stress.plugin.terminal.block import failure_block
from stress.plugin.terminal.block import replay_of
from stress.plugin.terminal.words import row_of
from stress.plugin.terminal.words import summary_of
from stress.scenario.declarations import class_problem
from stress.scenario.scenario import ProcessScenario
from stress.scenario.scenario import bind
from stress.scenario.variants import variants


class ScenarioItem(JudgedItem):
    """One item; running it runs its references, attempts and controls in child processes."""

    cls: type[Any]
    threads: int

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
        self.recorded_failures: Sequence[RecordedFailure] = ()
        """What `--mps-failed-first` runs before its own attempts."""

    def setup(self) -> None:
        """Skip what does not apply here, with the reason."""
        cls = self.scenario_class
        run = run_of(self.config)
        if run.device is None:  # --setup-only and --setup-plan run nothing, so nothing was opened
            return
        run.budget.begin_item()
        if self.threads < cls.threads_min:
            pytest.skip(f"needs at least {cls.threads_min} threads: --mps-threads={cls.threads_min}")
        if cls.threads_max is not None and self.threads > cls.threads_max:
            pytest.skip(f"runs with {cls.threads_max} or fewer threads: --mps-threads={cls.threads_max}")
        missing = [name for name in cls.requires if name not in run.device.capabilities]
        if missing:
            is_forks = run.device.sim is not None and FORK_CAPABILITIES.issuperset(missing)
            way_out = ": --mps-sim-design=fork has it" if is_forks else ""
            pytest.skip(f"{run.device.name} here has no {', '.join(missing)}{way_out}")
        if issubclass(cls, ProcessScenario) and not run.settings.isolation:
            pytest.skip("a process scenario needs isolation: leave out --mps-no-isolation and --pdb")
        if self.environment and not run.settings.isolation:
            pytest.skip("an environment needs its own process: leave out --mps-no-isolation and --pdb")
        self.skip_if_out_of_time(run)

    def runtest(self) -> None:
        run = run_of(self.config)
        result = ItemRunner(run, self.spec(run), failures=self.recorded_failures).execute()
        self.take(row_of(result), replay=replay_of(result, run))
        if not result.verdict.is_green:
            raise NotGreen(failure_block(result, run), summary_of(result))

    def spec(self, run: Run) -> ItemSpec:
        """Return what the runner needs of this item, on the device that the run has opened."""
        assert run.device is not None
        scenario = bind(self.scenario_class, self.indices, threads=self.threads, device_type=run.device.name)
        module = self.getparent(pytest.Module)
        assert module is not None
        ref = ScenarioRef(str(self.path), module.obj.__name__, self.scenario_class.__qualname__, self.indices)
        return ItemSpec(self.nodeid, scenario, ref, self.params, self.environment, self.threads)

    def reportinfo(self) -> tuple[Path, int | None, str]:
        try:
            line: int | None = inspect.getsourcelines(self.scenario_class)[1] - 1
        except (OSError, TypeError):
            line = None
        return self.path, line, self.name


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
