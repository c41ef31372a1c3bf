"""Find the recipes of native programs among pytest's arguments. Imported in every run, so it imports little."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

FOLDER = "tsan"
SUFFIX = ".toml"


def recipes_in(config: pytest.Config) -> list[Path]:
    """Return the recipes that the arguments name, by file or by folder."""
    found: list[Path] = []
    for path in _paths(config):
        if path.is_dir() and path.name == FOLDER:
            found += sorted(path.glob(f"*{SUFFIX}"))
        elif path.suffix == SUFFIX and path.is_file():
            found.append(path)
    return list(dict.fromkeys(found))


def only_native(config: pytest.Config) -> bool:
    """Whether only native programs are asked for, so that no torch device is needed."""
    paths = _paths(config)
    return bool(paths) and all(
        path.suffix == SUFFIX or (path.is_dir() and path.name == FOLDER) for path in paths
    )


def _paths(config: pytest.Config) -> Sequence[Path]:
    base = config.invocation_params.dir
    return [(base / one.partition("::")[0]).resolve() for one in config.args]
