"""Hooks that other plugins and `conftest.py` may implement. All run in the process that runs the items."""

from __future__ import annotations

from collections.abc import Iterable
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest


@pytest.hookspec
def pytest_mps_scenarios(config: pytest.Config) -> Iterable[Path]:  # type: ignore[empty-body]
    """Return further scenario files or folders for runs without arguments.

    Called once, after the options are parsed and before collection, on the xdist controller or in a plain
    run. The files are imported by path in child processes, which do not load `conftest.py`.

        def pytest_mps_scenarios(config):
            return [Path(__file__).parent / "my_scenarios.py"]
    """


@pytest.hookspec(firstresult=True)
def pytest_mps_classify(attempt: Mapping[str, Any], stderr: str) -> str | None:
    """Return the id of a known failure, or None to leave the naming to others and to `results/known`.

    Called once for every failed attempt, with the `attempt_end` record as far as it is known and what the
    process wrote to file descriptor 2.
    """


@pytest.hookspec
def pytest_mps_record(record: Mapping[str, Any]) -> None:
    """Called with every record of this process right after it is written. Do not change the mapping."""
