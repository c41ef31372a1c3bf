"""Fill torch's cache of Python operator objects before the crew starts, so that filling it is not a race.

The first dispatch of an operator to Python looks its object up through `torch.ops`, which runs Python code and
may hand the GIL over; when two crew threads do that for one operator at once, torch stops the second with an
internal assertion (PyHandleCache.h). That is a fault of the instrument, not of the device: seen in 1 of 2
attempts of an encoder layer from 8 threads on 16 cores. Dispatching each operator once under a mode that
stops before any kernel fills the cache and leaves the device's own caches cold.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterable
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

INSTRUMENT_ERROR = "PyHandleCache.h"
"""Part of the assertion's text, to recognise cases that slip through."""


@functools.cache
def resolve_all() -> int:
    """Look every operator up in `torch.ops` once; return how many there are (3,639 in 70 ms with torch 2.13).

    Two threads that look one up for the first time together make two objects: `torch.ops` keeps the second,
    and the dispatcher may hold a bare pointer to the first. Seen as duplicates of `aten::range` in 45 of 100
    forked children, and once in some thousands of attempts as a SIGSEGV inside torch.
    """
    found = 0
    for name in torch._C._dispatch_get_all_op_names():
        qualified, _, overload = name.partition(".")
        with contextlib.suppress(AttributeError, RuntimeError):  # registered, but without a schema
            _operator(f"{qualified.replace('::', '.', 1)}.{overload or 'default'}")
            found += 1
    return found


class Recorder(TorchDispatchMode):
    """Note all operators that run under it, and change nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.operators: set[Any] = set()
        """As objects: a text for each call takes as long as a small operator."""

    @property
    def names(self) -> set[str]:
        return set(map(str, self.operators))

    @classmethod
    def ignore_compile_internals(cls) -> bool:
        """Keep `torch.compile` on: a plain mode silently turns it off."""
        return True

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.operators.add(func)
        return func(*args, **(kwargs or {}))


class _Reached(Exception):
    """The operator has reached Python, which is all that is wanted."""


class _Stop(TorchDispatchMode):
    @classmethod
    def ignore_compile_internals(cls) -> bool:
        return True

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        raise _Reached


def fill(names: Iterable[str]) -> int:
    """Dispatch each operator (`aten.add.Tensor`) up to Python, run none; return how many arrived."""
    reached = 0
    below_autograd: Any = torch._C._AutoDispatchBelowAutograd
    with below_autograd(), _Stop():
        for name in sorted(names):
            try:
                operator = _operator(name)
                positional, named = _arguments(operator._schema)
                operator(*positional, **named)
            except _Reached:
                reached += 1
            except Exception:  # an argument that cannot be made up: this operator keeps its small risk
                continue
    return reached


def _operator(name: str) -> Any:
    namespace, packet, overload = name.split(".", 2)
    return getattr(getattr(getattr(torch.ops, namespace), packet), overload)


def _arguments(schema: Any) -> tuple[list[Any], dict[str, Any]]:
    """Make up arguments that the schema accepts; only those without a default are needed."""
    positional: list[Any] = []
    named: dict[str, Any] = {}
    for argument in schema.arguments:
        if argument.has_default_value():
            continue
        value = _value(str(argument.type))
        if argument.kwarg_only:
            named[argument.name] = value
        else:
            positional.append(value)
    return positional, named


def _value(kind: str) -> Any:
    if kind.startswith("Optional["):
        return None
    if kind.startswith("List["):
        return [_value(kind[len("List[") : -1])]
    values: dict[str, Any] = {
        "Tensor": torch.empty(0),
        "int": 1,
        "number": 1,
        "float": 1.0,
        "bool": False,
        "str": "",
        "Device": torch.device("cpu"),
    }
    return values[kind]
