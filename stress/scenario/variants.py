"""The items of a scenario class: its variants, and their names in node ids."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from typing import Any
from typing import NamedTuple

from stress.scenario.scenario import ProcessScenario
from stress.scenario.scenario import Scenario
from stress.scenario.scenario import combinations
from stress.scenario.scenario import environments

_ID_UNSAFE = re.compile(r"[^A-Za-z0-9_.=+-]+")

SCENARIO_FOLDER = "scenarios"


def is_scenario_class(obj: object, module: Any) -> bool:
    """Whether a collected object is a scenario of that module itself (imported ones belong to their own).

    A helper base class opts out with a leading underscore or with its own `__test__ = False`.
    """
    return (
        inspect.isclass(obj)
        and issubclass(obj, Scenario | ProcessScenario)
        and obj.__module__ == module.__name__
        and not obj.__name__.startswith("_")
        and obj.__dict__.get("__test__", True)
    )


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
