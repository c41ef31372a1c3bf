"""One row for each verdict: whatever shows one reads the row."""

from __future__ import annotations

import itertools
import pickle
from pathlib import Path
from typing import get_args

import pytest
from rich.style import Style

from stress.commands.report.style import STYLE
from stress.model.verdict import PageClass
from stress.model.verdict import Verdict
from stress.model.verdict import word_of
from stress.model.verdict import worst

ROOT = Path(__file__).parents[2]


def test_a_row_is_whole_or_cannot_be_imported() -> None:
    source = (ROOT / "stress" / "model" / "verdict.py").read_text()
    head = '    PASS = "pass", '
    assert head in source
    exec(compile(source, "verdict", "exec"), {"__name__": "whole"})
    for row in ('LEAK = "leak"', 'LEAK = "leak", "LEAK", "failure", "L", "red", "bad"'):
        with pytest.raises(TypeError, match="missing"):
            exec(compile(source.replace(head, f"    {row}\n{head}"), "verdict", "exec"), {"__name__": "half"})


@pytest.mark.parametrize("verdict", Verdict)
def test_what_a_row_names_exists(verdict: Verdict) -> None:
    assert Style.parse(verdict.color).color is not None
    assert f".{verdict.page_class}{{" in STYLE
    assert verdict.word.isupper()
    assert len(verdict.letter) == 1
    assert verdict.meaning


def test_letters_words_and_meanings_tell_verdicts_apart() -> None:
    for field in ("letter", "word", "meaning"):
        assert len({getattr(one, field) for one in Verdict}) == len(Verdict), field
    assert {one.page_class for one in Verdict} == set(get_args(PageClass))


def test_a_verdict_stays_a_string() -> None:
    assert str(Verdict.CRASH) == f"{Verdict.CRASH}" == "crash"
    assert Verdict("crash") is Verdict.CRASH
    assert pickle.loads(pickle.dumps(Verdict.CRASH)) is Verdict.CRASH


def test_a_finding_about_the_device_wins() -> None:
    for bad, other in itertools.product(Verdict, Verdict):
        if bad.is_failure and not other.is_failure:
            assert worst([other, bad]) is worst([bad, other]) is bad
    assert worst([Verdict.OOM, Verdict.PASS]) is Verdict.OOM
    assert worst([Verdict.CRASH, Verdict.RACE]) is Verdict.CRASH
    with pytest.raises(ValueError, match="empty"):
        worst([])


@pytest.mark.parametrize(
    ("verdict", "signal", "is_canary", "word"),
    [
        (None, None, False, "NO END"),
        (Verdict.PASS, None, False, "PASSED"),
        (Verdict.CRASH, "SIGABRT", False, "CRASH SIGABRT"),
        (Verdict.CRASH, "", False, "CRASH"),
        (Verdict.MISMATCH, "SIGABRT", False, "MISMATCH"),
        (Verdict.RACE, None, True, "CANARY FOUND"),
        (Verdict.CRASH, "SIGABRT", True, "CANARY FOUND"),
        (Verdict.PASS, None, True, "CANARY MISSED"),
        (Verdict.BROKEN, None, True, "BROKEN"),
        (None, None, True, "NO END"),
    ],
)
def test_words(verdict: Verdict | None, signal: str | None, is_canary: bool, word: str) -> None:
    assert word_of(verdict, signal=signal, is_canary=is_canary) == word
