"""Which generator an operator draws from: the state that two threads share where neither says so."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from collections.abc import Iterable
from typing import Any

import torch

from stress.order.op_plan import OpPlan
from stress.order.op_plan import tensors_of
from stress.order.storages import device_name

_SWITCHES = ("train", "training", "dropout_p")
"""Arguments that say whether anything is drawn: false or 0 is no. `train` may be None, which is yes."""


def draws(plan: OpPlan, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
    """Whether this call draws random numbers."""
    return plan.is_random and all(
        bool(value := plan.argument(name, args, kwargs)) or (name == "train" and value is None)
        for name in _SWITCHES
        if plan.has(name)
    )


def generator_of(
    plan: OpPlan, args: tuple[Any, ...], kwargs: dict[str, Any], result: object
) -> tuple[object, str] | None:
    """Return the generator, and how a report calls it; the device's default one is called by the device's name."""
    given = plan.argument("generator", args, kwargs)
    if isinstance(given, torch.Generator):
        return given, f"a generator of {device_name(given.device)}"
    made = next((one for one in (*tensors_of(result), *tensors_of(args)) if not one.is_meta), None)
    if made is None:
        return None
    name = device_name(made.device)
    return name, f"the default generator of {name}"


_OF_STATE = ("manual_seed", "seed", "get_rng_state", "set_rng_state")


def watch_seeds(note: Callable[[Iterable[tuple[str, str]], str], None]) -> contextlib.ExitStack:
    """Note the functions of `torch` and `torch.mps` that read or set a default generator, until the stack is closed.

    CUDA's set their generators later, when the device is first used, and the methods of a `torch.Generator` are C's: those
    are not seen.
    """
    stack = contextlib.ExitStack()

    def watched(original: Callable[..., Any], name: str, device: str) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            result = original(*args, **kwargs)
            note([(device, f"the default generator of {device}")], name)
            return result

        return call

    for module, prefix, device in (
        (torch, "torch", "cpu"),
        (torch.random, "torch", "cpu"),
        (torch.mps, "torch.mps", "mps"),
    ):
        for name in _OF_STATE:
            original = vars(module).get(name)
            if original is not None:
                stack.callback(setattr, module, name, original)
                setattr(module, name, watched(original, f"{prefix}.{name}", device))
    return stack
