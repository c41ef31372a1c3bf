"""What a harness prints, read as the output of a program that may be broken."""

from __future__ import annotations

import json
from typing import Any

import pytest

from stress.sanitizer.native.listing import ListingError
from stress.sanitizer.native.listing import read_listing
from stress.sanitizer.native.listing import read_told

CASE = {"kind": "case", "name": "pool", "about": "", "platforms": ["simulated"], "threads_min": 2}
CONTROLS = [{"kind": "control", "name": name} for name in ("canary", "canary_history", "guarded_twin")]
FAULT = {"kind": "fault", "name": "unlocked", "case": "pool", "detector": "tsan", "about": ""}


def lines(*objects: dict[str, Any]) -> str:
    return "".join(json.dumps(one) + "\n" for one in objects)


def test_a_list() -> None:
    listing = read_listing(lines(CASE, *CONTROLS, FAULT, {"kind": "of a later version", "name": "x"}))
    assert listing.require_case("pool").threads_min == 2
    assert listing.require_fault("unlocked").detector == "tsan"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "--list names no case"),
        ("junk\n\x00\n", "--list names no case"),
        (
            lines(CASE),
            "names no control canary, canary_history, guarded_twin, without which no result can be trusted",
        ),
        (lines(CASE, *CONTROLS, {**FAULT, "detector": "luck"}), "fault unlocked has detector 'luck'"),
        (lines(CASE, *CONTROLS, {**FAULT, "case": "none"}), "and case 'none'"),
        (lines({**CASE, "platforms": None}), "a line of --list cannot be read"),
        (lines({"kind": "case"}), "a line of --list cannot be read"),
    ],
)
def test_a_list_that_cannot_be_used(text: str, problem: str) -> None:
    with pytest.raises(ListingError, match=problem):
        read_listing(text)


@pytest.mark.parametrize("field", ["operations", "violations", "struck"])
@pytest.mark.parametrize("value", [None, "7", -1, True, [1]])
def test_numbers_that_are_none_count_as_nothing(field: str, value: object) -> None:
    told = read_told(lines({"kind": "end", field: value}))
    assert (told.operations, told.violations_total, told.struck) == (0, 0, 0)


def test_violations_beyond_those_printed_are_counted() -> None:
    told = read_told(
        lines({"kind": "violation", "invariant": "i", "text": "t"}, {"kind": "end", "violations": 30})
    )
    assert (told.violations, told.violations_total) == (("i: t",), 30)
