"""The published JSON Schema: made from the code, valid itself, and of one mind with the reader."""

from __future__ import annotations

import copy
import json
import tempfile
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from stress.model.verdict import Verdict
from stress.record import schema
from stress.record import schema_check
from tests.valid_records import problems
from tests.valid_records import validator
from tools import record_schema

COMMON: dict[str, Any] = {"v": 1, "run": "r", "time": 1.5}
ATTEMPT: dict[str, Any] = {"item": "a.py::A[t8]", "role": "crew", "attempt": 0}
SAMPLES: list[dict[str, Any]] = [
    {"kind": "run", "argv": ["x"], "rootdir": "/", "seed": 1, "device": "sim", "simulated": True, "settings": {},
     "environment": {}, "torch": None, "lost": 2, "truncated": ["argv"]},
    {"kind": "attempt_start", **ATTEMPT, "scenario": "A", "params": {"n": 1}, "threads": 8, "iterations": 5, "seed": 1,
     "command": "pytest", "env": {"A": "b"}},
    {"kind": "attempt_end", **ATTEMPT, "verdict": "crash", "seconds": 1, "headline": "", "signal": "SIGABRT",
     "stderr": "a-1.stderr", "reports": ["a.ips"], "strikes": {"fault": 2}, "findings": [{"name": "torn"}]},
    {"kind": "item", "item": "i", "verdict": "pass", "seconds": 1.0, "attempts": 5, "counted": 5, "failures": 0,
     "verdicts": {"pass": 5}},
    {"kind": "journal", "item": "i"},
    {"kind": "measurement", "item": "i", "attempt": 1, "build": "this", "workload": "w", "way": "threads", "count": 1,
     "requests": 3, "seconds": 1.0, "rate_per_s": 3.0, "latency_p50_s": 0.1, "latency_p99_s": None,
     "checking_share": 0.1},
    {"kind": "totals", "item": "i", "role": "crew", "threads": 8, "verdicts": {"pass": 3}, "seconds": 1.0},
    {"kind": "run_end", "seconds": 1.0, "exit_status": None, "verdicts": {}},
]  # fmt: skip
SAMPLES = [{**COMMON, **one} for one in SAMPLES]
OTHER_VALUES: tuple[Any, ...] = (
    None, True, 3, -1.5, "", "text", "../x", "a.jsonl", [], ["a"], [1], [{}], {}, {"a": 1}, {"a": "b"}, *Verdict, "crew",
)  # fmt: skip


def test_is_what_the_code_says() -> None:
    assert record_schema.main(["--check"]) == 0


def test_the_page_has_every_field_of_every_kind() -> None:
    page = record_schema.README.read_text()
    made = page.partition(record_schema.BEGIN)[2].partition(record_schema.END)[0]
    for kind, record_type in schema.TYPES.items():
        of_kind = made.partition(f"\n`{kind}`: ")[2].partition("\n`")[0]
        for field in (
            record_type.__annotations__.keys() - schema.Common.__annotations__.keys() - {"kind", "simulated"}
        ):
            assert f"`{field}`" in of_kind, (kind, field)


def test_is_out_of_date_where_a_table_was_edited(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    edited = tmp_path / "README.md"
    edited.write_text(record_schema.README.read_text().replace("Negative is a signal", "A signal"))
    monkeypatch.setattr(record_schema, "README", edited)
    assert record_schema.main(["--check"]) == 1
    assert record_schema.main(["--write"]) == 0
    assert record_schema.main(["--check"]) == 0


def test_is_a_json_schema() -> None:
    Draft202012Validator.check_schema(json.loads(record_schema.FILE.read_text()))


def test_has_every_kind_and_describes_its_fields() -> None:
    kinds = json.loads(record_schema.FILE.read_text())["$defs"]
    assert kinds.keys() == {*schema.KINDS, "side_file"}
    assert kinds["attempt_end"]["properties"]["signal"]["description"].startswith("Name such as")
    assert kinds["attempt_end"]["properties"]["run"]["description"].startswith("Run id")


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample["kind"])
def test_agrees_with_the_reader_about_every_value_of_every_field(sample: dict[str, Any]) -> None:
    assert schema_check.check(sample) is None
    assert validator().is_valid(sample)
    for field in schema.TYPES[sample["kind"]].__annotations__.keys() - {"v", "kind"}:
        for value in OTHER_VALUES:
            changed = {**copy.deepcopy(sample), field: value}
            assert validator().is_valid(changed) == (schema_check.check(changed) is None), changed
        if field in sample:
            without = {name: value for name, value in sample.items() if name != field}
            assert validator().is_valid(without) == (schema_check.check(without) is None), field


def test_lets_keys_and_kinds_come_that_it_does_not_list() -> None:
    assert validator().is_valid({**SAMPLES[0], "later": 1})
    assert validator().is_valid({**COMMON, "kind": "later"})
    assert not validator().is_valid({**COMMON, "kind": "run_end"})
    assert not validator().is_valid({"kind": "later"})


def test_a_record_that_a_test_leaves_behind_is_refused_with_its_place() -> None:
    # Not in tmp_path, where the session itself looks when it ends.
    with tempfile.TemporaryDirectory() as name:
        file = Path(name) / "results" / "runs" / "r" / "a.jsonl"
        file.parent.mkdir(parents=True)
        good, bad = SAMPLES[0], {**SAMPLES[0], "seed": "one"}
        file.write_text("\n".join([json.dumps(good), json.dumps(bad), json.dumps(good)[:20]]))
        (problem,) = problems(Path(name))
        assert problem.startswith(f"{file}:2: seed: 'one' is not of type")
