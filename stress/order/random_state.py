"""Which generator an operator draws from: the state that two threads share where neither says so."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from collections.abc import Iterable
from functools import partial
from types import ModuleType
from typing import Any

import torch

from stress.order import attributes
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
_OF_CUDA = ("manual_seed", "manual_seed_all", "seed", "seed_all")


def watch_seeds(note: Callable[[Iterable[tuple[str, str]], str], None]) -> contextlib.ExitStack:
    """Note the functions of torch that read or set a default generator, until the stack is closed.

    Those of `torch`, `torch.mps` and, for seeds, `torch.cuda`, which `torch.manual_seed` calls, too. The states of CUDA's
    generators are not seen, and the methods of a `torch.Generator`, which are C's, are not either.
    """
    stack = contextlib.ExitStack()

    def watched(
        original: Callable[..., Any], name: str, devices: Callable[[], list[str]]
    ) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            result = original(*args, **kwargs)
            note([(one, f"the default generator of {one}") for one in devices()], name)
            return result

        return call

    def watch(
        module: ModuleType, prefix: str, names: Iterable[str], devices: Callable[[str], list[str]]
    ) -> None:
        for name in names:
            original = vars(module).get(name)
            if original is not None:
                seen = watched(original, f"{prefix}.{name}", partial(devices, name))
                attributes.replace(stack, module, name, seen)

    watch(torch, "torch", _OF_STATE, lambda _: ["cpu"])
    watch(torch.random, "torch", _OF_STATE, lambda _: ["cpu"])
    watch(torch.mps, "torch.mps", _OF_STATE, lambda _: ["mps"])
    watch(torch.cuda, "torch.cuda", _OF_CUDA, _seeded_of_cuda)
    return stack


def _seeded_of_cuda(name: str) -> list[str]:
    """Return the devices that the function has seeded; before the first use of one it only remembers the seed."""
    if not torch.cuda.is_initialized():
        return []
    every = range(torch.cuda.device_count()) if name.endswith("_all") else [torch.cuda.current_device()]
    return [device_name(torch.device("cuda", index)) for index in every]
