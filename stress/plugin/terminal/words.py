"""Words for pytest's progress, short summary and table. The categories remain pytest's own."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING
from typing import Any

from stress.model.text import count
from stress.model.verdict import Verdict
from stress.model.verdict import severity
from stress.model.verdict import word_of
from stress.model.verdict import worst
from stress.plugin.terminal.item_row import ItemRow

if TYPE_CHECKING:
    from stress.isolate.attempt import Attempt
    from stress.plugin.item import ItemResult


def word_of_item(result: ItemResult) -> str:
    """Return the item's word; a canary's is that of its attempts, which must fail."""
    attempts = [one.judged.verdict for one in result.attempts] if result.is_canary else []
    first = result.first_failure
    return word_of(
        worst(attempts) if attempts else result.verdict,
        signal=first.judged.signal if first is not None else None,
        is_canary=result.is_canary,
        one_thread=result.one_thread,
    )


def often(result: ItemResult) -> str:
    """Return "RACE in 2 and MISMATCH in 3 of 5 attempts"; the item's word alone where no attempt failed."""
    words = _failures_by_word(result)
    parts = [f"{word} in {number}{_of_checked(word, result)}" for word, number in words.items()]
    if not parts and result.recorded_failures:
        return f"{word_of_item(result)} in {result.recorded_failures} of {count(len(result.recorded), 'recorded failure')}"
    if not parts:
        return word_of_item(result)
    attempts = f"{result.counted} attempts"
    if result.processes < result.counted:
        attempts += f" in {result.processes} process{'es' if result.processes > 1 else ''}"
    if not result.verdict.is_failure:  # its failures are acceptable, something else is not
        parts.insert(0, word_of_item(result))
    return f"{', '.join(parts[:-1])}{' and ' if parts[1:] else ''}{parts[-1]} of {attempts}"


def _of_checked(word: str, result: ItemResult) -> str:
    """Say how many attempts checked the order, where some did not and so could not find it."""
    checked = sum(bool(one.order) for one in result.attempts)
    some = word == Verdict.UNORDERED.word and checked < len(result.attempts)
    return f" ({checked} checked the order)" if some else ""


def _failures_by_word(result: ItemResult) -> dict[str, int]:
    """Return word -> attempts that failed so, the most severe first."""
    failed = [one.judged for one in result.attempts if one.judged.verdict.is_failure]
    failed.sort(key=lambda one: severity(one.verdict), reverse=True)
    return dict(Counter(one.word for one in failed))


def row_of(result: ItemResult) -> ItemRow:
    """Return the item's line in the closing table."""
    first = result.first_failure
    alike = [one for one in result.attempts if first is not None and _kind(one) == _kind(first)]
    return ItemRow(
        item=result.item,
        word=word_of_item(result),
        verdict=result.verdict,
        counted=result.counted,
        failures=result.failures,
        processes=result.processes,
        headline=result.headline,
        simulated=result.simulated,
        is_core=result.is_core,
        canary=result.is_canary,
        one_thread=result.one_thread,
        controls=len(result.controls),
        control_failures=result.control_failures,
        recorded=len(result.recorded),
        recorded_failures=result.recorded_failures,
        words=_failures_by_word(result),
        signature=next(
            (one.signature for one in (*result.attempts, *result.recorded) if one.signature), None
        ),
        kind=_kind(first) if first is not None and not result.verdict.is_green else "",
        alike=len(alike),
        notes=tuple(result.notes),
        tsan=_tsan(result),
        order=_order(result),
        hand_overs=result.hand_overs,
    )


def _kind(attempt: Attempt) -> str:
    """Return what failures of several items have in common: the signature, else the verdict and the first finding's name."""
    judged = attempt.judged
    name = judged.findings[0].name if judged.findings else ""
    return attempt.signature or f"{judged.word} {name}".rstrip()


def _order(result: ItemResult) -> dict[str, Any] | None:
    """Return how many attempts checked the order of accesses, and what suppressions hid; None without any."""
    checked = [one for one in result.attempts if one.order]
    suppressed: Counter[str] = Counter()
    for one in checked:
        suppressed.update(one.suppressed)
    return {"checked": len(checked), "suppressed": dict(suppressed)} if checked else None


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
        "foreign": sum(one["foreign"] for one in told),
    }


def summary_of(result: ItemResult) -> str:
    """Return one line for pytest's short summary: the word, how often, and what."""
    where = " on core" if result.is_core else " on the simulated device" if result.simulated else ""
    return f"{often(result)}{where}: {result.headline}"
