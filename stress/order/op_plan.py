"""What an operator reads and writes, from its schema, its tags, and a short list of what schemas do not say."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any
from typing import NamedTuple

import torch

_LIKE = re.compile(r"aten::(new_.*|.*_like)$")
"""Factories that take a tensor for its size, dtype and device, and read nothing of it."""
_EMPTY = frozenset(
    {"empty", "empty_like", "empty_strided", "new_empty", "new_empty_strided", "empty_permuted"}
)
_NO_ACCESS = frozenset(
    {
        "resize_", "resize_as_", "set_", "is_same_size", "is_pinned", "_has_compatible_shallow_copy_type",
        "sym_size", "sym_stride", "sym_numel", "sym_storage_offset", "is_contiguous", "is_set_to", "_unsafe_view", "lift",
    }
)  # fmt: skip
"""Operators of metadata alone, beside those that torch tags as views in place (`t_`): their schema says that they write."""
_STATISTICS = ("running_mean", "running_var")
_WRITES_IF: dict[str, tuple[tuple[str, ...], str]] = {
    "native_batch_norm": (_STATISTICS, "training"),
    "cudnn_batch_norm": (_STATISTICS, "training"),
    "miopen_batch_norm": (_STATISTICS, "training"),
    "_native_batch_norm_legit": (_STATISTICS, "training"),
    "rrelu_with_noise": (("noise",), "training"),
    "_fused_sgd_": (("grads",), "grad_scale"),
    "_fused_adam_": (("grads",), "grad_scale"),
    "_fused_adamw_": (("grads",), "grad_scale"),
    "_fused_adagrad_": (("grads",), "grad_scale"),
}
"""Operator -> (arguments, another one with which they are written). The schema of some marks the write always, of others never."""
_WAITS = frozenset({"_linalg_check_errors", "_assert_async", "equal", "_local_scalar_dense"})
"""Operators that wait for the device although no tag says so, or did not in older versions of torch."""
_MASKED = frozenset({"index_put_", "index_put", "_index_put_impl_"})
"""Operators that wait if an index is a mask, whose true elements the host counts."""
_COPIES = frozenset({"copy_", "_to_copy"})
_Tensor = torch.Tensor


class ArgumentPlan(NamedTuple):
    """One tensor argument, or list of tensors."""

    position: int
    name: str
    is_write: bool


Touch = tuple[torch.Tensor, str, bool]
"""A tensor that an operator accesses, by which argument, and whether it writes. A plain tuple: one is made for each access."""


class OpPlan:
    """One operator's accesses."""

    __slots__ = (
        "_condition",
        "_positions",
        "_sometimes",
        "arguments",
        "is_copy",
        "is_random",
        "is_record_stream",
        "is_reshape",
        "is_resize",
        "masked",
        "name",
        "waits",
        "writes_output",
    )

    def __init__(self, func: Any) -> None:
        schema = func._schema
        short = schema.name.partition("::")[2]
        overload = schema.overload_name
        self.name: str = f"{schema.name}.{overload}" if overload else schema.name
        self.is_copy = short in _COPIES
        self.is_record_stream = short == "record_stream"
        self.is_reshape = bool({one for one in func.tags if str(one).endswith(".inplace_view")})
        self.is_resize = short in ("resize_", "resize_as_")
        self.masked = short in _MASKED
        tags = {str(one).rpartition(".")[2] for one in func.tags}
        self._positions = {one.name: index for index, one in enumerate(schema.arguments)}
        self.is_random = "nondeterministic_seeded" in tags and not short.endswith("_backward")
        self.waits = short in _WAITS or bool(tags & {"data_dependent_output", "dynamic_output_shape"})
        quiet = short in _NO_ACCESS or self.is_record_stream or self.is_reshape
        self._sometimes, condition = _WRITES_IF.get(short, ((), ""))
        at = next((number for number, one in enumerate(schema.arguments) if one.name == condition), 0)
        self._condition = at, condition
        reads = not quiet and not _LIKE.match(schema.name)
        self.arguments = tuple(
            ArgumentPlan(index, one.name, is_write)
            for index, one in enumerate(schema.arguments)
            if "Tensor" in str(one.type)
            and not quiet
            and ((is_write := _is_write(one)) or (reads and one.alias_info is None))
        )
        fresh = [one.alias_info is None for one in schema.returns]
        self.writes_output = any(fresh) and not quiet and short not in _EMPTY

    def has(self, name: str) -> bool:
        """Whether the operator has an argument of this name."""
        return name in self._positions

    def argument(self, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Return what a call gives for the argument; None where it gives nothing, or there is none."""
        position = self._positions.get(name, len(args))
        return args[position] if position < len(args) else kwargs.get(name)

    def touches(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> list[Touch]:
        """Return the tensors among the arguments that the operator accesses."""
        found: list[Touch] = []
        given, sometimes = len(args), self._sometimes
        for position, name, by_schema in self.arguments:
            is_write = self._writes(args, kwargs) if sometimes and name in sometimes else by_schema
            value = args[position] if position < given else kwargs.get(name)
            if isinstance(value, _Tensor):
                found.append((value, name, is_write))
            elif isinstance(value, (list, tuple)):
                found += [(one, name, is_write) for one in value if isinstance(one, _Tensor)]
        return found

    def _writes(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
        position, name = self._condition
        value = args[position] if position < len(args) else kwargs.get(name)
        return value is not None and value is not False

    def waits_with(self, touched: list[Touch]) -> bool:
        """Whether the host waits for the device within this call."""
        return self.waits or (
            self.masked
            and any(argument == "indices" and tensor.dtype in _MASK_DTYPES for tensor, argument, _ in touched)
        )


_MASK_DTYPES = (torch.bool, torch.uint8)


def _is_write(argument: Any) -> bool:
    return argument.alias_info is not None and argument.alias_info.is_write


def tensors_of(value: Any) -> Iterator[torch.Tensor]:
    """Yield the tensors of an operator's result: one, or some in lists and tuples."""
    if isinstance(value, torch.Tensor):
        yield value
    elif isinstance(value, (list, tuple)):
        for one in value:
            yield from tensors_of(one)


_plans: dict[int, tuple[Any, OpPlan | None]] = {}
"""By the operator's id, with the operator, which keeps it: its own hash is a function in Python."""
FRAMEWORK = "mps_stress"
"""Prefix of the namespaces of our own control functions, which are no work."""


def plan_of(func: Any) -> OpPlan | None:
    """Return an operator's plan, made once; None for what is no operator of tensors."""
    known = _plans.get(id(func))
    if known is not None:
        return known[1]
    schema = getattr(func, "_schema", None)
    name = schema.name if schema is not None else ""
    plan = None if schema is None or name.startswith((FRAMEWORK, "prim::")) else OpPlan(func)
    _plans[id(func)] = func, plan
    return plan
