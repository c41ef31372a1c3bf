"""Print the closing table of a recorded run: `python tools/closing_table.py results/runs/RUN`.

`docs/runs.md` is filled with it, so that no number in there was typed by hand.
"""

from __future__ import annotations

import sys
from collections import defaultdict
from pathlib import Path
from typing import Any

from stress.model.verdict import Verdict
from stress.model.verdict import word_of
from stress.plugin.terminal.item_row import ItemRow
from stress.plugin.terminal.table import closing_table
from stress.plugin.terminal.table import note_lines
from stress.plugin.terminal.table import sentences
from stress.record import RunReader

WIDTH = 100


def rows_of(folder: Path) -> list[ItemRow]:
    """Return the table's rows, one per item, from the records in `folder`."""
    notes: dict[str, set[str]] = defaultdict(set)
    attempts: dict[str, dict[str, Any]] = {}
    items: list[dict[str, Any]] = []
    for typed in RunReader(folder):
        record: dict[str, Any] = {**typed}
        if record["kind"] == "attempt_end" and record["role"] == "crew":
            notes[record["item"]].update(record["notes"])
            if record["verdict"] not in (Verdict.PASS, Verdict.INTERESTING):
                attempts.setdefault(record["item"], record)
        elif record["kind"] == "item":
            items.append(record)
    return [_row(item, attempts.get(item["item"]), notes[item["item"]]) for item in items]


def _row(item: dict[str, Any], bad: dict[str, Any] | None, notes: set[str]) -> ItemRow:
    verdict = Verdict(item["verdict"])
    canary = verdict == Verdict.PASS and item["failures"] > 0
    signal = bad["signal"] if bad is not None else None
    return ItemRow(
        item=item["item"],
        word="CANARY FOUND" if canary else word_of(verdict, signal=signal),
        verdict=verdict,
        counted=item["counted"],
        failures=item["failures"],
        headline=item.get("headline", ""),
        simulated=item.get("simulated", False),
        canary=canary,
        controls=item.get("control_attempts", 0),
        control_failures=item.get("control_failures", 0),
        signature=bad["signature"] if bad is not None else None,
        notes=tuple(sorted(notes)),
    )


def main() -> None:
    rows = sorted(rows_of(Path(sys.argv[1])), key=lambda row: row.item)
    print(closing_table(rows, width=WIDTH, color=False))
    print()
    print("\n".join([*sentences(rows), *note_lines(rows)]))


if __name__ == "__main__":
    main()
