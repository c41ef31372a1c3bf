"""Check records with their published JSON Schema, by a library that knows nothing of this project."""

from __future__ import annotations

import functools
import json
from collections.abc import Iterable
from collections.abc import Iterator
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.protocols import Validator

from tools import record_schema


@functools.cache
def validator() -> Validator:
    return Draft202012Validator(json.loads(record_schema.FILE.read_text()))


def assert_valid(records: Iterable[Mapping[str, Any]]) -> None:
    """Fail with the first record that the schema refuses, and why."""
    for record in records:
        problem = _problem(record)
        assert not problem, f"{problem}: {record}"


def problems(folder: Path) -> Iterator[str]:
    """Yield what the schema refuses in the records of the runs below a folder, and where it stands."""
    for path in sorted(folder.glob("**/runs/*/*.jsonl")):
        for number, line in enumerate(path.read_text(errors="replace").splitlines(), 1):
            try:
                record = json.loads(line)
            except ValueError:  # cut off, where a test has killed the one who wrote it
                continue
            if problem := _problem(record):
                yield f"{path}:{number}: {problem}"


def _problem(record: Mapping[str, Any]) -> str:
    """Return what the schema refuses, and where in the record; empty where it is valid."""
    error = next(validator().iter_errors(record), None)
    return f"{'/'.join(map(str, error.absolute_path))}: {error.message}" if error is not None else ""
