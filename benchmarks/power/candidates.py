"""Every scenario that could be an entry of the allocation, as an ordinary run would run it: what to explore first."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from stress.commands.power.allocation import ROTATE
from stress.commands.power.allocation import Entry
from stress.model.shipped import shipped_scenarios
from stress.model.spec import ScenarioRef
from stress.scenario.declarations import class_problem
from stress.scenario.file import import_module
from stress.scenario.scenario import combinations
from stress.scenario.scenario import environments
from stress.scenario.variants import distinct
from stress.scenario.variants import is_scenario_class
from stress.scenario.variants import value_id

THREADS = 8


def candidates(folder: Path | None = None, threads: int | None = None) -> Iterator[Entry]:
    """Yield an entry per scenario and parameters, with 8 threads or what it allows; canaries are no candidates."""
    for path in sorted((folder or shipped_scenarios()).glob("*.py")):
        module = import_module(ScenarioRef(str(path), path.stem, "", ()))
        for name, cls in vars(module).items():
            if (
                not is_scenario_class(cls, module)
                or cls.canary
                or class_problem(cls)
                or environments(cls) != [{}]
            ):
                continue
            count = min(max(threads or THREADS, cls.threads_min), cls.threads_max or THREADS)
            ids = {
                key: distinct([value_id(one, key) for one in values]) for key, values in cls.params.items()
            }
            for indices, _ in combinations(cls):
                params = tuple((key, ids[key][index]) for key, index in zip(ids, indices, strict=True))
                yield Entry(f"{path.name}::{name}", params, count, perturb=ROTATE, readback=ROTATE)
