"""Which configurations are tried, for scenarios whose failures follow a known rule."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from stress.commands.minimise.candidates import Axes
from stress.commands.minimise.candidates import Candidate
from stress.commands.minimise.candidates import described
from stress.commands.minimise.candidates import simpler
from stress.commands.replay.repetition import Configuration
from stress.commands.replay.resolve import Resolved
from stress.commands.replay.resolve import resolve_name

SOURCE = """\
from stress import Scenario
from stress.scenario.sequences.generated import GeneratedScenario

class Plain(Scenario):
    params = {"size": [64, 4, 16], "kind": ["a", "b"]}
    iterations = 40
    def step(self, state, x):
        return 1

class Waves(Plain):
    params = {}
    waves = ((4, 10), (8, 10), (2, 10), (8, 10))

class Sequence(GeneratedScenario):
    reducible = ("ops",)
    ops = ("a", "b", "c", "d", "e", "f", "g")
    iterations = 1
    def step(self, state, x):
        return 1
"""


@pytest.fixture
def resolved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Resolved]:
    monkeypatch.setattr(sys, "path", [*sys.path])
    name = f"subject_{tmp_path.name}"
    (tmp_path / f"{name}.py").write_text(SOURCE)
    return lambda text: resolve_name(f"{name}.py::{text}", tmp_path, 16)


def walk(
    what: Resolved, fails: Callable[[Configuration], bool], **changes: Any
) -> tuple[Configuration, list[Candidate]]:
    """Return the smallest case that still fails, and all that were tried."""
    tried: list[Candidate] = []

    def attempt(candidate: Candidate) -> bool:
        tried.append(candidate)
        return fails(candidate.case)

    case = replace(Configuration(what.ref, 16, None, "op", "low", "digest"), **changes)
    axes = Axes(what, case, "cpu", attempt)
    axes.walk()
    return axes.case, tried


class TestAxes:
    def test_everything_may_go(self, resolved: Callable[[str], Resolved]) -> None:
        what = resolved("Plain")
        case, _ = walk(what, lambda case: True)
        assert described(what, case, "cpu") == (
            "2 threads, 1 iteration, perturbation none, read back end, size 4, kind a"
        )

    def test_nothing_may_go(self, resolved: Callable[[str], Resolved]) -> None:
        what = resolved("Plain")
        case, tried = walk(what, lambda case: False)
        assert case == Configuration(what.ref, 16, None, "op", "low", "digest")
        assert [one.text for one in tried][:5] == [
            "no perturbation",
            "outputs read back at the end",
            "outputs read back after every step",
            "2 threads",
            "4 threads",
        ]

    def test_threads_and_iterations_are_searched(self, resolved: Callable[[str], Resolved]) -> None:
        case, _ = walk(resolved("Plain"), lambda case: case.threads >= 3 and (case.iterations or 40) >= 9)
        assert case.threads == 4
        assert case.iterations is not None
        assert 9 <= case.iterations <= 14

    def test_completion_of_a_core(self, resolved: Callable[[str], Resolved]) -> None:
        what, delayed = resolved("Plain"), {"completion": "delayed"}
        case, tried = walk(what, lambda case: True, **delayed)
        assert (case.completion, tried[0].text) == ("in_order", "completion in order")
        case, _ = walk(what, lambda case: case.completion == "delayed", **delayed)
        assert described(what, case, "core") == (
            "2 threads, 1 iteration, perturbation none, read back end, completion delayed, size 4, kind a"
        )

    def test_waves(self, resolved: Callable[[str], Resolved]) -> None:
        case, _ = walk(resolved("Waves"), lambda case: len(case.overrides.get("waves", [0] * 4)) >= 2)
        assert case.overrides["waves"] == [[2, 10], [2, 10]]

    def test_operators_of_a_sequence(self, resolved: Callable[[str], Resolved]) -> None:
        needed = {"c", "f"}
        case, tried = walk(
            resolved("Sequence"), lambda case: needed <= set(case.overrides.get("ops", "abcdefg"))
        )
        assert case.overrides["ops"] == ["c", "f"]
        assert "ops without a, b, c" in [one.text for one in tried]


class TestSimpler:
    def test_numbers(self) -> None:
        assert list(simpler([64, 4, 16, 128], 0, "size")) == [1, 2]
        assert list(simpler([True, False], 0, "flag")) == []

    def test_dtypes(self) -> None:
        torch = pytest.importorskip("torch")
        values = [torch.float16, torch.float32, torch.bfloat16]
        assert list(simpler(values, 2, "dtype")) == [1]
        assert list(simpler(values, 1, "dtype")) == []

    def test_texts_are_left_alone(self) -> None:
        assert list(simpler(["a", "b"], 1, "kind")) == []
