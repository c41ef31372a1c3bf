"""An allocation's entry made runnable: its scenario class is imported and its parameters are found."""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stress.commands.power.allocation import AllocationError
from stress.commands.power.allocation import Entry
from stress.model.errors import BrokenScenario
from stress.model.plan import Plan
from stress.model.shipped import shipped_scenarios
from stress.model.spec import ScenarioRef
from stress.scenario.file import load_class
from stress.scenario.scenario import ProcessScenario
from stress.scenario.scenario import Scenario
from stress.scenario.scenario import bind
from stress.scenario.scenario import shares_process
from stress.scenario.scenario import waves_of
from stress.scenario.variants import distinct
from stress.scenario.variants import value_id


@dataclass(frozen=True)
class Runnable:
    """What the parent has to know of an entry's scenario."""

    entry: Entry
    ref: ScenarioRef
    is_process: bool
    workers: int
    iterations: int
    requires: tuple[str, ...]
    acceptable: Mapping[str, str]
    shares_process: bool = False

    @property
    def name(self) -> str:
        return self.entry.name

    def fits(self, _: str, capabilities: frozenset[str]) -> bool:
        """Whether it can run on a design with these capabilities."""
        return capabilities.issuperset(self.requires)


def resolve(entry: Entry, folder: Path | None = None) -> Runnable:
    """Import the entry's scenario; raise `AllocationError` for one that is not there or does not fit."""
    file, _, qualname = entry.scenario.partition("::")
    path = (folder or shipped_scenarios()) / file
    if not path.is_file():
        raise AllocationError(f"{entry.name}: {path} does not exist")
    try:
        cls = load_class(ScenarioRef(str(path), path.stem, qualname, ()))
    except BrokenScenario as error:
        raise AllocationError(f"{entry.name}: {error}") from None
    if not (isinstance(cls, type) and issubclass(cls, Scenario | ProcessScenario)) or cls.canary:
        raise AllocationError(
            f"{entry.name}: {qualname} is not a scenario, or is a canary, which fails without any fault"
        )
    ref = ScenarioRef(str(path), path.stem, qualname, _indices(entry, cls.params))
    scenario = bind(cls, ref.indices, threads=entry.threads, device_type="sim")
    is_process = isinstance(scenario, ProcessScenario)
    if entry.threads < scenario.threads_min or entry.threads > (scenario.threads_max or entry.threads):
        most = f" and at most {scenario.threads_max}" if scenario.threads_max is not None else ""
        raise AllocationError(f"{entry.name}: needs at least {scenario.threads_min}{most} threads")
    waves = [] if is_process else waves_of(scenario, entry.iterations)
    workers = 0 if is_process else Plan.make(waves).workers
    return Runnable(
        entry,
        ref,
        is_process,
        workers,
        max((iterations for _, iterations in waves), default=1),
        tuple(scenario.requires),
        scenario.acceptable,
        shares_process(scenario),
    )


def _indices(entry: Entry, params: Mapping[str, Sequence[Any]]) -> tuple[int, ...]:
    """Return the index of each parameter's value, which the entry names as a node id does."""
    given = dict(entry.params)
    if set(given) != set(params):
        raise AllocationError(f"{entry.name}: its parameters are {', '.join(params) or 'none'}")
    indices = []
    for name, values in params.items():
        ids = distinct([value_id(value, name) for value in values])
        if given[name] not in ids:
            raise AllocationError(f"{entry.name}: {name} is one of {', '.join(ids)}")
        indices.append(ids.index(given[name]))
    return tuple(indices)
