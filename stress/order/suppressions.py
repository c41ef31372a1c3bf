"""Order findings that the author knows of: the stable last line of each, and the reason why it is no news."""

from __future__ import annotations

import re
from collections.abc import Iterable
from collections.abc import Mapping

INI = "mps_order_suppressions"
_REASON = " -- "
_START = "hazard="
EXPECTED = (
    "expected the last line of a finding, in which * stands for anything, then ' -- ' and the reason, as in "
    "'hazard=WAW kind=host-host op=aten::add_.Tensor(self) prior=* device=cpu -- an approximate count is enough'"
)


def parse(lines: Iterable[str]) -> dict[str, str]:
    """Return pattern -> reason of the lines of the ini option; raise `ValueError` with the way out."""
    found: dict[str, str] = {}
    for line in filter(None, map(str.strip, lines)):
        pattern, dashes, reason = (part.strip() for part in line.partition(_REASON))
        if not dashes or not reason or not pattern.startswith(_START):
            raise ValueError(f"{line!r}: {EXPECTED}")
        if pattern in found:
            raise ValueError(f"{pattern!r} is suppressed twice: leave one of the two lines out")
        found[pattern] = reason
    return found


def matching(signature: str, patterns: Iterable[str]) -> str | None:
    """Return the first pattern that a finding's last line matches."""
    return next((one for one in patterns if _expression(one).fullmatch(signature)), None)


def _expression(pattern: str) -> re.Pattern[str]:
    return re.compile(".*".join(map(re.escape, pattern.split("*"))))


def closing_lines(reasons: Mapping[str, str], suppressed: Mapping[str, int], checked: int) -> list[str]:
    """Return what the end of a run says of the suppressions, where at least one attempt checked the order."""
    if not reasons or not checked:
        return []
    lines = [
        f"order: suppressed {count} findings, {reasons[pattern]}: {pattern}"
        for pattern, count in suppressed.items()
        if pattern in reasons
    ]
    unused = [pattern for pattern in reasons if not suppressed.get(pattern)]
    lines += [
        f"order: a suppression matched nothing in {checked} checked attempts: {one} (take it out of {INI} if that is so in "
        "all your runs)"
        for one in unused
    ]
    return lines
