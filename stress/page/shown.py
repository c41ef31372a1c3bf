"""What the records do not show, and what of them could not be used: as much a part of the page as the rest."""

from __future__ import annotations

import json
from collections.abc import Iterator

from stress.aggregate import Aggregate
from stress.aggregate import Kind
from stress.aggregate import RunInfo
from stress.page.html import Markup
from stress.page.html import join
from stress.page.html import preformatted
from stress.page.html import tag
from stress.page.html import within
from stress.report.plain import count

ENVIRONMENT_BYTES_MAX = 150_000
PROBLEMS_SHOWN = 40


def not_shown(whole: Aggregate) -> Iterator[str]:
    """Yield a sentence for each thing that a reader might believe and that the records do not show."""
    kinds = {group.kind for group in whole.groups}
    if Kind.REAL not in kinds:
        yield "anything about a real Apple GPU: no attempt here ran on one"
    for group in whole.groups:
        cells = whole.of(group)
        name = f"{group.kind}, {group.machine}, {group.build.label}"
        if not any(cell.is_canary for cell in cells):
            yield f"that planted faults are found on {name}: no canary ran"
        nothing = sum(not cell.counted for cell in cells)
        if nothing:
            yield f"anything about {count(nothing, 'item')} on {name}: no attempt of theirs counts"
        uncontrolled = sum(cell.failures > 0 and not cell.controls and not cell.is_canary for cell in cells)
        if uncontrolled:
            yield f"that {count(uncontrolled, 'failing item')} on {name} would pass on one thread: no control ran"
    killed = [one for one in whole.runs.values() if one.was_killed]
    if killed:
        yield f"how {count(len(killed), 'run')} ended: killed, or still running ({', '.join(one.run for one in killed[:4])})"
    unfinished = sum(one.unfinished for one in whole.runs.values())
    if unfinished:
        yield f"how {count(unfinished, 'attempt')} ended: the machine or pytest died first (they enter no rate)"
    lost = sum(one.lost for one in whole.runs.values())
    if lost:
        yield f"{lost} records that a full disk lost"
    for what, number in whole.omitted.items():
        yield f"{number} {what}: too many for one page"


def problems(whole: Aggregate) -> Markup | None:
    """Return the lines that could not be used, with file and line."""
    parts = []
    if whole.torn_lines:
        parts.append(tag("p", f"{whole.torn_lines} torn last lines: a process was killed while it wrote."))
    if whole.unknown_kinds:
        kinds = ", ".join(f"{kind} ({number})" for kind, number in whole.unknown_kinds.most_common(10))
        parts.append(tag("p", f"Records of kinds that this version does not know: {kinds}"))
    if whole.problems_total:
        parts.append(tag("p", f"{whole.problems_total} lines could not be used:"))
        parts.append(preformatted("\n".join(whole.problems[:PROBLEMS_SHOWN]), PROBLEMS_SHOWN))
    return join(parts) if parts else None


def environments(whole: Aggregate) -> Markup:
    """Return what each run says of its machine, torch and settings, equal ones once."""
    seen: dict[str, list[RunInfo]] = {}
    for one in sorted(whole.runs.values(), key=lambda run: run.time):
        seen.setdefault(_text(one), []).append(one)
    blocks, left_out = within(
        (
            tag("details", tag("summary", f"{runs[-1].run}" + (f" and {len(runs) - 1} more runs" if len(runs) > 1 else "")),
                preformatted(told, 200))
            for told, runs in seen.items()
        ),
        ENVIRONMENT_BYTES_MAX,
    )  # fmt: skip
    rest = tag("p", f"{left_out} more environments do not fit here.", class_="dim") if left_out else None
    return join([*blocks, rest])


def _text(one: RunInfo) -> str:
    names = ("device", "device_reason", "sim", "settings", "environment", "torch", "torch_mismatches")
    told = {name: one.record.get(name) for name in names}
    if isinstance(told["settings"], dict):
        told["settings"] = {
            key: value for key, value in told["settings"].items() if key not in ("seed", "results")
        }
    return json.dumps(told, indent=1, ensure_ascii=False, sort_keys=True)
