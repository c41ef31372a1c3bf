"""Suppressions: read as the runtime reads them, and what is wrong with each."""

from __future__ import annotations

from pathlib import Path

import pytest

from stress.model.shipped import shipped
from stress.sanitizer import suppressions
from stress.sanitizer.suppressions import Suppression
from stress.sanitizer.suppressions import SuppressionsError

UNDER_TEST = ("Pool::next()", "/src/harness/pool.cpp", "/usr/include/c++/12/vector", "mps-harness")


def problems(tmp_path: Path, text: str) -> list[str]:
    path = tmp_path / "suppressions.txt"
    path.write_text(text)
    return suppressions.problems(suppressions.read(path), UNDER_TEST)


@pytest.mark.parametrize(
    ("template", "text", "matches"),
    [
        ("inc", "/usr/include/x.h", True),  # the trap: meant was a function `inc`
        ("^inc$", "/usr/include/x.h", False),
        ("^inc(*$", "inc(int*)", True),
        ("^Pool::*::take$", "Pool::Slot::take", True),
        ("pool.cpp$", "/src/pool.cpp", True),
        ("pool.cpp$", "/src/pool_cpp.h", False),
        ("^a.b$", "axb", False),
    ],
)
def test_a_template_matches_as_in_the_runtime(template: str, text: str, matches: bool) -> None:
    assert Suppression(1, "race", template, "").matches(text) is matches


class TestProblems:
    def test_none(self, tmp_path: Path) -> None:
        text = "# The library's own: https://example.org/1\nrace_top:^other_library_function(*$\n"
        assert problems(tmp_path, text) == []

    def test_no_reason(self, tmp_path: Path) -> None:
        (text,) = problems(tmp_path, "race_top:^f$\n")
        assert text == "suppression race_top:^f$ (line 1): the comment above it gives no reason and no link"

    def test_no_link(self, tmp_path: Path) -> None:
        (text,) = problems(tmp_path, "# It is noisy.\nrace_top:^f$\n")
        assert "gives no link" in text

    def test_a_reason_belongs_to_the_entry_below_it_alone(self, tmp_path: Path) -> None:
        (text,) = problems(tmp_path, "# Fine: https://example.org/1\nrace_top:^f$\nrace_top:^g$\n")
        assert "race_top:^g$" in text

    def test_not_anchored_and_matching_our_own_code(self, tmp_path: Path) -> None:
        texts = problems(tmp_path, "# Fine: https://example.org/1\nrace:inc\n")
        assert ["not anchored" in texts[0], "/usr/include/c++/12/vector" in texts[1]] == [True, True]

    def test_an_unknown_kind(self, tmp_path: Path) -> None:
        (text,) = problems(tmp_path, "races:^f$\n")
        assert "unknown kind; known are race, race_top" in text


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(SuppressionsError, match="cannot be read"):
        suppressions.read(tmp_path / "none.txt")


def test_the_shipped_file_has_none() -> None:
    assert suppressions.read(shipped("tsan", "suppressions.txt")) == []
