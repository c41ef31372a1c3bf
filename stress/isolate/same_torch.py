"""Whether children import the torch that this process does: results of another build say nothing about it."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Mapping
from pathlib import Path


def difference(of_children: Mapping[str, object]) -> str | None:
    """Return how the torch of this process differs from the one that a child has imported; None where it does not.

    `of_children` is a child's fingerprint. Here torch need not be imported: then it is the one that would be.
    """
    file, version = _torch_here()
    there = str(of_children.get("file"))
    if file is None or (_same_file(file, there) and version in (None, of_children.get("version"))):
        return None
    told = f"torch {version}, {file}" if version is not None else file
    return (
        f"this process imports {told}, but child processes, in which scenarios run, import "
        f"torch {of_children.get('version')}, {there}: install the one to test, or put its folder first in PYTHONPATH, "
        "so that every interpreter finds it"
    )


def _torch_here() -> tuple[str | None, str | None]:
    """Return file and version; no version where torch is not imported yet, and no file where there is none."""
    loaded = sys.modules.get("torch")
    if loaded is not None:
        return getattr(loaded, "__file__", None), str(getattr(loaded, "__version__", None))
    try:
        spec = importlib.util.find_spec("torch")
    except ValueError:
        return None, None
    return (spec.origin if spec is not None else None), None


def _same_file(one: str, other: str) -> bool:
    return Path(one).resolve() == Path(other).resolve()
