"""torch's OpInfo database: entries, their samples on any device, and which of them have no value to compare.

The database is torch's own test data: private, and other in every version. What is used of it is in this module.
"""

from __future__ import annotations

from collections.abc import Iterator
from collections.abc import Mapping
from typing import Any

import torch

from stress.model.errors import UserError

NEEDS = "numpy expecttest"
"""What torch's own tests need beside torch; they need scipy for a few entries only, and do without it."""
MODULE = "torch.testing._internal.common_methods_invocations"

RANDOM = "draws random numbers, which are the device's own"
UNINITIALISED = "returns memory as it finds it"
NOT_COMPARABLE: Mapping[str, str] = {
    **dict.fromkeys(
        (
            "cauchy", "exponential", "geometric", "log_normal", "multinomial", "normal", "rand_like", "randint", "randint_like", "randn",
            "randn_like", "uniform", "nn.functional.rrelu", "svd_lowrank", "pca_lowrank",
        ),
        RANDOM,
    ),
    **dict.fromkeys(
        ("empty", "empty_like", "empty_permuted", "empty_strided", "new_empty", "new_empty_strided"),
        UNINITIALISED,
    ),
}  # fmt: skip
"""Entries that are run but not compared, by name, with the reason."""

SHARED_DRAWS = "draws from the default generator, which all threads share: who gets which numbers is chance"
NOT_COMPARABLE_FROM_THREADS: Mapping[str, str] = {
    **NOT_COMPARABLE,
    **dict.fromkeys(
        (
            "bernoulli", "nn.functional.alpha_dropout", "nn.functional.dropout", "nn.functional.dropout2d",
            "nn.functional.dropout3d", "nn.functional.feature_alpha_dropout.with_train", "nn.functional.fractional_max_pool2d",
            "nn.functional.fractional_max_pool3d", "nn.functional.multi_head_attention_forward",
        ),
        SHARED_DRAWS,
    ),
}  # fmt: skip
"""The same where several threads run an entry and are compared with one thread alone."""

JITERATOR = "jiterator_"
"""These entries are for CUDA only and have no CPU reference."""


def full_name(op: Any) -> str:
    """Return the name of an entry, with its variant."""
    return f"{op.name}.{op.variant_test_name}" if op.variant_test_name else str(op.name)


def why_not_comparable(op: Any, reasons: Mapping[str, str]) -> str:
    """Return the reason why an entry's values are not compared; "" where they are."""
    return reasons.get(full_name(op)) or reasons.get(str(op.name), "")


def all_entries() -> list[Any]:
    """Return the entries that can run without CUDA; raise `UserError` where the database lacks what it needs."""
    try:
        from torch.testing._internal.common_methods_invocations import op_db
    except ModuleNotFoundError as error:
        raise UserError(
            f"torch's database of operators imports {error.name}, which is not installed: pip install {NEEDS}"
        ) from None

    return [op for op in op_db if not op.name.startswith(JITERATOR)]


def entries() -> list[Any]:
    """Return the entries that have float32 on the CPU."""
    return [op for op in all_entries() if torch.float32 in op.supported_dtypes("cpu")]


def entry(name: str) -> Any:
    """Return the entry of that full name; raise `LookupError`."""
    for op in all_entries():
        if full_name(op) == name:
            return op
    raise LookupError(f"torch {torch.__version__} has no operator {name!r} in its database")


def samples(op: Any, dtype: torch.dtype) -> Iterator[Any]:
    """Yield an entry's sample inputs on the CPU, drawn from the default generators."""
    yield from op.sample_inputs("cpu", dtype, requires_grad=False)


def has_dropout(sample: Any) -> bool:
    """Whether a sample of attention asks for dropout, which draws as `SHARED_DRAWS` says; the others do not."""
    return bool(sample.kwargs.get("dropout_p"))


def moved(value: Any, device: str | torch.device) -> Any:
    """Return the arguments of a sample as copies, with tensors and device names on `device`."""
    if isinstance(value, torch.Tensor):
        return value.detach().clone().to(device).requires_grad_(value.requires_grad)
    if isinstance(value, torch.device) or value == "cpu":
        return torch.device(device) if isinstance(value, torch.device) else str(device)
    if isinstance(value, tuple | list):
        return type(value)(moved(one, device) for one in value)
    if isinstance(value, dict):
        return {key: moved(one, device) for key, one in value.items()}
    return value


def arguments(sample: Any) -> list[Any]:
    """Return a sample as nested data: input, positional arguments, named arguments."""
    return [sample.input, list(sample.args), sample.kwargs]
