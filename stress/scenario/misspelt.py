"""Attributes of a scenario class that have no effect: misspelt ones, above all.

An author may have attributes and methods of his own. An error is what looks like one of ours, as `iteration` does, and
is read nowhere in his code: it was meant to have an effect, and has none. A name that his code reads is his own, however
near it comes; one that resembles nothing of ours misleads nobody. Names are compared without the order of their words.
"""

from __future__ import annotations

import difflib
import inspect
import sys
from collections.abc import Iterable
from collections.abc import Iterator
from types import CodeType
from typing import Any

from stress.scenario.scenario import ProcessScenario
from stress.scenario.scenario import Scenario

SIMILARITY_MIN = 0.8
"""Of `difflib`: "iteration" and "iterations" have 0.95, "device" and "device_type" 0.71."""
_SET_BY_US = {
    "threads": "--mps-threads, threads_min and threads_max say how many there are",
    "device_type": "--mps-device says which it is",
}
_FRAMEWORK = "stress.scenario"


def problem(cls: type[Any], base: type[Any]) -> str | None:
    """Return what an attribute of `cls` was probably meant to be; None when every one of them has an effect."""
    ours = [one for one in cls.__mro__ if one.__module__.startswith(_FRAMEWORK)]
    known = {name for one in ours for name in vars(one) if not name.startswith("_")}
    other = ProcessScenario if base is Scenario else Scenario
    for name, value in _own(cls).items():
        if name in _SET_BY_US:
            return f"{name} is set for each item, so a value in the class has no effect: {_SET_BY_US[name]}"
        if name in known:
            if inspect.isfunction(getattr(base, name, None)) and not callable(value):
                return f"{name} is {value!r:.60}: expected a method"
            continue
        if isinstance(value, type) or name in cls.params or name in _read(cls):
            continue
        if not name.startswith("_") and name in vars(other):
            return f"{name} is an attribute of {other.__name__} and has no effect in a {base.__name__}"
        nearest = _nearest(name, known)
        if nearest is not None:
            return f"{base.__name__} has no {name}, and nothing here reads it: did you mean {nearest}?"
    return None


def _own(cls: type[Any]) -> dict[str, Any]:
    """Return the public attributes that the author's classes define."""
    found: dict[str, Any] = {}
    for one in cls.__mro__:
        if one is not object and not one.__module__.startswith(_FRAMEWORK):
            found.update({name: value for name, value in vars(one).items() if name not in found})
    return {name: value for name, value in found.items() if not name.startswith("_")}


def _nearest(name: str, known: Iterable[str]) -> str | None:
    by_words = {_words(one): one for one in known}
    found = difflib.get_close_matches(_words(name), by_words, 1, SIMILARITY_MIN)
    return by_words[found[0]] if found else None


def _words(name: str) -> str:
    """Return the name's words in alphabetical order: min_threads is threads_min."""
    return "_".join(sorted(name.lower().split("_")))


def _read(cls: type[Any]) -> set[str]:
    """Return all names, and texts that may be names, in the code of the class, its bases and its file."""
    owners: list[Any] = [one for one in cls.__mro__ if not one.__module__.startswith(_FRAMEWORK)]
    module = sys.modules.get(cls.__module__)
    if module is not None:
        owners += [module, *(one for one in vars(module).values() if inspect.isclass(one))]
    found: set[str] = set()
    for owner in owners:
        for value in list(vars(owner).values()):
            for function in (
                value,
                *(getattr(value, part, None) for part in ("fget", "__func__", "__wrapped__")),
            ):
                code = getattr(function, "__code__", None)
                if isinstance(code, CodeType):
                    found.update(_names(code))
    return found


def _names(code: CodeType) -> Iterator[str]:
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _names(constant)
        elif isinstance(constant, str):
            yield constant
