"""The sections on what ran and what came of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from collections.abc import Sequence
from dataclasses import dataclass

from stress.commands.evidence.markdown import block
from stress.commands.evidence.markdown import bullets
from stress.commands.evidence.markdown import code
from stress.commands.evidence.markdown import plain
from stress.commands.evidence.markdown import table
from stress.diagnose import load_signatures
from stress.model import stats
from stress.model.text import count
from stress.record.aggregate import Aggregate
from stress.record.aggregate import Cell
from stress.record.aggregate import Failure
from stress.record.aggregate import Group
from stress.record.aggregate.cells import totals
from stress.record.aggregate.groups import KIND_NAMES
from stress.record.aggregate.words import canary_sentence
from stress.record.aggregate.words import percent
from stress.record.aggregate.words import replay_line
from stress.record.aggregate.words import word_of_cell

CLEAN_ROWS_MAX = 400
FAILURES_MAX = 40
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
    """Return one bullet per group."""
    return bullets(_summary_line(one) for one in subjects) or "No attempt was both started and ended."


def _summary_line(one: TestedGroup) -> str:
    failures, counted = totals(one.real_items)
    failing = f"**{count(len(one.failing), 'item')} of {len(one.real_items)} failed**" if one.failing else f"none of {count(len(one.real_items), 'item')} failed"  # fmt: skip
    tree = {
        True: "built from the tree's HEAD",
        False: "**not a build of the tree's HEAD**",
        None: "not compared with a tree",
    }
    return (
        f"{one.heading}; {code(one.group.build.label)} ({tree[one.is_tree]}), {code(one.group.configuration_text)}: {failing}; "
        f"together {stats.confidence_sentence(failures, counted)}. {canary_sentence(one.cells)}"
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
    rows: dict[str, list[Cell]] = {}
    for cell in one.cells:
        if not cell.failures or cell.is_canary:
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
    text = table(["scenario", "threads", "verdict", "failed", "excluded at 95 %"], shown)
    yield f"<details><summary>{count(len(rows), 'scenario')} without a failure, canaries among them</summary>\n\n{text}\n\n</details>"
    if len(rows) > CLEAN_ROWS_MAX:
        yield f"{len(rows) - CLEAN_ROWS_MAX} more scenarios are in the records."


def _interval(cell: Cell) -> str:
    low, high = stats.wilson(cell.failures, cell.counted)
    return f"{percent(low)} to {percent(high)}"


def _control(cell: Cell) -> str:
    return f"{cell.control_failures}/{cell.control_counted}" if cell.controls else "not run"


def _bound(cell: Cell) -> str:
    if cell.is_canary:
        return "planted"
    return f"{percent(stats.failure_rate_bound(cell.counted))} and more" if cell.counted else "nothing counts"


def confidence(subjects: Sequence[TestedGroup]) -> str:
    """Return which failure rates are excluded, by number of attempts."""
    lines = []
    for one in subjects:
        clean = Counter(cell.counted for cell in one.real_items if cell.counted and not cell.failures)
        for counted, items in sorted(clean.items(), reverse=True)[:8]:
            lines.append(f"{one.heading}, {count(items, 'item')}: {stats.confidence_sentence(0, counted)}")
    return bullets(lines) or "No item is without a failure."


def failures(whole: Aggregate, subjects: Sequence[TestedGroup]) -> str:
    """Return each failure with its rate, its evidence and the command that repeats it."""
    known = {one.id: one for one in load_signatures()}
    parts: list[str] = []
    left_out = 0
    for one in subjects:
        for failure, cell in _first_of_each(whole, one):
            if len(parts) >= FAILURES_MAX:
                left_out += 1
                continue
            signature = known.get(failure.name)
            lines = [
                f"#### {code(cell.item)}: {code(failure.name)}",
                f"{_often(cell, failure.name)} on {one.heading}; one thread, same work: {_control(cell)}.",
            ]
            if signature is not None:
                links = " ".join(f"<{link}>" for link in signature.links[:3])
                lines.append(f"Known: {plain(signature.meaning)} {links}")
            else:
                lines.append("Nobody has described this failure yet.")
            if failure.end["headline"]:
                lines.append(block(failure.end["headline"], 4))
            lines.append(
                f"Again: {code(replay_line(failure))} (same inputs and perturbation; thread scheduling may differ)"
            )
            parts.append("\n\n".join(lines))
    if left_out:
        parts.append(f"{left_out} more kinds of failures are in the records.")
    return "\n\n".join(parts) or "No attempt failed, canaries left out."


def _first_of_each(whole: Aggregate, one: TestedGroup) -> Iterator[tuple[Failure, Cell]]:
    cells = {cell.item: cell for cell in one.real_items}
    seen = set()
    for failure in whole.failures_of(one.group):
        key = (failure.start["item"], failure.name)
        if key[0] in cells and key not in seen:
            seen.add(key)
            yield failure, cells[key[0]]


def _often(cell: Cell, name: str) -> str:
    seen = sum(number for (_, its), number in cell.names.items() if its == name)
    low, high = stats.wilson(seen, cell.counted)
    return f"{seen} of {cell.counted} attempts ({percent(seen / cell.counted)}, 95 % interval {percent(low)} to {percent(high)})"


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
    if not rows:
        return "No scenario among these records declares one."
    return table(["item", "declared", "failed now", "where"], rows[:100])
