"""The closing table, rendered by rich into a string and written through pytest's own terminal writer."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from rich.table import Table
from rich.text import Text

from stress.model import hand_overs
from stress.model import stats
from stress.model.text import count
from stress.plugin.terminal.item_row import ItemRow
from stress.plugin.terminal.item_row import rate_text
from stress.plugin.terminal.render import render

CORE_SENTENCE = (
    "core: a failure is evidence about the tree's own code; silence is about these files alone, not about its operators, "
    "MPSGraph, Apple's Metal and libdispatch, or the GPU"
)
SIMULATED_SENTENCE = (
    "simulated device: this proves the detector, and says nothing about Metal or a real MPS backend"
)
NO_CANARY = "no planted fault was run, so nothing shows that one would have been found: add the shipped scenarios/canary.py"
_WIDTH_MIN = 80
_WIDTH_MIN_PLAIN = 110
_RATE_WIDTH_MIN = 14
_VERDICT_WIDTH = 16
_FAILED_WIDTH = 7
_OTHER_WIDTH = _VERDICT_WIDTH + _FAILED_WIDTH + 4 * 2  # and the padding of all columns


FOLDED_FROM = 25
"""Rows from which on the green ones of a file are one row: what failed, and what has changed, must be on the screen."""


def closing_table(rows: Sequence[ItemRow], *, width: int, color: bool, fold: bool = True) -> str:
    """Return the table of all items that ran, grouped by file, as text of at most `width` columns."""
    # A file or a pipe needs no folding: a log is read with a scroll bar.
    width = max(width, _WIDTH_MIN if color else _WIDTH_MIN_PLAIN)
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    names = [row.item.partition("::") for row in rows]
    longest = max((max(len(path), len(name) + 1) for path, _, name in names), default=0)
    item_width = min(longest, width - _OTHER_WIDTH - _RATE_WIDTH_MIN)
    # All widths are given: with minimum widths, rich folds the text for one width and crops it to another.
    table.add_column("item", overflow="fold", width=item_width)
    table.add_column("verdict", width=_VERDICT_WIDTH)
    table.add_column("failed", justify="right", width=_FAILED_WIDTH)
    table.add_column("rate, 95 %", overflow="fold", width=width - _OTHER_WIDTH - item_width)
    fold = fold and len(rows) >= FOLDED_FROM
    if fold:  # a signature of several items heads their block above
        often = Counter(row.signature for row in rows)
        rows = [replace(row, signature=None) if often[row.signature] > 1 else row for row in rows]
    for path, of_file in itertools.groupby(rows, key=lambda row: row.item.partition("::")[0]):
        _add_file(table, path, list(of_file), fold=fold)
    return render(table, width, color=color)


def _add_file(table: Table, path: str, rows: Sequence[ItemRow], *, fold: bool) -> None:
    """Add a file's row, with its green items in it where they are folded, and a row for each other item."""
    greens = [row for row in rows if row.is_clean or (row.canary and row.verdict.is_green)] if fold else []
    greens = [row for row in greens if not row.was]
    by_word = {word: [row for row in greens if row.word == word] for word in {row.word: 0 for row in greens}}
    first = Text(path, style="bold")
    for word, same in by_word.items():
        text = Text(f"{len(same)} {word}", style=same[0].verdict.color)
        table.add_row(first, text, "", Text(_rate_of_each(same)))
        first = Text()
    if not by_word:
        table.add_row(first)
    for row in rows:
        if row not in greens:
            failed = f"{row.failures}/{row.counted}" if row.counted else "-"
            name = Text(f" {row.item.partition('::')[2]}")
            was = f"; was {row.was}" if row.was else ""
            table.add_row(name, Text(row.word, style=row.verdict.color), failed, Text(f"{_rate(row)}{was}"))


def _rate_of_each(rows: Sequence[ItemRow]) -> str:
    if rows[0].canary:
        return _rate(rows[0])
    return f"each {_rate(min(rows, key=lambda row: (row.units, row.counted)))}"


def _rate(row: ItemRow) -> str:
    if row.canary and row.verdict.is_green:
        return "planted"
    if row.one_thread:
        return "no threads"
    if row.verdict.is_failure or row.failures:  # the latter on a green item: what it declares acceptable
        control = f"; one thread {row.control_failures}/{row.controls}" if row.controls else ""
        signature = f"; {row.signature}" if row.signature else ""
        accepted = "; acceptable" if row.verdict.is_green else ""
        mixed = (
            f"; {', '.join(f'{number} {word}' for word, number in row.words.items())}"
            if len(row.words) > 1
            else ""
        )
        recorded = f"; recorded failures {row.recorded_failures}/{row.recorded}" if row.recorded else ""
        return f"{rate_text(row)}{accepted}{mixed}{recorded}{control}{signature}"
    if not row.verdict.is_green:
        return row.headline
    if not row.counted:
        return "-"
    shared = (
        f", {'1 process' if row.units == 1 else f'{row.units} processes'}" if row.units < row.counted else ""
    )
    return f"{rate_text(row)}{shared}"


def note_lines(rows: Sequence[ItemRow]) -> list[str]:
    """Return one line per kind of note on green items, with how many have it."""
    kinds: Counter[str] = Counter()
    for row in rows:
        if row.verdict.is_green and not row.canary:
            kinds.update({_kind_of(note) for note in row.notes})
    return [f"note, {count(number, 'item')}: {note}" for note, number in kinds.most_common()]


def _kind_of(note: str) -> str:
    return "time budget: fewer attempts than requested" if note.startswith("time budget") else note


def sentences(rows: Sequence[ItemRow]) -> list[str]:
    """Return the sentences: one per number of clean attempts, then how many items failed. Rates of unlike items are not pooled."""
    real = [row for row in rows if not row.canary and not row.one_thread]
    clean = Counter((row.units, row.counted) for row in real if row.is_clean)
    lines = [
        f"{count(items, 'item')}: 0 of {stats.attempts_in(counted, units)} failed{' in each' if items > 1 else ''}; a failure "
        f"rate below {stats.percent(stats.failure_rate_bound(units))} % cannot be excluded (95 %)"
        for (units, counted), items in sorted(clean.items(), reverse=True)
    ]
    orders = hand_overs.sentence([row.hand_overs for row in real])
    lines += [orders] if orders else []
    alone = sum(row.one_thread for row in rows)
    if alone:
        lines.append(
            f"{count(alone, 'item')} ran on one thread: nothing about threads was tested (--mps-threads=8)"
        )
    failed = sum(row.verdict.is_failure for row in real)
    undecided = len(real) - failed - sum(row.verdict.is_green for row in real)
    canaries = [row for row in rows if row.canary]
    found = sum(row.verdict.is_green for row in canaries)
    # Cases of a native harness share their canaries, which are not items.
    native = {row.canaries["runs"]: row.canaries for row in rows if row.canaries is not None}
    found += sum(one["found"] for one in native.values())
    planted = len(canaries) + sum(one["planted"] for one in native.values())
    simulated = [SIMULATED_SENTENCE] if any(row.simulated and not row.is_core for row in rows) else []
    simulated += [CORE_SENTENCE] if any(row.is_core for row in rows) else []
    if len(real) > 1 and (failed or undecided):
        lines.append(
            f"{failed} of {count(len(real), 'item')} failed{f', {undecided} could not be decided' if undecided else ''}"
        )
    lines.append(f"canaries found: {found} of {planted}" if planted else NO_CANARY)
    return lines + simulated
