"""The sections on what ran and what came of it."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Iterator
from collections.abc import Sequence
from dataclasses import dataclass

from stress.model import stats
from stress.model.markdown import bullets
from stress.model.markdown import code
from stress.model.markdown import plain
from stress.model.markdown import table
from stress.model.text import count
from stress.record.aggregate import Aggregate
from stress.record.aggregate import Cell
from stress.record.aggregate import Group
from stress.record.aggregate.groups import KIND_NAMES
from stress.record.aggregate.names import named_failures
from stress.record.aggregate.words import canary_sentence
from stress.record.aggregate.words import percent
from stress.record.aggregate.words import repeat_line
from stress.record.aggregate.words import result_sentence
from stress.record.aggregate.words import word_of_cell

CLEAN_ROWS_MAX = 400
FAILURES_MAX = 60
EXAMPLES_MAX = 20
COMMANDS_MAX = 8
KNOWN_LIMITATION = "known limitation"


@dataclass(frozen=True)
class TestedGroup:
    """One group, and whether its build is of the tree that the patch belongs to."""

    group: Group
    cells: Sequence[Cell]
    is_tree: bool | None
    """None where no tree was given, or the record does not name a commit."""

    @property
    def real_items(self) -> list[Cell]:
        return [cell for cell in self.cells if not cell.is_canary]

    @property
    def failing(self) -> list[Cell]:
        return [cell for cell in self.real_items if cell.failures and not cell.is_accepted]

    @property
    def heading(self) -> str:
        return f"{KIND_NAMES[self.group.kind]}: {plain(self.group.machine)}"


def subjects_of(whole: Aggregate, head: str | None) -> list[TestedGroup]:
    """Return the groups with their cells, those of the tree's commit first."""
    found = [TestedGroup(group, whole.of(group), _is_tree(group, head)) for group in whole.groups]
    return sorted(found, key=lambda one: one.is_tree is not True)


def _is_tree(group: Group, head: str | None) -> bool | None:
    commit = group.build.commit
    return None if head is None or not commit or commit == "Unknown" else commit == head


def summary(subjects: Sequence[TestedGroup]) -> str:
    """Return a line per group, numbered where there are several."""
    lines = [_summary_line(one) for one in subjects]
    if len(lines) > 1:
        return "\n".join(f"{number}. {line}" for number, line in enumerate(lines, 1))
    return bullets(lines) or "No attempt was both started and ended."


def _summary_line(one: TestedGroup) -> str:
    # A person who does not give a tree learns from the checklist that none was compared.
    tree = {
        True: " (built from the tree's HEAD)",
        False: " (**not a build of the tree's HEAD**)",
        None: "",
    }
    sentence = result_sentence(one.cells)
    shown = f"**{sentence}**" if one.failing else sentence
    return (
        f"{one.heading}; {code(one.group.build.label)}{tree[one.is_tree]}, {code(one.group.configuration_text)}: "
        f"{shown}. {canary_sentence(one.cells)}"
    )


def result_tables(subjects: Sequence[TestedGroup]) -> Iterator[str]:
    """Yield a heading and a table per group: items that failed, one by one, and the others by scenario."""
    for one in subjects:
        yield f"### {one.heading}"
        yield f"{code(one.group.build.label)}; {code(one.group.configuration_text)}"
        failing = sorted((cell for cell in one.real_items if cell.failures), key=lambda cell: cell.item)
        if failing:
            yield table(
                ["item", "verdict", "failed", "rate, 95 %", "one thread, same work"],
                [
                    [
                        code(cell.item),
                        word_of_cell(cell)[0],
                        f"{cell.failures}/{cell.counted}",
                        _interval(cell),
                        _control(cell),
                    ]
                    for cell in failing
                ],
            )
        yield from _others(one)


