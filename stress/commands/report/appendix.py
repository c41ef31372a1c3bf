"""The appendix: what the records do not show, and what of them could not be used: as much a part of the page as the rest."""

from __future__ import annotations

import json

from stress.commands.report.html import Markup
from stress.commands.report.html import join
from stress.commands.report.html import preformatted
from stress.commands.report.html import tag
from stress.commands.report.html import within
from stress.record.aggregate import Aggregate
from stress.record.aggregate import RunInfo

ENVIRONMENT_BYTES_MAX = 150_000
PROBLEMS_SHOWN = 40


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
                preformatted(shown, 200))
            for shown, runs in seen.items()
        ),
        ENVIRONMENT_BYTES_MAX,
    )  # fmt: skip
    rest = tag("p", f"{left_out} more environments do not fit here.", class_="dim") if left_out else None
    return join([*blocks, rest])


def _text(one: RunInfo) -> str:
    names = ("device", "device_reason", "sim", "settings", "environment", "torch", "torch_mismatches")
    shown = {name: one.record.get(name) for name in names}
    if isinstance(shown["settings"], dict):
        shown["settings"] = {
            key: value for key, value in shown["settings"].items() if key not in ("seed", "results")
        }
    return json.dumps(shown, indent=1, ensure_ascii=False, sort_keys=True)
