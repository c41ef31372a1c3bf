"""The hooks for others: `pytest_mps_scenarios`, `pytest_mps_classify`, `pytest_mps_record`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from stress.plugin.hookspecs import pytest_mps_classify
from stress.plugin.hookspecs import pytest_mps_record
from stress.plugin.hookspecs import pytest_mps_scenarios
from tests.acceptance import Ran
from tests.acceptance import run_in

CONFTEST = """
import json
from pathlib import Path

HERE = Path(__file__).parent

def pytest_mps_scenarios(config):
    assert config.getoption("mps_threads") == "2"
    return [HERE / "more" / "added.py", HERE / "scenarios"]

def pytest_mps_classify(attempt, stderr):
    assert attempt["verdict"] not in ("pass", "interesting")
    if "our own assertion" in stderr:
        return "mine/" + attempt["verdict"]

def pytest_mps_record(record):
    with open(HERE / "seen", "a") as file:
        file.write(json.dumps(record, default=str) + "\\n")
"""
LOCAL = """
class Local(Scenario):
    iterations = 1
    def step(self, state, x):
        return torch.ones(2) * stress.current().thread_index
"""
ADDED = """
import os, threading
import torch
import stress
from stress import Scenario

class Added(Scenario):
    iterations = 1
    def step(self, state, x):
        if sum(one.name.startswith("crew") for one in threading.enumerate()) > 1:
            os.write(2, b"our own assertion failed\\n")
            os.abort()
        return torch.ones(2) * stress.current().thread_index

class Named(Scenario):
    iterations = 1
    def step(self, state, x):
        if sum(one.name.startswith("crew") for one in threading.enumerate()) > 1:
            os.write(2, b"failed assertion `A command encoder is already encoding to this command buffer'\\n")
            os.abort()
        return torch.ones(2) * stress.current().thread_index
"""


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Ran:
    folder = tmp_path_factory.mktemp("hooks")
    (folder / "conftest.py").write_text(CONFTEST)
    (folder / "more").mkdir()
    (folder / "more" / "added.py").write_text(ADDED)
    return run_in(folder, LOCAL, "--mps-threads=2", "--mps-attempts=1")


class TestAddedScenarios:
    def test_run_beside_the_local_ones_each_once(self, ran: Ran) -> None:
        assert [one["item"] for one in ran.records if one["kind"] == "item"] == [
            "scenarios/subject.py::Local[t2]",
            "more/added.py::Added[t2]",
            "more/added.py::Named[t2]",
        ]


class TestAClassifiedFailure:
    def test_has_its_name_in_record_and_block(self, ran: Ran) -> None:
        (end,) = ran.ends("Added[t2]")
        assert end["signature"] == "mine/crash"
        assert "signature: mine/crash" in ran.text

    def test_falls_back_to_the_known_signatures(self, ran: Ran) -> None:
        (end,) = ran.ends("Named[t2]")
        assert end["signature"] == "metal/encoder-overlap"


class TestSeenRecords:
    def test_are_all_of_them_as_written(self, ran: Ran) -> None:
        assert ran.folder is not None
        seen: list[dict[str, Any]] = [
            json.loads(line) for line in (ran.folder.parents[2] / "seen").read_text().splitlines()
        ]
        assert {one["kind"] for one in seen} == {"run", "attempt_start", "attempt_end", "item", "run_end"}
        assert len(seen) == len(ran.records)
        for one, record in zip(seen, ran.records, strict=True):
            assert {key: record[key] for key in ("kind", "run")} == {key: one[key] for key in ("kind", "run")}
            assert record.get("item") == one.get("item")
            assert record.get("verdict") == one.get("verdict")


class TestAHookThatRaises:
    def test_ends_the_item_with_its_own_trace_and_not_the_run(self, tmp_path: Path) -> None:
        (tmp_path / "conftest.py").write_text(
            "def pytest_mps_record(record):\n    if record['kind'] == 'attempt_end':\n        raise ValueError('my own mistake')\n"
        )
        ran = run_in(tmp_path, LOCAL, "--mps-attempts=1")
        assert ran.result.ret == pytest.ExitCode.TESTS_FAILED
        assert "ValueError: my own mistake" in ran.text
        assert "INTERNALERROR" not in ran.text
        assert ran.records[-1]["kind"] == "run_end"


class TestTheirDocumentation:
    @pytest.mark.parametrize("hook", [pytest_mps_scenarios, pytest_mps_classify, pytest_mps_record])
    def test_says_when_they_are_called_or_what_they_see(self, hook: Any) -> None:
        assert hook.__doc__
        assert "Called" in hook.__doc__ or "See every" in hook.__doc__
