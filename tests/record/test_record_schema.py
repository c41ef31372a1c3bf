"""The schema's own rules: every field has a check, and the README names every kind and field."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from typing import get_args
from typing import get_type_hints

import pytest

from stress.model.verdict import Verdict
from stress.record import schema
from stress.record import schema_check
from stress.record import side_name_error

README = Path(__file__).parents[2] / "results" / "README.md"
RECORD_TYPES: tuple[Any, ...] = get_args(schema.Record)


def test_every_kind_has_a_type() -> None:
    assert {get_args(get_type_hints(each)["kind"]) for each in RECORD_TYPES} == {
        (kind,) for kind in schema.KINDS
    }


@pytest.mark.parametrize("kind", schema.KINDS)
def test_a_record_without_its_fields_is_refused(kind: schema.Kind) -> None:
    assert schema_check.check({"kind": kind}) is not None


def test_all_verdicts_are_accepted() -> None:
    item = {
        "v": 1,
        "kind": "item",
        "run": "r",
        "time": 1,
        "item": "i",
        "seconds": 1,
        "attempts": 1,
        "counted": 1,
    }
    for verdict in Verdict:
        assert schema_check.check({**item, "failures": 0, "verdicts": {}, "verdict": verdict.value}) is None


@pytest.mark.parametrize("kind", ["lunch", None, 3, ["run"]])
def test_check_refuses_unknown_kinds(kind: object) -> None:
    with pytest.raises(ValueError, match="unknown kind"):
        schema_check.check({"kind": kind})


@pytest.mark.parametrize("name", ["a17.stderr", "m2pro-4711-1795166220000-1.ips", "x_y+z.txt"])
def test_plain_names(name: str) -> None:
    assert side_name_error(name) is None


@pytest.mark.parametrize("record_type", RECORD_TYPES)
def test_the_readme_names_every_field(record_type: Any) -> None:
    text = README.read_text(encoding="utf-8")
    missing = [name for name in record_type.__annotations__ if f"`{name}`" not in text]
    assert missing == []
