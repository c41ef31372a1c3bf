"""From two folders to a comparison."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

from stress.commands.compare.judge import judge
from stress.commands.compare.options import CompareOptions
from stress.commands.compare.pairs import left_out
from stress.commands.compare.pairs import sections_of
from stress.commands.compare.report import Compared
from stress.commands.compare.report import json_of
from stress.commands.compare.report import text_of
from stress.commands.compare.speed import SLOWER
from stress.commands.compare.speed import alone
from stress.commands.compare.speed import speeds
from stress.model.text import one_line
from stress.record.aggregate import Aggregate
from stress.record.aggregate import read_folders
from stress.record.aggregate.throughput import Throughput

PROBLEMS_SHOWN = 5


def compare(base: Path, new: Path, *, any_settings: bool) -> Compared:
    """Return the comparison; raise `AggregateError` or `CompareError` where there is none."""
    collected = Throughput()
    collectors = {"throughput": collected.add}
    sides = read_folders([base], collectors), read_folders([new], collectors)
    compared = compare_aggregates(*sides, any_settings=any_settings)
    found = speeds(collected)
    # A run of BASE that measured two builds says nothing about NEW.
    slower = [one for one in found if one.answer == SLOWER and one.run in sides[1].runs]
    return replace(compared, speeds=found, slower=slower, not_interleaved=alone(collected))


def compare_aggregates(base: Aggregate, new: Aggregate, *, any_settings: bool = False) -> Compared:
    sections = sections_of(base, new, any_settings=any_settings)
    problems = [*problem_lines(base, "BASE"), *problem_lines(new, "NEW")]
    return Compared(
        sections,
        judge(sections),
        [one_line(one) for one in left_out(base, "BASE", {one.base for one in sections})],
        [one_line(one) for one in left_out(new, "NEW", {one.new for one in sections})],
        problems,
    )


def problem_lines(side: Aggregate, name: str) -> list[str]:
    """Return what of this side could not be used."""
    lines = [f"{name}: {one_line(one)}" for one in side.problems[:PROBLEMS_SHOWN]]
    if side.problems_total > PROBLEMS_SHOWN:
        lines.append(f"{name}: {side.problems_total - PROBLEMS_SHOWN} more lines could not be used")
    lines += [f"{name}: {count} {what} left out: too many" for what, count in side.omitted.items()]
    unfinished = sum(one.unfinished for one in side.runs.values())
    if unfinished:
        lines.append(f"{name}: {unfinished} attempts have no end: not counted")
    return lines


def run(options: CompareOptions) -> int:
    """Read both sides, judge, print."""
    compared = compare(options.base, options.new, any_settings=options.any_settings)
    width = shutil.get_terminal_size((140, 24)).columns
    print(json_of(compared) if options.json else text_of(compared, width=width, show_all=options.show_all))
    return compared.exit_status
