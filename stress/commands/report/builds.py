"""Which builds to use and which to avoid: scenarios by torch build, a table per machine, and what became of each failure."""

from __future__ import annotations

from collections.abc import Container
from collections.abc import Iterator
from collections.abc import Sequence
from datetime import UTC
from datetime import datetime

from rich.table import Table
from rich.text import Text

from stress.diagnose import load_signatures
from stress.model.text import count
from stress.model.text import one_line
from stress.plugin.terminal.render import render
from stress.record.aggregate import Aggregate
from stress.record.aggregate.groups import KIND_TEXTS
from stress.record.aggregate.groups import TorchBuild
from stress.record.aggregate.states import ALPHA
from stress.record.aggregate.states import BuildHistory
from stress.record.aggregate.states import Counts
from stress.record.aggregate.states import MachineSection
from stress.record.aggregate.states import State
from stress.record.aggregate.states import StateWord
from stress.record.aggregate.states import sections_of
from stress.record.aggregate.words import canary_sentence
from stress.record.aggregate.words import result_sentence

BUILDS_SHOWN = 6
"""The newest ones: a table has to fit a window."""
_ORDER = (StateWord.REGRESSED, StateWord.OPEN, StateWord.UNKNOWN, StateWord.FIXED, StateWord.CLEAN)


def builds_text(whole: Aggregate, width: int, *, color: bool) -> str:
    """Return the tables of all machines, and what each build is worth."""
    known, sections = _known_and_sections(whole)
    parts: list[str] = []
    for section in sections:
        parts += _section(whole, section, known, width, color=color)
    return "\n".join([*parts, _rule()])


def _known_and_sections(whole: Aggregate) -> tuple[Container[str], list[MachineSection]]:
    """Return the ids of known failures, and what became of all over the builds."""
    fixed = {one.id: one.fixed for one in load_signatures()}
    return fixed.keys(), sections_of(whole, fixed)


def _section(
    whole: Aggregate, section: MachineSection, known: Container[str], width: int, *, color: bool
) -> list[str]:
    group = section.groups[0]
    lines = [KIND_TEXTS[group.kind], f"{group.machine}; {group.configuration_text}", ""]
    for one in section.groups:
        cells = whole.of(one)
        lines.append(f"{one.build.label}: {result_sentence(cells)}. {canary_sentence(cells)}")
    left_out = len(section.groups) - BUILDS_SHOWN
    if left_out > 0:
        lines.append(f"{count(left_out, 'older build')} counted and not shown below")
    failing = [one for one in section.scenarios if one.state.word != StateWord.CLEAN]
    if failing:
        lines += ["", render(_scenarios(section, failing), width, color=color)]
    if section.failures:
        lines += ["", render(_failures(section, known), width, color=color)]
    return [*map(_plain, lines), ""]


def _plain(text: str) -> str:
    """Return a line of a record's words on one line; tables are rendered already."""
    return text if "\n" in text else one_line(text)


def _sorted(histories: Sequence[BuildHistory]) -> list[BuildHistory]:
    return sorted(histories, key=lambda one: (_ORDER.index(one.state.word), one.name))


def _scenarios(section: MachineSection, failing: Sequence[BuildHistory]) -> Table:
    table = _table("scenario")
    for group in section.groups[-BUILDS_SHOWN:]:
        table.add_column(one_line(_short(group.build)), justify="right")
    table.add_column("state", overflow="fold")
    for one in _sorted(failing):
        counts = [_cell(each) for each in one.by_build[-BUILDS_SHOWN:]]
        table.add_row(Text(one_line(one.name)), *counts, Text(one_line(state_text(one.state))))
    return table


def _failures(section: MachineSection, known: Container[str]) -> Table:
    table = _table("failure")
    for heading in ("seen", "first", "last"):
        table.add_column(heading, justify="right")
    table.add_column("on", overflow="fold")
    table.add_column("state", overflow="fold")
    for one in _sorted(section.failures):
        on = [
            _short(group.build)
            for group, counts in zip(section.groups, one.by_build, strict=True)
            if any(failures for failures, _ in counts.values())
        ]
        dates = [_date(time_s) for time_s in one.seen or ()] or ["-", "-"]
        name = f"{one.name}{'' if one.name in known else ' (not in results/known)'}"
        row = [name, str(one.failures), *dates, ", ".join(on), state_text(one.state)]
        table.add_row(*(Text(one_line(each)) for each in row))
    return table


def _table(first: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    table.add_column(first, overflow="fold", min_width=24)
    return table


def _short(build: TorchBuild) -> str:
    """Return a build in few letters: its version, and its commit where the version does not say which one it is."""
    return build.version if not build.file_key else f"{build.version} {build.file_key}"


def _cell(counts: Counts) -> str:
    counted = sum(number for _, number in counts.values())
    return f"{sum(number for number, _ in counts.values())}/{counted}" if counted else "-"


def _date(time_s: float) -> str:
    try:
        return f"{datetime.fromtimestamp(time_s, UTC):%Y-%m-%d}"
    except (OverflowError, OSError, ValueError):
        return "no valid time"


def state_text(state: State) -> str:
    """Return "fixed in 2.8.0 (p 0.001)", "open", and so on."""
    build = f" {_short(state.build)}" if state.build is not None and state.word != StateWord.OPEN else ""
    chance = "" if state.p is None else f" (p {state.p:.1g})"
    return f"{state.word}{build}{chance}"


def _rule() -> str:
    return (
        f"fixed and regressed: shown at {100 * ALPHA:g} % for each line by itself, or named in results/known; "
        "no failure is not the same as fixed"
    )


def state_rows(whole: Aggregate) -> Iterator[tuple[str, str, list[str]]]:
    """Yield (machine and settings, name, [failed per build..., state]) for the page."""
    _, sections = _known_and_sections(whole)
    for section in sections:
        group = section.groups[0]
        where = f"{group.kind}: {group.machine}; {group.configuration_text}"
        for one in _sorted([*section.failures, *section.scenarios]):
            if one.state.word != StateWord.CLEAN:
                on = [
                    f"{_short(each.build)}: {_cell(counts)}"
                    for each, counts in zip(section.groups, one.by_build, strict=True)
                    if counts
                ]
                yield where, one.name, [", ".join(on[-BUILDS_SHOWN:]), state_text(one.state)]
