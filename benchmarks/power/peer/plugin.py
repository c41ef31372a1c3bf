"""pytest plugin of a peer session: load the device before anything runs, report each test as it ends."""

from __future__ import annotations

import json
import os
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

from benchmarks.power.peer import job
from stress.model.spec import ChildSpec

_JOB = pytest.StashKey[job.Job]()


def pytest_configure(config: pytest.Config) -> None:
    import torch
    import torch._dynamo  # the first operation would import it, which must not count against a test's timeout

    given = job.load(Path(os.environ[job.JOB_VARIABLE]))
    config.stash[_JOB] = given
    torch.set_num_threads(1)  # eight threads with as many helpers each would only wait for one another
    if given.sim is not None:
        from stress.device import preparation

        preparation.prepare(ChildSpec("crew", "", "", "sim", seed=given.seed, sim=given.sim))


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "case" in metafunc.fixturenames:
        cases = metafunc.config.stash[_JOB].cases
        metafunc.parametrize("case", cases, ids=[one.name for one in cases])


@pytest.fixture
def peer_job(pytestconfig: pytest.Config) -> job.Job:
    return pytestconfig.stash[_JOB]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.when == "call" or report.failed:
        error = call.excinfo
        _write(
            item.config.stash[_JOB],
            {
                "test": item.callspec.params["case"].name,  # type: ignore[attr-defined]
                "failed": report.failed,
                "wrong_value": error is not None and error.errisinstance(AssertionError),
                "text": str(error.value)[:500] if error is not None else "",
            },
        )
    return report


def pytest_sessionfinish(session: pytest.Session) -> None:
    _write(session.config.stash[_JOB], {"finished": True})


def _write(given: job.Job, line: dict[str, Any]) -> None:
    with open(given.report, "a") as file:
        file.write(json.dumps(line) + "\n")
