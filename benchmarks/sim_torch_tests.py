"""Torch's own test material, which nobody here wrote, driven on the simulated device: modules, optimizers, operators.

What the tests of `torch/test` do with `module_db`, `optim_db` and `op_db` is done here with the device in place of a
GPU: parity with the CPU, forward and backward, and the errors that wrong inputs must raise. The test files
themselves are not in torch's wheels.
"""

from __future__ import annotations

import copy
import re
import warnings
from collections.abc import Callable
from collections.abc import Iterator
from functools import partial
from typing import Any

import torch
from torch import nn

from benchmarks.sim_op_db import first_sample
from benchmarks.sim_op_db import in_child
from benchmarks.sim_op_db import on_cpu
from stress.commands.sweep.op_db import NOT_COMPARABLE
from stress.commands.sweep.op_db import entries
from stress.commands.sweep.op_db import full_name
from stress.commands.sweep.op_db import moved

RANDOM_MODULES = ("Dropout", "AlphaDropout", "FractionalMaxPool", "RReLU")
"""Modules that draw random numbers, which are the device's own: run, not compared."""

RANDOM_OPS = ("normal", "nn.functional.rrelu", "nn.functional.multi_head_attention_forward")
"""Operators that do, beside those that `sim_op_db` names: not run."""

OPTIMIZER_STEPS = 3

Outcome = tuple[str, str]
"""Name and "ok", or one line that says what went wrong."""


def flat_tensors(value: object) -> list[torch.Tensor]:
    if isinstance(value, torch.Tensor):
        return [value]
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, tuple | list):
        return [tensor for one in value for tensor in flat_tensors(one)]
    return []


def run_module(module: nn.Module, given: Any, device: str) -> list[Any]:
    """Return outputs and gradients, on the CPU."""
    target = copy.deepcopy(module).to(device)
    args, kwargs = moved([list(given.args), given.kwargs], device)
    output = target(*args, **kwargs)
    outputs = [one for one in flat_tensors(output) if one.requires_grad]
    if outputs:
        sum(one.float().abs().sum() for one in outputs).backward()  # type: ignore[union-attr]
    leaves = [*flat_tensors(args), *flat_tensors(kwargs), *target.parameters()]
    return [on_cpu(output), [on_cpu(one.grad) for one in leaves if one.grad is not None]]


def module_outcome(info: Any, device: str, training: bool) -> str:
    """Return "ok" if every input of a ModuleInfo gives on the device what it gives on the CPU."""
    inputs = info.module_inputs_func(
        info, device="cpu", dtype=torch.float32, requires_grad=True, training=training
    )
    for given in inputs:
        if given.forward_input is None:
            continue
        torch.manual_seed(0)
        module = info.module_cls(*given.constructor_input.args, **given.constructor_input.kwargs)
        module.train(training)
        try:
            expected = run_module(module, given.forward_input, "cpu")
        except RuntimeError:
            continue  # the sample is in a dtype that this module has not on the CPU
        got = run_module(module, given.forward_input, device)
        if not info.name.rpartition(".")[2].startswith(RANDOM_MODULES):
            torch.testing.assert_close(
                got, expected, rtol=1e-4, atol=1e-4, equal_nan=True, check_stride=False
            )
    return "ok"


def optimizer_outcome(info: Any, device: str) -> str:
    """Return "ok" if every configuration of an OptimizerInfo does the same steps as on the CPU."""
    takes_matrices_only = info.optim_cls is torch.optim.Muon
    for given in info.optim_inputs_func(device="cpu"):
        ends = []
        for one in ("cpu", device):
            torch.manual_seed(0)
            model = nn.Linear(6, 4).to(one)
            parameters = [model.weight] if takes_matrices_only else list(model.parameters())
            optimizer = info.optim_cls(parameters, **moved(copy.deepcopy(given.kwargs), one))
            x = torch.randn(5, 6).to(one)

            def closure(model: nn.Module = model, x: torch.Tensor = x) -> torch.Tensor:
                model.zero_grad()
                loss = model(x).pow(2).mean()
                loss.backward()
                return loss

            for _ in range(OPTIMIZER_STEPS):
                optimizer.step(closure) if info.step_requires_closure else (closure(), optimizer.step())
            ends.append([on_cpu(parameter) for parameter in model.parameters()])
        torch.testing.assert_close(ends[1], ends[0], rtol=1e-4, atol=1e-5, msg=str(given.desc))
    return "ok"


