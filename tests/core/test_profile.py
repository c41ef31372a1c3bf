"""The profiles: what quick leaves out and what it shortens, and how to ask for it all the same."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from stress.plugin import options
from stress.scenario import scenario
from tests import warm
from tests.acceptance import PROLOGUE

SOURCE = (
    PROLOGUE
    + """
class _One(Scenario):
    iterations = 1
    def step(self, state, x):
        return torch.ones(2) * stress.current().thread_index

class Usual(_One):
    pass

class Long(_One):
    attempts_quick = 2

class Nightly(_One):
    attempts_quick = 0

class Chosen(_One):
    params = {"size": [1, 2], "kind": ["a", "b"]}
    params_quick = {"size": [2]}

class Others(Chosen):
    params = {"width": [1]}
"""
)


@pytest.fixture
def run(tmp_path: Path) -> Callable[..., str]:
    """Return a function: run pytest on the three scenarios and return what it printed."""
    (tmp_path / "scenarios").mkdir()
    (tmp_path / "scenarios" / "subject.py").write_text(SOURCE)

    def run(*args: str) -> str:
        command = warm.command("pytest", "-p", "no:cacheprovider", "--mps-device=cpu", "--mps-threads=2")
        done = subprocess.run(
            [*command, *args], cwd=tmp_path, capture_output=True, text=True, timeout=800, check=False
        )
        return done.stdout

    return run


class TestTheQuickProfile:
    def test_leaves_out_what_belongs_to_the_full_one_and_says_so(self, run: Callable[..., str]) -> None:
        text = run("--collect-only")
        assert "Usual[t2]" in text
        assert "Nightly[t2]" not in text
        assert "mps: 3 slow items deselected; --mps-profile=full runs them" in text

    def test_keeps_the_combinations_that_a_scenario_names(self, run: Callable[..., str]) -> None:
        text = run("--collect-only")
        assert re.findall(r" Chosen\[(\S+)-t2\]", text) == ["2-a", "2-b"]
        assert "Others[1-t2]" in text
        assert len(re.findall(r" Chosen\[", run("--collect-only", "scenarios/subject.py::Chosen"))) == 4

    def test_runs_what_an_argument_names(self, run: Callable[..., str]) -> None:
        assert "Nightly[t2]" in run("--collect-only", "scenarios/subject.py::Nightly")

    def test_makes_fewer_attempts_where_a_scenario_says_so(self, run: Callable[..., str]) -> None:
        text = run("-v")
        assert re.search(r" Long\[t2\] +PASSED +0/2 ", text)
        assert re.search(r" Usual\[t2\] +PASSED +0/5 ", text)


class TestTheFullProfile:
    def test_leaves_nothing_out(self, run: Callable[..., str]) -> None:
        text = run("--collect-only", "--mps-profile=full")
        assert "Nightly[t2]" in text
        assert "Chosen[1-a-t2]" in text
        assert "left to" not in text


class _Long(scenario.Scenario):
    attempts_quick = 2


class _Usual(scenario.Scenario):
    pass


class TestAttempts:
    def test_are_twenty_in_the_full_profile(self, pytester: pytest.Pytester) -> None:
        config = pytester.parseconfigure("--mps-threads=8", "--mps-profile=full")
        settings = options.parse(config)
        assert (settings.attempts_of(_Usual), settings.attempts_of(_Long)) == (20, 20)

    def test_are_those_that_the_user_names(self, pytester: pytest.Pytester) -> None:
        settings = options.parse(pytester.parseconfigure("--mps-threads=8", "--mps-attempts=7"))
        assert (settings.attempts_of(_Usual), settings.attempts_of(_Long)) == (7, 7)

    def test_are_never_more_than_usual(self, pytester: pytest.Pytester) -> None:
        settings = options.parse(pytester.parseconfigure("--mps-threads=8"))
        assert (settings.attempts_of(_Usual), settings.attempts_of(_Long)) == (5, 2)

    def test_must_be_a_number(self) -> None:
        from stress.scenario.declarations import class_problem

        class Wrong(scenario.Scenario):
            attempts_quick = "few"  # type: ignore[assignment]

            def step(self, state: object, x: object) -> int:
                return 0

        assert "attempts_quick is 'few'" in (class_problem(Wrong) or "")


class TestParamsQuick:
    @pytest.mark.parametrize(
        ("given", "told"),
        [
            ({"size": [3]}, "names values of 'size' that params does not have: [3] of [1, 2]"),
            ({"width": [1]}, "names values of 'width' that params does not have: [1] of ()"),
            ({"size": []}, "params_quick of 'size' needs a list of values, at least one"),
            ([1], "params_quick must be a mapping"),
        ],
    )
    def test_must_name_what_is_there(self, given: object, told: str) -> None:
        from stress.scenario.declarations import class_problem

        class Wrong(scenario.Scenario):
            params = {"size": [1, 2]}
            params_quick = given  # type: ignore[assignment]

            def step(self, state: object, x: object) -> int:
                return 0

        assert told in (class_problem(Wrong) or "")
