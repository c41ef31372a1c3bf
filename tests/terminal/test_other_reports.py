"""Reports that other plugins write of our items: Allure's results and CTRF's JSON, with nothing done for either."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance import run_in
from tests.terminal.test_github import SOURCE


@pytest.fixture
def reports(tmp_path: Path) -> Path:
    """Run a scenario that passes and one that crashes, with both plugins, and return the folder of their reports."""
    pytest.importorskip("allure_pytest")
    pytest.importorskip("ctrf")
    given = ["--alluredir=allure", "--ctrf=ctrf.json", "--mps-attempts=1", "--mps-threads=2"]
    run_in(tmp_path, SOURCE, *given)
    return tmp_path


def test_both_have_verdicts_times_and_the_failure(reports: Path) -> None:
    allure = {}
    for path in (reports / "allure").glob("*-result.json"):
        one = json.loads(path.read_text())
        allure[one["name"]] = one
    assert {name: one["status"] for name, one in allure.items()} == {
        "Fine[t2]": "passed",
        "Aborts[t2]": "broken",
    }
    crashed = allure["Aborts[t2]"]
    assert crashed["stop"] > crashed["start"]
    assert "CRASH SIGABRT in 1 of 1 attempts" in crashed["statusDetails"]["message"]

    results: dict[str, Any] = json.loads((reports / "ctrf.json").read_text())["results"]
    assert (results["summary"]["passed"], results["summary"]["failed"]) == (1, 1)
    statuses = {one["name"].rpartition("::")[2]: one["status"] for one in results["tests"]}
    assert statuses == {"Fine[t2]": "passed", "Aborts[t2]": "failed"}