def _others(one: TestedGroup) -> Iterator[str]:
    canaries = [cell for cell in one.cells if cell.is_canary]
    if canaries:
        yield "Canaries (planted faults, which must fail): " + ", ".join(
            f"{code(cell.item)} {cell.failures}/{cell.counted}" for cell in canaries[:CLEAN_ROWS_MAX]
        )
    rows: dict[str, list[Cell]] = {}
    for cell in one.real_items:
        if not cell.failures:
            rows.setdefault(cell.scenario, []).append(cell)
    if not rows:
        return
    shown = [
        [
            code(name),
            ", ".join(str(cell.threads or "process") for cell in cells),
            ", ".join(sorted({word_of_cell(cell)[0] for cell in cells})),
            ", ".join(f"{cell.failures}/{cell.counted}" for cell in cells),
            ", ".join(dict.fromkeys(_bound(cell) for cell in cells)),
        ]
        for name, cells in list(rows.items())[:CLEAN_ROWS_MAX]
    ]
    yield f"{count(len(rows), 'scenario')} without a failure:"
    yield table(["scenario", "threads", "verdict", "failed", "excluded at 95 %"], shown)
    if len(rows) > CLEAN_ROWS_MAX:
        yield f"{len(rows) - CLEAN_ROWS_MAX} more scenarios are in the records."


def _interval(cell: Cell) -> str:
    low, high = stats.rate_interval(cell.failures, cell.counted)
    return f"{percent(low)} to {percent(high)}"


def _control(cell: Cell) -> str:
    return f"{cell.control_failures}/{cell.control_counted}" if cell.controls else "not run"


def _bound(cell: Cell) -> str:
    return f"{percent(stats.failure_rate_bound(cell.counted))} and more" if cell.counted else "nothing counts"


def confidence(subjects: Sequence[TestedGroup]) -> str:
    """Return which failure rates are excluded, by number of attempts."""
    lines = []
    for one in subjects:
        clean = Counter(
            (cell.counted, cell.counted_attempts)
            for cell in one.real_items
            if cell.counted and not cell.failures
        )
        for (processes, attempts), items in sorted(clean.items(), reverse=True)[:8]:
            sentence = stats.confidence_sentence(0, attempts, processes=processes)
            lines.append(f"{one.heading}, {count(items, 'item')}: {sentence}")
    return bullets(lines)


def failures(whole: Aggregate, subjects: Sequence[TestedGroup], examples: Sequence[str]) -> str:
    """Return attempts that had no room above, and a row for each failure of each item with the line that repeats it."""
    parts = list(examples[:EXAMPLES_MAX])
    rows = []
    again: dict[str, None] = {}
    for one in subjects:
        for named in named_failures(whole, one.group):
            for cell in named.cells:
                rows.append(
                    [
                        code(cell.item),
                        code(named.name),
                        f"{named.in_cell(cell)}/{cell.counted}",
                        _control(cell),
                    ]
                )
                first = named.firsts.get(cell.item)
                if first is not None:
                    line = repeat_line(first, whole.runs[first.run])
                    again[line.replace(shlex.quote(cell.item), "ITEM").replace(cell.item, "ITEM")] = None
    if rows:
        parts.append("Again (same inputs and perturbation; thread scheduling may differ):")
        parts.append(bullets(code(one) for one in list(again)[:COMMANDS_MAX]))
        parts.append(table(["item", "failure", "attempts", "one thread"], rows[:FAILURES_MAX]))
    left_out = max(0, len(rows) - FAILURES_MAX) + max(0, len(examples) - EXAMPLES_MAX)
    if left_out:
        parts.append(f"{left_out} more failures are in the records.")
    return "\n\n".join(parts)


def limitations(subjects: Sequence[TestedGroup]) -> str:
    """Return the known limitations that scenarios declare, each with what it does now."""
    rows = []
    for one in subjects:
        for cell in one.real_items:
            declared = [text for text in cell.origin if text.startswith(KNOWN_LIMITATION)]
            accepted = [
                f"{verdict} is acceptable: {why}"
                for verdict, why in cell.acceptable.items()
                if verdict in cell.verdicts
            ]
            if declared or accepted:
                rows.append([
                    code(cell.item), plain("; ".join([*declared, *accepted])),
                    f"{cell.failures}/{cell.counted}" if cell.counted else "nothing counts", one.heading,
                ])  # fmt: skip
    return table(["item", "declared", "failed now", "where"], rows[:100]) if rows else ""
