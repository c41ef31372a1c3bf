"""Reports of our items in formats that others define: Allure's, CTRF's and JUnit's, with nothing done for the first two."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft7Validator

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


SCHEMAS = Path(__file__).with_name("schemas")


def test_junit_is_valid_by_the_schema_that_jenkins_has(tmp_path: Path) -> None:
    """A pass and a crash. That schema knows properties of suites alone: those of a case are pytest's own extension."""
    xmlschema = pytest.importorskip("xmlschema")
    given = ["--junitxml=junit.xml", "-o", "junit_family=xunit2", "--mps-attempts=1", "--mps-threads=2"]
    run_in(tmp_path, SOURCE, *given)
    report = (tmp_path / "junit.xml").read_text()
    assert 'name="mps_verdict" value="crash"' in report
    refused = [one.reason for one in xmlschema.XMLSchema(SCHEMAS / "junit-10.xsd").iter_errors(report)]
    assert refused == ["Unexpected child with tag 'properties' at position 1."] * 2


def test_ctrf_is_valid_by_its_own_schema(tmp_path: Path) -> None:
    pytest.importorskip("ctrf")
    given = ["--ctrf=ctrf.json", "--mps-attempts=1", "--mps-threads=2"]
    run_in(tmp_path, SOURCE, *given)
    report = json.loads((tmp_path / "ctrf.json").read_text())
    errors = list(
        Draft7Validator(json.loads((SCHEMAS / "ctrf-schema-0.0.json").read_text())).iter_errors(report)
    )
    assert not errors, [(list(one.absolute_path), one.message[:200]) for one in errors]
