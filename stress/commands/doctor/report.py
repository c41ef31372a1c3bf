"""The doctor's lines as one screen, and as JSON."""

from __future__ import annotations

import json
import textwrap
from collections import Counter
from collections.abc import Sequence

from stress.commands.doctor.check import CheckResult
from stress.commands.doctor.check import Status

WIDTH_MIN = 60
_STATUS_WIDTH = max(len(one) for one in Status)


def text_of(lines: Sequence[CheckResult], width: int) -> str:
    """Return one line per thing, folded to `width` columns, each way out below its line."""
    width = max(width, WIDTH_MIN)
    name_width = max(len(line.name) for line in lines if len(line.name) <= 20)
    indent = _STATUS_WIDTH + name_width + 4
    parts = []
    section = ""
    for line in lines:
        if line.section != section:
            section = line.section
            parts.append(section)
        parts += _folded(line, name_width, indent, width)
    return "\n".join([*parts, "", closing(lines)])


def _folded(line: CheckResult, name_width: int, indent: int, width: int) -> list[str]:
    head = f" {line.status:<{_STATUS_WIDTH}} {line.name:<{name_width}} "
    if len(line.name) > name_width:  # a variable with its value: the meaning goes below
        text = [head.rstrip(), *_wrap(line.detail, indent, width)]
    else:
        wrapped = _wrap(line.detail, indent, width)
        text = [head + wrapped[0].lstrip(), *wrapped[1:]]
    return text + (_wrap(f"-> {line.way_out}", indent, width) if line.way_out else [])


def _wrap(text: str, indent: int, width: int) -> list[str]:
    space = " " * indent
    return textwrap.wrap(
        text,
        width,
        initial_indent=space,
        subsequent_indent=space,
        break_long_words=False,
        break_on_hyphens=False,
    ) or [space]


def closing(lines: Sequence[CheckResult]) -> str:
    """Return the sentence at the end."""
    counts = Counter(line.status for line in lines)
    missing = [line.name for line in lines if line.status == Status.MISSING]
    counted = ", ".join(f"{counts[one]} {one}" for one in Status if counts[one])
    if missing:
        return f"{counted}. Not ready: {', '.join(missing)}"
    return f"{counted}. Ready" + (", with warnings" if counts[Status.WARNING] else "")


def json_of(lines: Sequence[CheckResult]) -> str:
    return json.dumps(
        {"ready": is_ready(lines), "lines": [line.to_data() for line in lines]}, indent=1, ensure_ascii=True
    )


def is_ready(lines: Sequence[CheckResult]) -> bool:
    return all(line.status != Status.MISSING for line in lines)
