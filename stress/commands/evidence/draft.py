"""Drafts of the issue and of the pull request: the parts that records can fill, and marked gaps for the rest.

The issue has the form that maintainers have used themselves (pytorch#197805): torch version, threads, iterations, runs that
failed of all runs, a one-thread control of equal work, and the line on stderr.
"""

from __future__ import annotations

from collections.abc import Sequence

from stress.commands.evidence.checklist import Inputs
from stress.commands.evidence.markdown import block
from stress.commands.evidence.markdown import bullets
from stress.commands.evidence.markdown import code
from stress.commands.evidence.markdown import plain
from stress.commands.evidence.markdown import table
from stress.commands.evidence.results import TestedGroup
from stress.commands.evidence.results import summary
from stress.record.aggregate import Aggregate
from stress.record.aggregate import DeviceKind
from stress.record.aggregate import Failure
from stress.record.aggregate.words import replay_line

KINDS = ("issue", "pr")
FAILURES_SHOWN = 5
ROWS_SHOWN = 30
_GAP = "**[to be written by the person who submits]**"
_NO_METAL = "> **No run on a real Apple GPU is among these records: this draft must not be posted as it is.**"


def issue(given: Inputs) -> str:
    """Return a draft of the issue: what fails, how often, where, and how to repeat it."""
    subjects = [one for one in given.subjects if one.failing]
    parts = [*_warning(given), f"### Describe the bug\n\n{_GAP}: one sentence on what an application sees."]
    if not subjects:
        return "\n\n".join([*parts, "No item failed in these records: there is nothing to report."]) + "\n"
    parts.append(_table(given.whole, subjects))
    for one in subjects:
        for failure in _first(given.whole, one)[:FAILURES_SHOWN]:
            lines = [f"{code(failure.start['item'])} on {one.heading}: {code(failure.name)}"]
            if failure.end["headline"]:
                lines.append(block(failure.end["headline"], 4))
            lines.append(f"Again: {code(replay_line(failure))}")
            parts.append("\n\n".join(lines))
    parts.append(f"### Versions\n\n{_versions(subjects)}")
    parts.append("Found with mps-stress; tables are computed from its records.")
    return "\n\n".join(parts) + "\n"


def pull_request(given: Inputs) -> str:
    """Return a draft of the pull request: what changes, what was tested, and what was not."""
    parts = [
        *_warning(given),
        f"Fixes {_GAP}: the issue.",
        f"{_GAP}: what was wrong, and why this change is right.",
    ]
    if given.patch is not None:
        files = ", ".join(code(one.path) for one in given.patch.files[:ROWS_SHOWN])
        parts.append(
            f"Changes {len(given.patch.files)} files (+{given.patch.added} -{given.patch.removed}): {files}"
        )
    parts += ["### Test plan", summary(given.subjects)]
    if given.compared is not None:
        better = sum(row.answer == "BETTER" for rows in given.compared.rows for row in rows)
        parts.append(
            f"Against stock torch: {better} items better, {len(given.compared.worse)} worse (Fisher, one-sided, Holm)."
        )
    failing = [one for one in given.subjects if one.failing]
    if failing:
        parts += ["### What still fails", _table(given.whole, failing)]
    parts.append(
        f"### Disclosure\n\n{_GAP}: which parts an AI tool wrote (AI_POLICY.md). Tables are computed from records by mps-stress."
    )
    return "\n\n".join(parts) + "\n"


def _warning(given: Inputs) -> list[str]:
    return [] if any(one.group.kind is DeviceKind.REAL for one in given.subjects) else [_NO_METAL]


def _table(whole: Aggregate, subjects: Sequence[TestedGroup]) -> str:
    rows = []
    for one in subjects:
        starts = {failure.start["item"]: failure.start for failure in whole.failures_of(one.group)}
        for cell in one.failing:
            iterations = starts.get(cell.item, {}).get("iterations", "?")
            control = f"{cell.control_failures}/{cell.control_counted}" if cell.controls else "not run"
            rows.append([
                code(one.group.build.version), one.heading, code(cell.scenario), str(cell.threads or "process"), str(iterations),
                f"{cell.failures}/{cell.counted}", control,
            ])  # fmt: skip
    headings = [
        "torch",
        "device",
        "scenario",
        "threads",
        "iterations",
        "failed runs",
        "one thread, same work",
    ]
    left_out = f"\n\n{len(rows) - ROWS_SHOWN} more rows are in the records." if len(rows) > ROWS_SHOWN else ""
    return table(headings, rows[:ROWS_SHOWN]) + left_out


def _first(whole: Aggregate, one: TestedGroup) -> list[Failure]:
    """Return one failure of each name, of items that are no canaries."""
    wanted = {cell.item for cell in one.failing}
    seen: dict[str, Failure] = {}
    for failure in whole.failures_of(one.group):
        if failure.start["item"] in wanted:
            seen.setdefault(failure.name, failure)
    return list(seen.values())


def _versions(subjects: Sequence[TestedGroup]) -> str:
    return bullets(
        f"{code(one.group.build.label)}; {plain(one.group.machine)}; {code(one.group.configuration_text)}"
        for one in subjects
    )
