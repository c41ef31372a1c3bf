"""The result of a sweep: one line per operator, what is wrong in full, and the same as JSON."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import dataclass

from rich.table import Table
from rich.text import Text

from stress.commands.sweep.operator_runner import OperatorResult
from stress.model import stats
from stress.model.text import one_line
from stress.plugin.terminal.render import render
from stress.plugin.terminal.table import SIMULATED_SENTENCE

_WIDTH_MIN = 110


@dataclass(frozen=True)
class Swept:
    """What ran, and what did not."""

    results: Sequence[OperatorResult]
    planned: int
    not_compared: Mapping[str, str]
    """Operator -> why its values are not compared."""
    device: str
    torch: str
    threads: int
    simulated: bool
    folder: str

    @property
    def failed(self) -> list[OperatorResult]:
        return [one for one in self.results if one.verdict.is_failure]

    @property
    def unclear(self) -> list[OperatorResult]:
        """Return what is neither right, nor wrong, nor refused."""
        return [
            one for one in self.results if one.word not in ("ok", "refused") and not one.verdict.is_failure
        ]


def text(swept: Swept, *, width: int, color: bool) -> str:
    """Return the whole result as text."""
    parts = [_table(swept, width=max(width, _WIDTH_MIN), color=color), ""]
    for one in [*swept.failed, *swept.unclear]:
        parts += _details(one)
    return "\n".join([*parts, *_sentences(swept)])


def _table(swept: Swept, *, width: int, color: bool) -> str:
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    table.add_column("operator", no_wrap=True)
    table.add_column("samples", justify="right", no_wrap=True)
    for name in ("ok", "refused alone, too", "failed"):
        table.add_column(name, overflow="fold")
    by_op: dict[str, list[OperatorResult]] = {}
    for one in swept.results:
        by_op.setdefault(one.case.op, []).append(one)
    for op, results in sorted(by_op.items()):
        groups = {word: [one.case.dtype for one in results if one.word == word] for word in ("ok", "refused")}
        others = [f"{one.case.dtype} {one.word}" for one in results if one.word not in groups]
        note = " (not compared)" if op in swept.not_compared else ""
        table.add_row(
            Text(op),
            str(sum(one.samples for one in results)),
            Text(" ".join(groups["ok"]) + note),
            Text(" ".join(groups["refused"])),
            Text(", ".join(others), style="red"),
        )
    return render(table, width, color=color)


def _details(one: OperatorResult) -> list[str]:
    rate = f" in {one.failures} of {one.counted} attempts" if one.failures else ""
    lines = [f"{one.word}{rate}: {one.case.op} {one.case.dtype}: {one_line(one.headline)}"]
    if one.controls:
        lines.append(
            f"  control: one thread, same total work: {one.control_failures} of {len(one.controls)} failed"
        )
    return [*lines, f"  repeat: {one.command}"]


def _sentences(swept: Swept) -> list[str]:
    words = Counter(one.word for one in swept.results)
    lines = [
        f"mps-stress sweep: device {swept.device}, {swept.torch}, {swept.threads} threads: "
        f"{len(swept.results)} of {swept.planned} cases (operator, dtype) ran: "
        + ", ".join(f"{count} {word}" for word, count in words.most_common())
    ]
    if len(swept.results) < swept.planned:
        lines.append(
            f"{swept.planned - len(swept.results)} cases were not run: the time was up (--seconds); another --seed "
            "begins with others"
        )
    reasons = Counter(
        swept.not_compared[op] for op in {one.case.op for one in swept.results} & set(swept.not_compared)
    )
    lines += [f"run, but not compared: {count} operators: {reason}" for reason, count in reasons.items()]
    clean = [one for one in swept.results if one.counted]
    sentence = stats.confidence_sentence(len(swept.failed), len(clean))
    lines.append(f"first attempts of the cases that can fail: {sentence}")
    if swept.simulated:
        lines.append(SIMULATED_SENTENCE)
    return [*lines, f"records: {swept.folder}"]


def json_text(swept: Swept) -> str:
    """Return the same as data."""
    cases = [
        {
            "op": one.case.op,
            "dtype": one.case.dtype,
            "word": one.word,
            "verdict": str(one.verdict),
            "headline": one.headline,
            "samples": one.samples,
            "attempts": len(one.attempts),
            "failures": one.failures,
            "controls": len(one.controls),
            "control_failures": one.control_failures,
            "not_compared": swept.not_compared.get(one.case.op),
            "command": one.command,
        }
        for one in swept.results
    ]
    names = ("planned", "device", "torch", "threads", "simulated", "folder")
    return json.dumps({**{name: getattr(swept, name) for name in names}, "cases": cases}, indent=1)
