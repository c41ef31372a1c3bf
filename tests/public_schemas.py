"""The public schemas that reports are checked with: none is ours to ship, so they are downloaded once for a checkout."""

from __future__ import annotations

import functools
from pathlib import Path

import pytest

from tools.fetch_schemas import NotHad
from tools.fetch_schemas import Schema
from tools.fetch_schemas import fetch


@functools.cache
def _fetched(schema: Schema) -> str | NotHad:
    try:
        return fetch(schema, Path(__file__).parents[1] / "build" / "schemas").read_text()
    except NotHad as error:
        return error


def at_hand(schema: Schema) -> str | None:
    """Return the text of a schema; None where it cannot be downloaded."""
    found = _fetched(schema)
    return found if isinstance(found, str) else None


def public(schema: Schema) -> str:
    """Return the text of a schema; skip the test where it cannot be downloaded."""
    found = _fetched(schema)
    return found if isinstance(found, str) else pytest.skip(str(found))
