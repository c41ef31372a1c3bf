"""The closing table loses nothing, however narrow the terminal."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from stress.model.verdict import Verdict
from stress.plugin.terminal.item_row import ItemRow
from stress.plugin.terminal.table import NO_CANARY
from stress.plugin.terminal.table import closing_table
from stress.plugin.terminal.table import note_lines
from stress.plugin.terminal.table import sentences


def row(item: str, verdict: Verdict = Verdict.PASS, **changes: Any) -> ItemRow:
    fields = {"word": verdict.word, "counted": 20, "failures": 0, "headline": "", "simulated": False}
    return ItemRow(item=f"scenarios/op_pairs.py::{item}", verdict=verdict, **{**fields, **changes})


ROWS = [
    row("ProjectionThenAttention[strided-float16-t8]", notes=("other kernel path: near",)),
    row("Wrong[t8]", Verdict.MISMATCH, failures=3, controls=20, signature="metal/x"),
    row(
        "Odd[t8]",
        Verdict.INCONCLUSIVE,
        counted=0,
        headline="a reason " * 9 + "that ends",
    ),
    row("Planted[t8]", word="CANARY FOUND", canary=True, failures=20),
]


class TestClosingTable:
    @pytest.mark.parametrize("color", [False, True])
    @pytest.mark.parametrize("width", [20, 80, 200])
    def test_every_item_its_verdict_and_rate_are_shown(self, width: int, color: bool) -> None:
        lines = [line.rstrip() for line in closing_table(ROWS, width=width, color=color).splitlines()]
        text = "".join("".join(lines).split())
        for needed in (
            "ProjectionThenAttention[strided-float16-t8]"[: None if not color else 23],
            "MISMATCH",
            "3/20",
            "1.3-47.5%",
            "onethread0/20",
            "metal/x",
            "below13.9%",
            "thatends",
            "CANARYFOUND",
        ):
            assert needed in text, text

    def test_a_plain_table_is_not_folded_to_the_default_80_columns(self) -> None:
        assert " ProjectionThenAttention[strided-float16-t8]  PASSED" in closing_table(
            ROWS, width=80, color=False
        )

    def test_the_sentences_claim_what_the_attempts_allow(self) -> None:
        assert sentences(ROWS) == [
            "1 item: 0 of 20 attempts failed; a failure rate below 13.9 % cannot be excluded (95 %)",
            "1 of 3 items failed, 1 could not be decided",
            "canaries found: 1 of 1",
        ]
        assert sentences(ROWS[:1])[-1] == (
            "no planted fault was run, so nothing shows that one would have been found: add the shipped scenarios/canary.py"
        )

    def test_an_accepted_failure_is_no_clean_attempt(self) -> None:
        accepted = row("Allowed[t8]", counted=20, failures=20)
        assert sentences([accepted]) == [NO_CANARY]
        assert "77.6-100.0 %; acceptable" in closing_table([accepted], width=100, color=False)

    def test_notes_are_counted(self) -> None:
        assert note_lines(ROWS) == ["note, 1 item: other kernel path: near"]

    def test_a_row_survives_the_way_from_a_worker(self) -> None:
        sent = row("Wrong[t8]", Verdict.CRASH, notes=("one", "two"), tsan={"suppressed": {"x": 1}})
        assert ItemRow.from_data(json.loads(json.dumps(sent.to_data()))) == sent

    def test_the_usual_run_fits_a_screen_and_shows_what_failed_or_changed(self) -> None:
        greens = [
            replace(row("Fine"), item=f"scenarios/file{number % 10}.py::Fine{number}[t8]")
            for number in range(150)
        ]
        mended = replace(greens[3], was="CRASH SIGABRT")
        rows = sorted(
            [*greens[:3], mended, *greens[4:], row("Wrong[t8]", Verdict.MISMATCH, failures=3)],
            key=lambda one: one.item,
        )
        lines = closing_table(rows, width=100, color=True).splitlines()
        assert len(lines) <= 24
        text = "\n".join(lines)
        assert "Wrong[t8]" in text
        assert "below 13.9 %; was CRASH SIGABRT" in text
        assert "Fine4[t8]" not in text
        assert "Fine4[t8]" in closing_table(rows, width=100, color=True, fold=False)
