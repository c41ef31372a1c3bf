"""Check records against the types of `stress.record.schema`, fast enough for a reader of a million of them."""

from __future__ import annotations

import types
from collections.abc import Callable
from collections.abc import Mapping
from typing import Any
from typing import Literal
from typing import NamedTuple
from typing import NotRequired
from typing import Union
from typing import get_args
from typing import get_origin
from typing import get_type_hints

from stress.model.verdict import Verdict
from stress.record import schema


def check(record: Mapping[str, object]) -> str | None:
    """Return what is wrong with a record of a known kind and version, or None. Unknown keys are fine."""
    kind = record.get("kind")
    rules = _RULES.get(kind) if isinstance(kind, str) else None
    if rules is None:
        raise ValueError(f"unknown kind of record: {_shown(kind)}")
    if not rules.required <= record.keys():
        missing = next(field for field in rules.fields if field in rules.required and field not in record)
        return f"{kind} record without {missing!r}"
    for field, value in record.items():
        rule = rules.fields.get(field)
        # Most values pass by their type alone: a reader of a million records has no time for more.
        if rule is not None and type(value) not in rule.types and not rule.accepts(value):
            return f"{kind} record: {field!r} is {_shown(value)}, expected {rule.expected}"
    return None


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


_Check = Callable[[object], bool]


class _Rule(NamedTuple):
    """The rule for the values of one field."""

    types: frozenset[type]
    """Values of exactly these types need no other check."""
    accepts: _Check
    expected: str


class _Rules(NamedTuple):
    """The fields that a record of one kind may hold."""

    required: frozenset[str]
    fields: dict[str, _Rule]


def _is_int(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


_VERDICTS = frozenset(map(str, Verdict))
_SCALARS: dict[object, _Check] = {
    int: _is_int,
    float: lambda value: isinstance(value, float) or _is_int(value),
    str: lambda value: isinstance(value, str),
    bool: lambda value: isinstance(value, bool),
    object: lambda value: True,
    type(None): lambda value: value is None,
    schema.SideFile: lambda value: isinstance(value, str) and schema.side_name_error(value) is None,
    schema.VerdictName: lambda value: isinstance(value, str) and value in _VERDICTS,
}
_TYPES_ACCEPTED: dict[object, tuple[type, ...]] = {
    int: (int,), float: (float, int), str: (str,), bool: (bool,), type(None): (type(None),),
    dict[str, object]: (dict,),
}  # fmt: skip
"""Annotation -> types whose every value is accepted."""
_EXPECTED: dict[object, str] = {
    schema.SideFile: "a plain file name",
    schema.VerdictName: "a verdict",
    type(None): "null",
}


def _checker(hint: Any) -> _Check:
    """Return the predicate of one of the few annotations that `schema` uses."""
    if hint in _SCALARS:
        return _SCALARS[hint]
    origin = get_origin(hint)
    arguments = get_args(hint)
    if origin is Literal:
        return lambda value: isinstance(value, str) and value in arguments
    if origin in (Union, types.UnionType):
        options = [_checker(argument) for argument in arguments]
        return lambda value: any(accepts(value) for accepts in options)
    inner = _checker(arguments[-1])
    if origin is list:
        return lambda value: isinstance(value, list) and all(map(inner, value))
    if origin is dict:
        return lambda value: isinstance(value, dict) and all(map(inner, value.values()))
    raise TypeError(f"no check for annotation {hint}")


def _expected(hint: Any) -> str:
    if hint in _EXPECTED:
        return _EXPECTED[hint]
    if get_origin(hint) in (Union, types.UnionType):
        return " or ".join(_expected(argument) for argument in get_args(hint))
    return (
        hint.__name__ if isinstance(hint, type) and not get_args(hint) else str(hint).replace("typing.", "")
    )


def _types(hint: Any) -> frozenset[type]:
    """Return the types whose values need no further check under this annotation."""
    if get_origin(hint) in (Union, types.UnionType):
        return frozenset[type]().union(*map(_types, get_args(hint)))
    return frozenset(_TYPES_ACCEPTED.get(hint, ()))


def _rules(record_type: type) -> _Rules:
    declared = get_type_hints(record_type, include_extras=True)
    optional = {name: get_args(hint)[0] for name, hint in declared.items() if get_origin(hint) is NotRequired}
    hints = declared | optional
    return _Rules(
        frozenset(declared.keys() - optional.keys()),
        {name: _Rule(_types(hint), _checker(hint), _expected(hint)) for name, hint in hints.items()},
    )


_RULES: dict[str, _Rules] = {kind: _rules(record_type) for kind, record_type in schema.TYPES.items()}
