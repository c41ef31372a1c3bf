"""Check records with their published JSON Schema, by a library that knows nothing of this project."""

from __future__ import annotations

import functools
import json
from collections.abc import Iterable
from collections.abc import Mapping
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
        error = next(validator().iter_errors(record), None)
        assert error is None, f"{'/'.join(map(str, error.absolute_path))}: {error.message}: {record}"
