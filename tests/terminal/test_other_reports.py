"""Reports of our items in formats that others define: Allure's, CTRF's and JUnit's, with nothing done for the first two."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft7Validator
from junitparser import Failure
from junitparser import xunit2
from xmlschema import XMLSchema

from tests.acceptance import run_in
from tests.public_schemas import CTRF
from tests.public_schemas import JUNIT
from tests.public_schemas import NotHad
from tests.public_schemas import fetch
from tests.public_schemas import public
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


@pytest.fixture(scope="module")
def junit(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the JUnit report of a pass and a crash."""
    given = ["--junitxml=junit.xml", "-o", "junit_family=xunit2", "--mps-attempts=1", "--mps-threads=2"]
    folder = tmp_path_factory.mktemp("junit")
    run_in(folder, SOURCE, *given)
    return folder / "junit.xml"


def test_junit_is_read_by_a_parser_of_others(junit: Path) -> None:
    (suite,) = xunit2.JUnitXml.fromfile(str(junit))
    cases = {str(one.name): xunit2.TestCase.fromelem(one) for one in suite}
    assert cases["Fine[t2]"].is_passed
    assert isinstance(cases["Aborts[t2]"].result[0], Failure)
    verdicts = {
        name: {str(one.name): str(one.value) for one in case.properties()}["mps_verdict"]
        for name, case in cases.items()
    }
    assert verdicts == {"Fine[t2]": "pass", "Aborts[t2]": "crash"}


def test_junit_is_valid_by_the_schema_that_jenkins_has(junit: Path) -> None:
    """That schema knows properties of suites alone: those of a case are pytest's own extension."""
    refused = [one.reason for one in XMLSchema(public(JUNIT)).iter_errors(junit.read_text())]
    assert refused == ["Unexpected child with tag 'properties' at position 1."] * 2


def test_ctrf_is_valid_by_its_own_schema(reports: Path) -> None:
    validator = Draft7Validator(json.loads(public(CTRF)))
    errors = list(validator.iter_errors(json.loads((reports / "ctrf.json").read_text())))
    assert not errors, [(list(one.absolute_path), one.message[:200]) for one in errors]


def test_a_schema_that_is_not_the_one_that_was_looked_at_is_refused(tmp_path: Path) -> None:
    archive = tmp_path / "archive.tgz"
    archive.write_bytes(b"another one")
    with pytest.raises(NotHad, match="its SHA-256 differs"):
        fetch(replace(CTRF, archive=archive.as_uri()), tmp_path)
    with pytest.raises(NotHad, match="cannot be read"):
        fetch(replace(CTRF, archive=(tmp_path / "missing").as_uri()), tmp_path)
