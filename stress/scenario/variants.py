"""The items of a scenario class: its variants, their names in node ids, and errors in its declarations."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any
from typing import NamedTuple

from stress.model.verdict import Verdict
from stress.scenario.capabilities import CAPABILITIES
from stress.scenario.scenario import ProcessScenario
from stress.scenario.scenario import Scenario
from stress.scenario.scenario import combinations
from stress.scenario.scenario import environments
from stress.scenario.scenario import params_quick

_ID_UNSAFE = re.compile(r"[^A-Za-z0-9_.=+-]+")


SCENARIO_FOLDER = "scenarios"


# Not inconclusive, error and broken: they say that nothing was tested, and no reason makes that green.
_ACCEPTABLE = (*(one for one in Verdict if one.is_failure), Verdict.OOM)


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


def class_problem(cls: type[Any]) -> str | None:
    """Return what is wrong with a class's declarations, with the way out; None when all is well."""
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
            return f"parameter {name!r} is an attribute of {base.__name__} itself; choose another name"
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
        return "acceptable must be a mapping from a verdict to the reason why it is acceptable here"
    for name in cls.acceptable:
        if name not in _ACCEPTABLE:
            return f"acceptable names {name!r}; acceptable verdicts are {', '.join(_ACCEPTABLE)}"
    return None


def _quick_problem(cls: type[Any]) -> str | None:
    quick = cls.attempts_quick
    if quick is not None and not (isinstance(quick, int) and quick >= 0):
        return f"attempts_quick is {quick!r}: expected a number of attempts, or 0 for the full profile only"
    kept = params_quick(cls)
    if not isinstance(kept, Mapping):
        return "params_quick must be a mapping, as in {'dtype': [torch.float32]}"
    for name, values in kept.items():
        known = cls.params.get(name, ())
        if isinstance(values, str) or not isinstance(values, Sequence) or not values:
            return f"params_quick of {name!r} needs a list of values, at least one"
        if any(value not in known for value in values):
            return f"params_quick names values of {name!r} that params does not have: {values!r} of {known!r}"
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
