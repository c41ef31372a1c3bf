"""A checkout that is not installed has the plugin all the same: `pytest --mps-threads=8` in a fresh clone.

pytest loads this file before it parses the command line, wherever in the checkout it is started, and puts this folder on
`sys.path`, so that `stress` can be imported. Installed, the plugin comes by its entry point, and nothing is left to do here.
"""

from __future__ import annotations

import importlib
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent


def pytest_addoption(pluginmanager: pytest.PytestPluginManager) -> None:
    """Register what pyproject.toml has as entry points, under their names: `-p no:NAME` holds here, too."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    for name, module in project["entry-points"]["pytest11"].items():
        if not pluginmanager.has_plugin(name) and not pluginmanager.is_blocked(name):
            pluginmanager.register(importlib.import_module(module), name)