def gradient_outcome(op: Any, device: str) -> str:
    """Return "ok" if the first sample's gradients are those of the CPU."""
    torch.manual_seed(0)
    sample = next(iter(op.sample_inputs("cpu", torch.float32, requires_grad=True)))
    results = []
    for one in ("cpu", device):
        given, args, kwargs = moved([sample.input, list(sample.args), sample.kwargs], one)
        outputs = [value for value in flat_tensors(op(given, *args, **kwargs)) if value.requires_grad]
        if not outputs:
            return "ok"
        sum(value.abs().sum() for value in outputs).backward()  # type: ignore[union-attr]
        results.append(
            [on_cpu(value.grad) for value in flat_tensors([given, args]) if value.grad is not None]
        )
    torch.testing.assert_close(
        results[1], results[0], rtol=1e-4, atol=1e-4, equal_nan=True, check_stride=False
    )
    return "ok"


def inplace_outcome(op: Any, device: str) -> str:
    """Return "ok" if the in-place variant changes the first sample's input as on the CPU."""
    sample = first_sample(op)
    variant = op.get_inplace()
    results = []
    for one in ("cpu", device):
        given, args, kwargs = moved([sample.input, list(sample.args), sample.kwargs], one)
        variant(given, *args, **kwargs)
        results.append(on_cpu(given))
    torch.testing.assert_close(results[1], results[0], equal_nan=True)
    return "ok"


def errors_outcome(op: Any, device: str) -> str:
    """Return "ok" if every wrong input raises the error that torch's tests expect, where the CPU raises it."""
    accepted_by_cpu = {wrong.error_regex for wrong in op.error_inputs("cpu") if mistake(op, wrong)}
    for wrong in op.error_inputs(device):
        text = mistake(op, wrong)
        if text and wrong.error_regex not in accepted_by_cpu:
            return text
    return "ok"


def mistake(op: Any, wrong: Any) -> str:
    """Return how the error that an ErrorInput raises differs from what it expects; empty if it does not."""
    sample = wrong.sample_input
    try:
        op(sample.input, *sample.args, **sample.kwargs)
        torch.ops.mps_stress_sim.synchronize_all()
    except Exception as error:
        if not isinstance(error, wrong.error_type):
            return f"{type(error).__name__} instead of {wrong.error_type.__name__}: {error}"
        if not re.search(wrong.error_regex, str(error)):
            return f"text {str(error).splitlines()[0]!r} instead of {wrong.error_regex!r}"
        return ""
    return f"no {wrong.error_type.__name__}"


def caught(check: Callable[[], str]) -> str:
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    try:
        return check()
    except Exception as error:
        return f"{type(error).__name__}: {str(error).strip().splitlines()[0] if str(error).strip() else ''}"


def checks(device: str) -> Iterator[tuple[str, str, Callable[[], str]]]:
    """Yield (group, name, check)."""
    from torch.testing._internal.common_modules import module_db
    from torch.testing._internal.common_optimizers import optim_db

    for module in module_db:
        if module.is_lazy:
            continue  # it draws its weights at the first call, on each device its own
        for training in (True, False) if module.train_and_eval_differ else (True,):
            name = f"{module.name} {'train' if training else 'eval'}"
            yield "module_db", name, partial(module_outcome, module, device, training)
    for optimizer in optim_db:
        if not optimizer.only_supports_sparse_grads:
            yield "optim_db", str(optimizer.name), partial(optimizer_outcome, optimizer, device)
    for op in entries():
        name = full_name(op)
        if op.name in NOT_COMPARABLE or op.name in RANDOM_OPS:
            continue
        if op.supports_autograd and torch.float32 in op.supported_backward_dtypes("cpu"):
            yield "op_db gradients", name, partial(gradient_outcome, op, device)
        if op.get_inplace() is not None:
            yield "op_db in place", name, partial(inplace_outcome, op, device)
        if op.error_inputs_func is not None:
            yield "op_db errors", name, partial(errors_outcome, op, device)


def run_torch_tests(device: str, names: str = "") -> Iterator[tuple[str, str, str]]:
    """Yield (group, name, outcome); each check in a forked child. Runs no op itself."""
    for group, name, check in checks(device):
        if names in f"{group} {name}":
            yield group, name, in_child(partial(caught, check))
