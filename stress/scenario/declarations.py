"""Errors in the declarations of a scenario class, each in one sentence with the way out, before anything runs."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any

from stress.model.verdict import Verdict
from stress.scenario import misspelt
from stress.scenario.capabilities import CAPABILITIES
from stress.scenario.scenario import EQUAL_OUTPUTS
from stress.scenario.scenario import NO_DEVICE_WORK
from stress.scenario.scenario import ProcessScenario
from stress.scenario.scenario import Scenario
from stress.scenario.scenario import params_quick

# Not inconclusive, error and broken: they say that nothing was tested, and no reason makes that green.
_UNORDERED = "hazard=WAW kind=generator *"
_ACCEPTABLE = (*(one for one in Verdict if one.is_failure), Verdict.OOM)


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
        misspelt.problem(cls, base)
        or _params_problem(cls, base)
        or _numbers_problem(cls)
        or _names_problem(cls)
        or _exempt_problem(cls)
        or _unordered_problem(cls)
        or _environment_problem(cls)
        or _quick_problem(cls)
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


def _numbers_problem(cls: type[Any]) -> str | None:
    """Look at plain values only: a property is computed for each item, and looked at in the child."""
    for name in ("iterations", "threads_min", "threads_max"):
        value = getattr(cls, name, 1)
        if value is None and name == "threads_max":
            continue
        if not isinstance(value, property) and not (_is_whole(value) and value >= 1):
            return f"{name} is {value!r}: expected a whole number, at least 1"
    if cls.threads_max is not None and cls.threads_max < cls.threads_min:
        return f"threads_max is {cls.threads_max}, below threads_min, which is {cls.threads_min}"
    for name in ("canary", "fresh_process"):
        value = getattr(cls, name, False)
        if not isinstance(value, bool):
            return f"{name} is {value!r}: expected True or False"
    waves = getattr(cls, "waves", ())
    if not isinstance(waves, property) and not _are_waves(waves):
        return f"waves is {waves!r}: expected a list of pairs, as in [(8, 50), (4, 10)], threads and iterations of each"
    return None


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _are_waves(waves: object) -> bool:
    return isinstance(waves, Sequence) and all(
        isinstance(one, Sequence) and len(one) == 2 and all(map(_is_whole, one)) for one in waves
    )


def _names_problem(cls: type[Any]) -> str | None:
    for name in ("requires", "origin"):
        value = getattr(cls, name)
        if not isinstance(value, Sequence):
            return f"{name} is {value!r}: expected a list"
    if isinstance(cls.origin, str):
        return f"origin must be a list, as in [{cls.origin!r}]"
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


def _exempt_problem(cls: type[Any]) -> str | None:
    exempt = getattr(cls, "exempt", {})
    if not isinstance(exempt, Mapping):
        return f"exempt must be a mapping, as in {{{EQUAL_OUTPUTS!r}: 'the reason'}}"
    for name, why in exempt.items():
        if name not in (NO_DEVICE_WORK, EQUAL_OUTPUTS):
            return f"exempt names {name!r}; checks are {NO_DEVICE_WORK!r} and {EQUAL_OUTPUTS!r}"
        if not isinstance(why, str) or not why.strip():
            return f"exempt needs a reason for {name!r}"
    return None


def _unordered_problem(cls: type[Any]) -> str | None:
    if not isinstance(cls.unordered, Mapping):
        return f"unordered must be a mapping, as in {{{_UNORDERED!r}: 'the reason'}}"
    for pattern, why in cls.unordered.items():
        if not isinstance(pattern, str) or not pattern.startswith("hazard="):
            return (
                f"unordered has {pattern!r}: expected the last line of an order finding, as in {_UNORDERED!r}"
            )
        if not isinstance(why, str) or not why.strip():
            return f"unordered needs a reason for {pattern!r}"
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
    if not isinstance(cls.env, Mapping | Sequence):
        return f"env is {cls.env!r}: expected a mapping of texts, or a list of them"
    for one in [cls.env] if isinstance(cls.env, Mapping) else cls.env:
        if not isinstance(one, Mapping) or not all(
            isinstance(text, str) for pair in one.items() for text in pair
        ):
            return "env must be a mapping of texts, as in {'PYTORCH_MPS_FAST_MATH': '1'}, or a list of them"
    return None
