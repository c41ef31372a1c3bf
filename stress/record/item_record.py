"""The fields of an item's record, counted from the verdicts of its attempts, for everything that writes one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from stress.model.verdict import Verdict


def item_fields(
    item: str,
    verdict: Verdict,
    verdicts: Iterable[Verdict],
    *,
    seconds: float,
    headline: str,
    **more: object,
) -> dict[str, object]:
    """Return the fields of an item's record. `more` is what else it says, and wins over what was counted."""
    told = list(verdicts)
    return {
        "item": item,
        "verdict": str(verdict),
        "seconds": seconds,
        "attempts": len(told),
        "counted": sum(one.enters_rate for one in told),
        "failures": sum(one.is_failure for one in told),
        "verdicts": dict(Counter(map(str, told))),
        "headline": headline,
        **more,
    }
