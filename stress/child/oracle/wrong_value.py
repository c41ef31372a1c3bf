"""The name of a wrong value: cross-talk, stale, unwritten, torn, nan or numeric."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch

from stress.child import tensor_tree
from stress.child.oracle.tolerance import is_numeric

POISON_BYTE = 0xA5
_POISON_SHARE = 0.9
_TORN_ELEMENTS_MIN = 2


@dataclass(frozen=True)
class ForeignValue:
    """A right value of another iteration: `own` when of the same thread and earlier."""

    owner: str
    own_earlier: bool
    value: torch.Tensor


def name(
    got: torch.Tensor, right: torch.Tensor, wrong: torch.Tensor, candidates: Iterable[ForeignValue]
) -> tuple[str, str | None]:
    """Return (name, whose value it was).

    `got` and `right` are CPU tensors of one shape and dtype, `wrong` the boolean mask of wrong elements.
    Values are matched by their bits; a near match would call every small error cross-talk.
    """
    candidates = [one for one in candidates if one.value.shape == got.shape and one.value.dtype == got.dtype]
    if _poisoned(got, wrong):
        return "unwritten", None
    for candidate in candidates:
        if tensor_tree.same_bits(got, candidate.value):
            return ("stale" if candidate.own_earlier else "cross-talk"), candidate.owner
    torn = _torn_with(got, wrong, candidates)
    if torn is not None:
        return "torn", torn
    if is_numeric(got.dtype) and bool((~torch.isfinite(got) & torch.isfinite(right)).any()):
        return "nan", None
    return "numeric", None


def _poisoned(got: torch.Tensor, wrong: torch.Tensor) -> bool:
    """Whether the wrong elements still hold the bytes that were written before the memory was freed."""
    if not got.numel() or not wrong.any():
        return False
    per_element = tensor_tree.as_bytes(got).view(-1, got.element_size())
    poison = (per_element == POISON_BYTE).all(dim=1)
    return float(poison[wrong.reshape(-1)].float().mean()) >= _POISON_SHARE


def _torn_with(got: torch.Tensor, wrong: torch.Tensor, candidates: Iterable[ForeignValue]) -> str | None:
    """Return the other owner when every wrong element is that owner's right one and the rest is our own.

    Only numeric dtypes and at least two wrong elements: small integers and booleans match by chance.
    """
    if not is_numeric(got.dtype) or int(wrong.sum()) < _TORN_ELEMENTS_MIN:
        return None
    values = got[wrong]
    for candidate in candidates:
        if torch.equal(values, candidate.value[wrong]):
            return candidate.owner
    return None
