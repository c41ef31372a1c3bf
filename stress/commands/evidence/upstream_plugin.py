"""A pytest plugin that journals which test runs, so that a crash names its test. Runs in any interpreter with pytest.

It is copied into a separate folder and imports nothing of this project: the stock torch's environment has no
mps-stress, and must not be given ours, whose site-packages hold another torch.
"""

from __future__ import annotations

import json
import os
import sys

import pytest

JOURNAL_VARIABLE = "MPS_STRESS_UPSTREAM_JOURNAL"
DONE_VARIABLE = "MPS_STRESS_UPSTREAM_DONE"


def _write(**data: object) -> None:
    line = json.dumps(data).encode("ascii") + b"\n"
    journal = os.open(os.environ[JOURNAL_VARIABLE], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        os.write(journal, line)
    finally:
        os.close(journal)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what has run already: this session goes on where the last one died."""
    with open(os.environ[DONE_VARIABLE], encoding="utf-8") as file:
        done = set(json.load(file))
    left = [item for item in items if item.nodeid not in done]
    config.hook.pytest_deselected(items=[item for item in items if item.nodeid in done])
    torch = sys.modules.get("torch")
    version = getattr(torch, "version", None)
    _write(
        event="collected",
        tests=len(items),
        torch={
            "version": str(getattr(torch, "__version__", "")),
            "git": getattr(version, "git_version", None),
            "file": getattr(torch, "__file__", None),
        },
    )
    items[:] = left


def pytest_runtest_logstart(nodeid: str) -> None:
    _write(event="start", test=nodeid)


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Write the outcome of a test: that of its call, or of what kept it from being called."""
    if report.when == "call" or report.outcome != "passed":
        crash = getattr(report.longrepr, "reprcrash", None)
        _write(
            event="end",
            test=report.nodeid,
            outcome=report.outcome,
            text=str(getattr(crash, "message", ""))[:500],
        )
