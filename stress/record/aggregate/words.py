"""The sentences about counts that the page and the evidence share."""

from __future__ import annotations

import shlex
from collections.abc import Iterable
from collections.abc import Iterator

from stress.model.text import count
from stress.model.verdict import PageClass
from stress.model.verdict import word_of
from stress.record.aggregate.cells import Cell
from stress.record.aggregate.cells import Failure
from stress.record.aggregate.groups import DeviceKind
from stress.record.aggregate.runs import Aggregate


def percent(rate: float) -> str:
    """Return a rate in percent, short, and never "0 %" for what is not nothing."""
    if rate == 0:
        return "0 %"
    return f"{100 * rate:.2g} %" if rate < 0.1 else f"{100 * rate:.0f} %"


def word_of_cell(cell: Cell) -> tuple[str, PageClass]:
    """Return the word for an item over all its attempts, and its class of colour."""
    verdict = cell.verdict
    signal = next(iter(cell.signals)) if len(cell.signals) == 1 else None
    word = word_of(verdict, signal=signal, is_canary=cell.is_canary)
    if verdict is None:
        return word, "unsure"
    if cell.is_canary and verdict.enters_rate:
        return word, "pass" if verdict.is_failure else "bad"
    if not verdict.is_green and cell.is_accepted:
        return f"{word} (acceptable)", "interesting"
    return word, verdict.page_class


def canary_sentence(cells: Iterable[Cell]) -> str:
    """Return whether planted faults were found: without that, green is worth little."""
    canaries = [cell for cell in cells if cell.is_canary]
    found = sum(cell.failures > 0 for cell in canaries)
    if not canaries:
        return "No planted fault was run, so nothing shows that one would have been found: add the shipped scenarios/canary.py."
    if found < len(canaries):
        return (
            f"Only {found} of {len(canaries)} canaries were found: the green results here are worth nothing."
        )
    return f"{'The canary' if found == 1 else f'All {found} canaries'} (planted faults) {'was' if found == 1 else 'were'} found."


def replay_line(one: Failure) -> str:
    """Return the command that runs the attempt again."""
    serial = one.start.get("serial")
    if isinstance(serial, int):
        return f"mps-stress replay {shlex.quote(f'{one.folder.name}/{serial}')}"
    return str(one.start.get("command") or "not in the record")


def not_shown(whole: Aggregate) -> Iterator[str]:
    """Yield a sentence for each claim that a reader might assume and that the records do not support."""
    kinds = {group.kind for group in whole.groups}
    if DeviceKind.REAL not in kinds:
        yield "anything about a real Apple GPU: no attempt here ran on one"
    for group in whole.groups:
        cells = whole.of(group)
        name = f"{group.kind}, {group.machine}, {group.build.label}, {group.configuration_text}"
        if not any(cell.is_canary for cell in cells):
            yield f"that planted faults are found on {name}: no planted fault was run"
        nothing = sum(not cell.counted for cell in cells)
        if nothing:
            yield f"anything about {count(nothing, 'item')} on {name}: none of their attempts counts"
        uncontrolled = sum(cell.failures > 0 and not cell.controls and not cell.is_canary for cell in cells)
        if uncontrolled:
            have = "has" if uncontrolled == 1 else "have"
            yield f"{count(uncontrolled, 'failing item')} on {name} {have} no one-thread control"
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
