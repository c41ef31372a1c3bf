"""The comparison as text and as JSON."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from dataclasses import field
from io import StringIO
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from stress.commands.compare.judge import ALPHA
from stress.commands.compare.judge import JudgedName
from stress.commands.compare.judge import JudgedSection
from stress.commands.compare.judge import PairResult
from stress.commands.compare.judge import Row
from stress.commands.compare.names import ANY_FAILURE
from stress.commands.compare.names import Named
from stress.commands.compare.names import unknown_new
from stress.commands.compare.pairs import Section
from stress.commands.compare.speed import Speed
from stress.model import stats
from stress.model.text import count
from stress.model.text import one_line
from stress.record.aggregate import Cell
from stress.record.aggregate import DeviceKind
from stress.record.aggregate.groups import KIND_TEXTS

NAMES_SHOWN = 40
ITEMS_SHOWN = 8
_ORDER = tuple(PairResult)


@dataclass(frozen=True)
class Compared:
    """Everything that the two texts are made from."""

    sections: list[Section]
    judged: list[JudgedSection]
    only_base: list[str]
    """A sentence per machine and setting of BASE that NEW did not run on."""
    only_new: list[str]
    problems: list[str]
    speeds: list[Speed] = field(default_factory=list)
    slower: list[Speed] = field(default_factory=list)
    """Those of NEW that are shown to be slower than what they were measured against."""
    not_interleaved: list[str] = field(default_factory=list)
    """Runs of `mps-stress throughput` that measured one build."""

    @property
    def rows(self) -> list[list[Row]]:
        return [one.rows for one in self.judged]

    @property
    def worse(self) -> list[Row]:
        return [row for rows in self.rows for row in rows if row.answer == PairResult.WORSE]

    @property
    def worse_names(self) -> list[Named]:
        return [one.named for each in self.judged for one in each.names if one.answer == PairResult.WORSE]

    @property
    def worse_together(self) -> list[Named]:
        return [one.together.named for one in self.judged if one.together.answer == PairResult.WORSE]

    @property
    def is_worse(self) -> bool:
        return bool(self.worse or self.worse_names or self.worse_together)

    @property
    def unknown(self) -> list[Named]:
        return [one for each in self.judged for one in unknown_new([name.named for name in each.names])]

    @property
    def lost(self) -> list[Cell]:
        """Return the items of BASE that NEW did not run, or of which no attempt counts."""
        return [cell for section in self.sections for cell in section.lost]

    @property
    def canaries_missed(self) -> list[Cell]:
        return [cell for section in self.sections for cell in section.canaries_missed]

    @property
    def exit_status(self) -> int:
        """Return 1 where NEW is worse, fails in a way that nobody has described, or lacks what BASE has."""
        is_incomplete = self.lost or self.only_base or self.canaries_missed
        return 1 if self.is_worse or self.unknown or self.slower or is_incomplete else 0


def text_of(compared: Compared, *, width: int, show_all: bool) -> str:
    parts: list[str] = []
    for section, judged in zip(compared.sections, compared.judged, strict=True):
        rows = judged.rows
        parts += [
            *_heading(section),
            *_added(section),
            "",
            *_table(rows, width=width, show_all=show_all),
            *_clean(rows),
        ]
        parts += [*_canaries(section), *_names(judged), *_only(section), ""]
    parts += [one_line(str(one)) for one in compared.speeds]
    if compared.not_interleaved:
        parts.append(
            f"throughput: {count(len(compared.not_interleaved), 'run')} measured one build only, so nothing is compared "
            "(mps-stress throughput --against=PYTHON measures two in turn)"
        )
    parts += [*compared.only_base, *compared.only_new, *compared.problems, closing(compared)]
    return "\n".join(parts)


def _heading(section: Section) -> list[str]:
    base, new = section.base, section.new
    lines = [f"{KIND_TEXTS[base.kind]}", f"{base.machine}; {base.configuration_text}"]
    if new.configuration != base.configuration:
        lines[1] = f"{base.machine}; BASE: {base.configuration_text}; NEW: {new.configuration_text}"
    same = " (the same build on both sides: this compares runs, not patches)" if section.is_same_build else ""
    lines.append(f"BASE {base.build.label}; NEW {new.build.label}{same}")
    return [one_line(line) for line in lines]


def _added(section: Section) -> list[str]:
    """Say what several runs on a side cost: somebody may have added them until something showed."""
    if section.factor == 1:
        return []
    base, new = (count(number, "run") for number in section.runs)
    return [
        f"BASE has {base}, NEW {new}: each p is multiplied by {section.factor}, so that all looks after an added run "
        f"together give a wrong answer with a probability of at most {100 * ALPHA:g} %"
    ]


def _table(rows: Sequence[Row], *, width: int, show_all: bool) -> list[str]:
    shown = [row for row in rows if show_all or row.answer != PairResult.CLEAN]
    if not shown:
        return []
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    for heading in ("item", "BASE", "NEW", "answer"):
        table.add_column(heading, overflow="fold")
    for row in sorted(shown, key=lambda one: (_ORDER.index(one.answer), one.item)):
        table.add_row(Text(one_line(row.item)), counts(row.base), counts(row.new), answer_text(row))
    buffer = StringIO()
    Console(
        file=buffer, width=max(width, 80), force_terminal=False, color_system=None, highlight=False
    ).print(table)
    return [line.rstrip() for line in buffer.getvalue().splitlines()]


def counts(cell: Cell) -> str:
    return f"{cell.failures}/{cell.counted}" if cell.counted else f"none of {cell.attempts} counts"


def answer_text(row: Row) -> str:
    """Return the answer as a person reads it."""
    if row.answer in (PairResult.WORSE, PairResult.BETTER):
        return answer_of(row.answer, row.p_worse, row.p_better)
    if row.answer == PairResult.UNTOLD:
        if row.needed is None:
            return "cannot be told apart: equal rates"
        about = f"{row.needed:,}" if row.needed < 1000 else f"{round(row.needed, -2):,}"
        return f"cannot be told apart, needs about {about} more attempts on each side"
    return str(row.answer)


def probability(p: float) -> str:
    return "below 0.0001" if p < 0.0001 else f"{p:.4f}" if p < 0.01 else f"{p:.2f}"


def _clean(rows: Sequence[Row]) -> list[str]:
    """Return one line per number of attempts in which neither side failed, with what would have gone unseen."""
    found = Counter(
        (row.new.counted, row.new.counted_attempts) for row in rows if row.answer == PairResult.CLEAN
    )
    return [
        f"{count(items, 'item')}: no failure on either side; NEW's {stats.attempts_in(attempts, processes)} each exclude "
        f"rates of {100 * stats.failure_rate_bound(processes):.2g} % and more"
        for (processes, attempts), items in sorted(found.items(), reverse=True)
    ]


def _canaries(section: Section) -> list[str]:
    if not section.canaries:
        return [
            "no canary ran on both sides: nothing shows that planted faults are found; add scenarios/canary.py to both"
        ]
    base = sum(one.failures > 0 for one, _ in section.canaries)
    new = sum(one.failures > 0 for _, one in section.canaries)
    return [f"canaries found: BASE {base} of {len(section.canaries)}, NEW {new} of {len(section.canaries)}"]


def _names(judged: JudgedSection) -> list[str]:
    lines = [name_text(one) for one in judged.names[:NAMES_SHOWN]]
    if len(judged.names) > NAMES_SHOWN:
        lines.append(f"... and {len(judged.names) - NAMES_SHOWN} more failure names (--json has all)")
    if len(judged.names) > 1 and len(judged.together.named.items) > 1:
        lines.append(name_text(judged.together))
    return lines


def name_text(one: JudgedName) -> str:
    """Return a name of a failure with its counts on both sides, and the answer where there is one."""
    named = one.named
    is_answered = one.answer in (PairResult.WORSE, PairResult.BETTER)
    what = ""
    if named.name != ANY_FAILURE:
        what = "new" if named.is_new else "gone" if named.is_gone else "in both"
        what += "" if is_answered or not (named.is_new or named.is_gone) else " (may be chance)"
        what += ": "
    known = "" if named.name == ANY_FAILURE else f" ({'known' if named.is_known else 'not in results/known'})"
    answer = f": {answer_of(one.answer, one.p_worse, one.p_better)}" if is_answered else ""
    return (
        f"{what}{one_line(named.name)}{known}: BASE {named.base}/{named.base_counted}, "
        f"NEW {named.new}/{named.new_counted} in {count(len(named.items), 'item')}{answer}"
    )


def answer_of(answer: PairResult, p_worse: float, p_better: float) -> str:
    """Return WORSE or BETTER with its probability."""
    return f"{answer} (p {probability(p_worse if answer == PairResult.WORSE else p_better)})"


def _only(section: Section) -> list[str]:
    return [
        line
        for name, cells in (("BASE", section.only_base), ("NEW", section.only_new))
        if cells
        for line in [f"only in {name}: {_some([cell.item for cell in cells])}"]
    ]


def _some(items: Sequence[str]) -> str:
    shown = ", ".join(one_line(one) for one in items[:ITEMS_SHOWN])
    return shown + (f" and {len(items) - ITEMS_SHOWN} more" if len(items) > ITEMS_SHOWN else "")


def closing(compared: Compared) -> str:
    """Return the sentence at the end; it never says "no difference"."""
    found = Counter(row.answer for rows in compared.rows for row in rows)
    answers = (
        ", ".join(f"{found[one]} {text}" for one, text in _CLOSING if found[one]) or "no item on both sides"
    )
    return f"{answers}. {' '.join(findings(compared)) or NO_REGRESSION}"


NO_REGRESSION = f"No regression detected ({100 * (1 - ALPHA):.0f} %). That does not prove there is none."


def findings(compared: Compared) -> list[str]:
    """Return a sentence for each reason why NEW cannot be called as good as BASE; empty where there is none."""
    sentences = []
    worse = [count(len(compared.worse), "item")] if compared.worse else []
    worse += [one_line(one.name) for one in compared.worse_names[:ITEMS_SHOWN]]
    if not worse:  # otherwise it is the same finding once more
        worse = [f"{count(len(one.items), 'item')} taken together" for one in compared.worse_together]
    if worse:
        sentences.append(f"NEW is worse: {', '.join(worse)}.")
    if compared.slower:
        sentences.append(f"NEW is slower in {count(len(compared.slower), 'measurement')} of throughput.")
    if compared.unknown:
        sentences.append(f"{count(len(compared.unknown), 'new failure')} that nobody has described.")
    if compared.lost:
        what = count(len(compared.lost), "item")
        sentences.append(
            f"Nothing shows that {what} of BASE {'is' if len(compared.lost) == 1 else 'are'} not worse: no attempt of "
            f"{'it' if len(compared.lost) == 1 else 'them'} counts in NEW."
        )
    if compared.only_base:
        sentences.append(f"{count(len(compared.only_base), 'group')} of BASE did not run in NEW.")
    if compared.canaries_missed:
        sentences.append("NEW missed a planted fault: its passes are worth nothing.")
    return sentences


_CLOSING = (
    (PairResult.WORSE, "worse"),
    (PairResult.BETTER, "better"),
    (PairResult.UNTOLD, "cannot be told apart"),
    (PairResult.CLEAN, "without a failure on either side"),
    (PairResult.EMPTY, "without an attempt that counts"),
)


def json_of(compared: Compared) -> str:
    data = {
        "exit_status": compared.exit_status,
        "alpha": ALPHA,
        "findings": findings(compared),
        "sections": [_section_data(*one) for one in zip(compared.sections, compared.judged, strict=True)],
        "throughput": [{**vars(one), "answer": one.answer} for one in compared.speeds],
        "left_out": [*compared.only_base, *compared.only_new],
        "problems": compared.problems,
    }
    return json.dumps(data, indent=1, ensure_ascii=True, allow_nan=False)


def _section_data(section: Section, judged: JudgedSection) -> dict[str, Any]:
    return {
        "kind": str(section.base.kind),
        "is_metal_evidence": section.base.kind is DeviceKind.REAL,
        "machine": section.base.machine,
        "configuration": list(section.base.configuration),
        "base_build": section.base.build.label,
        "new_build": section.new.build.label,
        "runs": list(section.runs),
        "p_factor": section.factor,
        "rows": [_row_data(row) for row in judged.rows],
        "canaries": [{"item": a.item, "base": a.failures, "new": b.failures} for a, b in section.canaries],
        "names": [_name_data(one) for one in judged.names],
        "together": _name_data(judged.together),
        "lost": [one.item for one in section.lost],
        "only_base": [one.item for one in section.only_base],
        "only_new": [one.item for one in section.only_new],
    }  # fmt: skip


def _name_data(one: JudgedName) -> dict[str, Any]:
    named = one.named
    return {
        "name": named.name, "known": named.is_known, "answer": str(one.answer), "items": len(named.items),
        "base": named.base, "new": named.new, "base_counted": named.base_counted, "new_counted": named.new_counted,
        "p_worse": one.p_worse, "p_better": one.p_better,
    }  # fmt: skip


def _row_data(row: Row) -> dict[str, Any]:
    return {
        "item": row.item,
        "scenario": row.base.scenario,
        "threads": row.base.threads or row.new.threads,
        "answer": str(row.answer),
        "base": {"failures": row.base.failures, "counted": row.base.counted},
        "new": {"failures": row.new.failures, "counted": row.new.counted},
        "p_worse": row.p_worse,
        "p_better": row.p_better,
        "needed": row.needed,
    }
