"""The sentences about counts that the page and the evidence share."""

from __future__ import annotations

import contextlib
import shlex
from collections import Counter
from collections.abc import Iterable
from collections.abc import Iterator
from pathlib import Path

from stress.model import stats
from stress.model.spec import RESULTS_DEFAULT
from stress.model.text import count
from stress.model.verdict import PageClass
from stress.model.verdict import word_of
from stress.record.aggregate.cells import Cell
from stress.record.aggregate.cells import Failure
from stress.record.aggregate.cells import totals
from stress.record.aggregate.groups import DeviceKind
from stress.record.aggregate.runs import Aggregate
from stress.record.aggregate.runs import RunInfo
from stress.record.folder import attempt_command

EXCLUDED_SHOWN = 3
"""Numbers of attempts that are reported one by one; of more, the range."""


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


def result_sentence(cells: Iterable[Cell]) -> str:
    """Return how many items failed, and what the others exclude. No rate over all of them: unlike items have none."""
    real = [cell for cell in cells if not cell.is_canary]
    tried = [cell for cell in real if cell.counted]
    failing = [cell for cell in tried if cell.failures and not cell.is_accepted]
    failures, counted = totals(failing)
    parts = [f"none of {count(len(tried), 'item')} failed" if tried else "", excluded(real)]
    if failing:
        attempts = f"{failures} of their {count(counted, 'attempt')}"
        parts[0] = f"{len(failing)} of {count(len(tried), 'item')} failed ({attempts})"
    nothing = len(real) - len(tried)
    if nothing or not real:
        parts.append(f"no attempt of {count(nothing, 'item')} counts")
    return "; ".join(one for one in parts if one)


def excluded(cells: Iterable[Cell]) -> str:
    """Return which failure rates items without a failure exclude; "" where there are no such items."""
    return excluded_after(cell.counted for cell in cells if cell.counted and not cell.failures)


def excluded_after(counts: Iterable[int]) -> str:
    """Return which failure rates are excluded by items of which so many attempts ended, and none failed."""
    tried = Counter(counts)
    if not tried:
        return ""
    if len(tried) > EXCLUDED_SHOWN:
        fewest, items = min(tried), tried.total()
        return f"{_excluded(fewest)} % or more is excluded at 95 % for each of {items} items (0 of {fewest} to {max(tried)} attempts failed)"
    (counted, items), *others = sorted(tried.items(), key=lambda one: (-one[1], -one[0]))
    each = "1 item" if items == 1 else f"each of {items} items"
    first = f"{_excluded(counted)} % or more is excluded at 95 % for {each} (0 of {count(counted, 'attempt')} failed)"
    return ", ".join(
        [first, *(f"of {_bound(one)} % for {count(number, 'item')} (0 of {one})" for one, number in others)]
    )


def _excluded(counted: int) -> str:
    return f"a failure rate of {_bound(counted)}"


def _bound(counted: int) -> str:
    return stats.percent(stats.failure_rate_bound(counted))


def replay_line(one: Failure, info: RunInfo) -> str:
    """Return the command that runs the attempt again, for the folder in which this is called.

    A record without a number, which replay needs, gives `repeat_line`.
    """
    serial = one.start.get("serial")
    if not isinstance(serial, int):
        return repeat_line(one, info)
    rootdir, folder, here = _rootdir(info), one.folder.resolve(), Path.cwd()
    is_usual = folder.parent == (rootdir / RESULTS_DEFAULT).resolve()
    if not is_usual and folder.is_relative_to(here):
        folder = folder.relative_to(here)
    return attempt_command("replay", folder, serial, rootdir)


def _rootdir(info: RunInfo) -> Path:
    """Return pytest's rootdir of the run, if it is on this machine: the current folder otherwise."""
    with contextlib.suppress(OSError, ValueError):
        path = Path(str(info.record.get("rootdir") or "."))
        if path.is_dir():
            return path.resolve()
    return Path.cwd()


def repeat_line(one: Failure, info: RunInfo) -> str:
    """Return the `pytest` line that runs the item again, for a reader who has the scenarios and not these records."""
    command = str(one.start.get("command") or "")
    if command.startswith("pytest "):
        return command
    # A campaign's attempts name a replay, of a folder that only its owner has.
    parts = ["pytest", str(one.start["item"]), f"--mps-threads={one.start.get('threads', 1)}"]
    seed, device = info.record.get("seed"), info.record.get("device")
    parts += [f"--mps-seed={seed:#x}"] if isinstance(seed, int) else []
    parts += [f"--mps-device={device}"] if isinstance(device, str) and device else []
    return shlex.join(parts)


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
        for cell in cells:
            if not cell.is_canary and (clusters := cell.outcomes.sentence()):
                yield f"the rate of {cell.item} on {name} as precisely as its interval says: {clusters}"
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
