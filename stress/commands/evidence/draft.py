"""Drafts of the issue and of the pull request: the parts that records can fill, and marked gaps for the rest.

The issue has the form that maintainers have used themselves (pytorch#197805): torch version, threads, iterations, runs that
failed of all runs, a one-thread control of equal work, and the line on stderr.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from stress.commands.compare.report import closing
from stress.commands.evidence.checklist import Inputs
from stress.commands.evidence.front import by_name
from stress.commands.evidence.front import examples_of
from stress.commands.evidence.results import TestedGroup
from stress.commands.evidence.results import summary
from stress.model.markdown import bullets
from stress.model.markdown import code
from stress.model.markdown import folded
from stress.model.markdown import plain
from stress.model.markdown import table
from stress.record.aggregate import Aggregate
from stress.record.aggregate import DeviceKind
from stress.record.aggregate.names import named_failures

KINDS = ("issue", "pr")
FAILURES_SHOWN = 3
ROWS_SHOWN = 30
_GAP = "**[to be written by the person who submits]**"
_NO_METAL = "> **No run on a real Apple GPU is among these records: this draft must not be posted as it is.**"


def issue(given: Inputs) -> str:
    """Return a draft of the issue: what fails, how often, where, and how to repeat it."""
    subjects = [one for one in given.subjects if one.failing]
    parts = [*_warning(given), f"### Describe the bug\n\n{_GAP}: one sentence on what an application sees."]
    if not subjects:
        return "\n\n".join([*parts, "No item failed in these records: there is nothing to report."]) + "\n"
    names = [(one, named) for one in subjects for named in named_failures(given.whole, one.group)]
    parts += [f"### Versions\n\n{_versions(subjects)}", "### How often", *by_name(subjects, names)]
    parts += [*itertools.islice(examples_of(given.whole, names), FAILURES_SHOWN)]
    parts += [folded("Every item that failed", _table(given.whole, subjects))]
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
        parts.append(f"Against stock torch (exact tests, one-sided, Holm): {plain(closing(given.compared))}")
    failing = [one for one in given.subjects if one.failing]
    if failing:
        names = [(one, named) for one in failing for named in named_failures(given.whole, one.group)]
        parts += ["### What still fails", *by_name(failing, names)]
        parts += [folded("Every item that failed", _table(given.whole, failing))]
    parts.append(
        f"### Disclosure\n\n{_GAP}: which parts an AI tool wrote (AI_POLICY.md). Tables are computed from records by mps-stress."
    )
    return "\n\n".join(parts) + "\n"


def _warning(given: Inputs) -> list[str]:
    return [] if any(one.group.kind is DeviceKind.REAL for one in given.subjects) else [_NO_METAL]


def _table(whole: Aggregate, subjects: Sequence[TestedGroup]) -> str:
    """Return a table per group: the machine and the build stand above it, once."""
    parts = []
    for one in subjects:
        starts = {failure.start["item"]: failure.start for failure in whole.failures_of(one.group)}
        rows = [
            [
                code(cell.scenario), str(cell.threads or "process"), str(starts.get(cell.item, {}).get("iterations", "?")),
                f"{cell.failures}/{cell.counted}", f"{cell.control_failures}/{cell.control_counted}" if cell.controls else "not run",
            ]
            for cell in one.failing
        ]  # fmt: skip
        parts.append(f"{one.heading}, {code(one.group.build.label)}, {code(one.group.configuration_text)}:")
        parts.append(
            table(
                ["scenario", "threads", "iterations", "failed runs", "one thread, same work"],
                rows[:ROWS_SHOWN],
            )
        )
        if len(rows) > ROWS_SHOWN:
            parts.append(f"{len(rows) - ROWS_SHOWN} more rows are in the records.")
    return "\n\n".join(parts)


def _versions(subjects: Sequence[TestedGroup]) -> str:
    """Return a line per group, numbered where the table of failures refers to them."""
    lines = [
        f"{code(one.group.build.label)}; {one.heading}; {code(one.group.configuration_text)}"
        for one in subjects
    ]
    return (
        "\n".join(f"{number}. {line}" for number, line in enumerate(lines, 1))
        if len(lines) > 1
        else bullets(lines)
    )
