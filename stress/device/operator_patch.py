"""`--mps-operator`: operators of torch replaced in the child processes, before the scenario's file is imported.

Libraries replace `torch.linalg.svd` and the like by their own kernels; this option runs any scenario with such a
replacement. pytest's process only reads the text: it imports neither torch nor the user's module for it.
"""

from __future__ import annotations

import functools
import importlib
import os
import sys
from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from stress.model.errors import BrokenScenario

FORM = (
    "NAME=MODULE:FUNCTION, as in linalg.svd=mypkg:svd, or MODULE:FUNCTION for a function that patches torch"
)
FINDING = "operator"
"""Name of a probe's finding that an operator cannot be replaced."""


class OperatorError(BrokenScenario):
    """A replacement cannot be used; the text begins with it and says why."""


@dataclass(frozen=True)
class Operator:
    """One replacement. Without a target the function is called once, without arguments, and does its own patching."""

    target: str
    """The operator to replace, as in `linalg.svd` for `torch.linalg.svd`."""
    module: str
    function: str

    def __str__(self) -> str:
        """Return the form that `--mps-operator` reads."""
        return f"{self.target}={self.source}" if self.target else self.source

    @property
    def source(self) -> str:
        return f"{self.module}:{self.function}"

    @property
    def told(self) -> str:
        """Return its description for the user."""
        return (
            f"torch.{self.target} is {self.source}" if self.target else f"torch is patched by {self.source}()"
        )


def parse(text: str) -> tuple[Operator, ...]:
    """Return the replacements that `text` names, comma-separated; raise `ValueError` with the way out."""
    operators = tuple(_parse_one(part.strip()) for part in text.split(",")) if text else ()
    targets = [one.target for one in operators if one.target]
    twice = next((name for name in targets if targets.count(name) > 1), None)
    if twice is not None:
        raise ValueError(f"{twice} is named twice: an operator can have only one replacement")
    return operators


def _parse_one(text: str) -> Operator:
    target, equals, source = text.rpartition("=")
    module, colon, function = source.partition(":")
    target = target.removeprefix("torch.")
    parts = [*module.split("."), *function.split("."), *(target.split(".") if equals else [])]
    if not colon or not all(part.isidentifier() for part in parts):
        raise ValueError(f"expected {FORM}")
    return Operator(target, module, function)


class _Applied:
    """The replacements in this process: made once, although several attempts share it without isolation."""

    texts: set[str] = set()


def apply(texts: Iterable[str], device_type: str) -> None:
    """Replace in this process; raise `OperatorError`.

    A replaced operator that is given CPU tensors alone stays torch's own where another device is tested: the
    replacement is made for that device, and the CPU's values are what it is compared with.
    """
    for text in texts:
        if text in _Applied.texts:
            continue
        (operator,) = parse(text)
        function = _attribute(_module(operator), operator.function, operator)
        if not callable(function):
            raise OperatorError(
                f"{operator}: {operator.source} is not a function: it has type {type(function).__name__}"
            )
        if operator.target:
            _replace(operator, function, device_type)
        else:
            _patch(operator, function)
        _Applied.texts.add(text)


def _module(operator: Operator) -> ModuleType:
    """Import the user's module; the current folder counts too, as it does for `python -m pytest`."""
    before = list(sys.path)
    sys.path.append(os.getcwd())
    try:
        return importlib.import_module(operator.module)
    except Exception as error:
        raise OperatorError(
            f"{operator}: module {operator.module} cannot be imported: {type(error).__name__}: {error}"
        ) from error
    finally:
        sys.path[:] = before


def _attribute(owner: Any, name: str, operator: Operator) -> Any:
    told = owner.__name__
    for part in name.split("."):
        if not hasattr(owner, part):
            raise OperatorError(f"{operator}: {told} has no {part}")
        owner, told = getattr(owner, part), f"{told}.{part}"
    return owner


def _patch(operator: Operator, function: Callable[[], object]) -> None:
    try:
        function()
    except Exception as error:
        raise OperatorError(
            f"{operator}: {operator.source}() raised {type(error).__name__}: {error}"
        ) from error


def _replace(operator: Operator, function: Callable[..., Any], device_type: str) -> None:
    import torch

    path, _, name = operator.target.rpartition(".")
    owner = _attribute(torch, path, operator) if path else torch
    original = _attribute(owner, name, operator)
    if not callable(original):
        raise OperatorError(
            f"{operator}: torch.{operator.target} is not a function: it has type {type(original).__name__}"
        )
    setattr(owner, name, _chooses(function, original, device_type))


def _chooses(
    function: Callable[..., Any], original: Callable[..., Any], device_type: str
) -> Callable[..., Any]:
    import torch
    from torch.utils import _pytree

    if device_type == "cpu":
        return function

    @functools.wraps(function)
    def chosen(*args: Any, **kwargs: Any) -> Any:
        tensors = [one for one in _pytree.tree_leaves((args, kwargs)) if isinstance(one, torch.Tensor)]
        on_cpu = bool(tensors) and all(one.device.type == "cpu" for one in tensors)
        return (original if on_cpu else function)(*args, **kwargs)

    return chosen


def texts(operators: Sequence[Operator]) -> tuple[str, ...]:
    """Return them as a child's spec holds them."""
    return tuple(map(str, operators))
