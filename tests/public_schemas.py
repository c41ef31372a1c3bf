"""The public schemas that reports are checked with: none is ours to ship, so they are downloaded once for a checkout.

They come out of archives of a fixed version, whose SHA-256 is checked.
"""

from __future__ import annotations

import functools
import hashlib
import io
import tarfile
import urllib.request
from dataclasses import dataclass
from pathlib import Path

import pytest

_TIMEOUT_S = 30.0


class NotHad(Exception):
    """A schema cannot be had here; the text is one sentence."""


@dataclass(frozen=True)
class Schema:
    """A file of an archive."""

    name: str
    archive: str
    sha256: str
    member: str


JUNIT = Schema(
    "junit-10.xsd",
    "https://files.pythonhosted.org/packages/a3/5c/00a0e072241553e1a7496d638deababa67c5058571567b92a7eaa258397c/pytest-8.4.2.tar.gz",
    "86c0d0b93306b961d58d62a4db4879f27fe25513d4b969df351abdddb3c30e01",
    "pytest-8.4.2/testing/example_scripts/junit-10.xsd",
)
"""The schema of Jenkins' xUnit plugin, which pytest checks its own reports with."""
CTRF = Schema(
    "ctrf-schema.json",
    "https://registry.npmjs.org/ctrf/-/ctrf-0.0.17.tgz",
    "b28f50a50d4a969e69ee8a1b34352b9053d3d1f2342871691dc8a88554fd80a8",
    "package/dist/ctrf-schema.json",
)
"""The last version of the schema for CTRF 0.0, which pytest-json-ctrf writes."""
SARIF = Schema(
    "sarif-schema-2.1.0.json",
    "https://files.pythonhosted.org/packages/b6/78/a361e0f8e4758a8cf7aa0f1df7651c317d0eef2528436bc804d1ab5dae8c/sarif_pydantic-0.6.2.tar.gz",
    "634df2784533fcac8e86f0c60a0e45ead1d35452dc2331d32596275595906e7f",
    "sarif_pydantic-0.6.2/sarif-schema-2.1.0.json",
)
"""OASIS's schema, as a package that is made from it has it."""


def fetch(schema: Schema, folder: Path) -> Path:
    """Return the file below the folder, downloaded where it is missing; raise `NotHad`."""
    path = folder / schema.name
    if path.is_file():
        return path
    try:
        with urllib.request.urlopen(schema.archive, timeout=_TIMEOUT_S) as answer:
            archive = answer.read()
    except OSError as error:
        raise NotHad(f"{schema.archive} cannot be read: {error}") from None
    if hashlib.sha256(archive).hexdigest() != schema.sha256:
        raise NotHad(f"{schema.archive} is not the archive that was looked at: its SHA-256 differs")
    with tarfile.open(fileobj=io.BytesIO(archive)) as opened:
        member = opened.extractfile(schema.member)
        assert member is not None, "the archive is the one that was looked at"
        text = member.read()
    folder.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    part.write_bytes(text)
    part.replace(path)
    return path


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
