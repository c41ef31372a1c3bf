"""Words for pytest's progress, short summary and table. The categories remain pytest's own."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING
from typing import Any

from stress.model.verdict import word_of
from stress.model.verdict import worst
from stress.plugin.terminal.item_row import ItemRow

if TYPE_CHECKING:
    from stress.plugin.item import ItemResult


def word_of_item(result: ItemResult) -> str:
    """Return the item's word; a canary's is that of its attempts, which must fail."""
    is_canary = bool(result.spec.scenario.canary)
    attempts = [one.judged.verdict for one in result.attempts] if is_canary else []
    first = result.first_failure
    return word_of(
        worst(attempts) if attempts else result.verdict,
        signal=first.judged.signal if first is not None else None,
        is_canary=is_canary,
    )


def row_of(result: ItemResult) -> ItemRow:
    """Return the item's line in the closing table."""
    return ItemRow(
        item=result.item,
        word=word_of_item(result),
        verdict=result.verdict,
        counted=result.counted,
        failures=result.failures,
        headline=result.headline,
        simulated=result.simulated,
        canary=bool(result.spec.scenario.canary),
        controls=len(result.controls),
        control_failures=result.control_failures,
        signature=next((one.signature for one in result.attempts if one.signature), None),
        notes=tuple(result.notes),
        tsan=_tsan(result),
    )


def _tsan(result: ItemResult) -> dict[str, Any] | None:
    """Return what ThreadSanitizer reported in all attempts of an item; None without it."""
    told = [one.tsan for one in (*result.attempts, *result.controls) if one.tsan is not None]
    if not told:
        return None
    suppressed: Counter[str] = Counter()
    for one in told:
        suppressed.update(one["suppressed"])
    return {
        "attempts": len(told),
        "reports": sum(one["reports"] for one in told),
        "problem": next((one["problem"] for one in told if one["problem"]), ""),
        "units": told[0]["units"],
        "suppressed": dict(suppressed),
    }


def summary_of(result: ItemResult) -> str:
    """Return one line for pytest's short summary: the word, how often, and what."""
    where = " on the simulated device" if result.simulated else ""
    often = f" in {result.failures} of {result.counted} attempts" if result.failures else ""
    return f"{word_of_item(result)}{where}{often}: {result.headline}"
