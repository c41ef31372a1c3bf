"""What two trees' native cases found: counted by finding, and told apart by how often each was seen."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import dataclass

from rich.table import Table

from stress.model.stats import fisher_one_sided
from stress.model.text import count
from stress.sanitizer.native.core_driver import found_in
from stress.sanitizer.native.judge import JudgedRun

P_MAX = 0.05
"""How likely a difference by chance may be, to be called one."""
ENDINGS = ("crash: ", "hang")
"""How the names of findings begin that end a run."""
FATES = ("came", "stayed", "went", "cannot be told apart")


@dataclass(frozen=True)
class CaseRuns:
    """The runs of one case on one tree."""

    runs: Sequence[JudgedRun]

    @property
    def found(self) -> Counter[str]:
        """Return in how many runs each finding was seen."""
        return sum((found_in(one) for one in self.runs), Counter[str]())

    def able_to_show(self, finding: str) -> int:
        """Return how many runs count for a finding: those that show it, and those that came to their end without it.

        A run that a crash or a hang has ended may have ended before it. How each run ended is known.
        """
        if finding.startswith(ENDINGS):
            return len(self.runs)
        return sum(finding in found_in(one) or one.told.end is not None for one in self.runs)

    @property
    def ended_early(self) -> int:
        return sum(one.told.end is None and not one.unavailable for one in self.runs)

    @property
    def unsure(self) -> str:
        """Return why runs that found nothing prove nothing; empty where they do."""
        lost = [one for one in self.runs if not one.findings and one.reasons]
        return lost[0].reasons[0] if lost else ""


@dataclass(frozen=True)
class FindingRow:
    """One finding of one case, in both trees."""

    case: str
    finding: str
    base: tuple[int, int]
    """(runs in which it was seen, runs that count: `CaseRuns.able_to_show`)."""
    patched: tuple[int, int]

    @property
    def fate(self) -> str:
        if fisher_one_sided(*self.base, *self.patched) <= P_MAX:
            return "came"
        if fisher_one_sided(*self.patched, *self.base) <= P_MAX:
            return "went"
        return "stayed" if self.base[0] and self.patched[0] else "cannot be told apart"


def rows_of(base: Mapping[str, CaseRuns], patched: Mapping[str, CaseRuns]) -> list[FindingRow]:
    """Return every finding of the cases that ran on both trees, what came first."""
    rows = []
    for case in base.keys() & patched.keys():
        left, right = base[case], patched[case]
        before, after = left.found, right.found
        endings = [one for one in before.keys() | after.keys() if one.startswith(ENDINGS)]
        if len(endings) > 1:
            rows.append(_whichever(case, left, right))
        rows += [
            FindingRow(
                case, one, (before[one], left.able_to_show(one)), (after[one], right.able_to_show(one))
            )
            for one in before.keys() | after.keys()
        ]
    return sorted(rows, key=lambda row: (FATES.index(row.fate), row.case, row.finding))


def _whichever(case: str, base: CaseRuns, patched: CaseRuns) -> FindingRow:
    """Return the row that sums up the endings of a case: one fault may show as several, and each of them in few runs."""
    base_of, patched_of = ((one.ended_early, len(one.runs)) for one in (base, patched))
    return FindingRow(case, "any crash or hang", base_of, patched_of)


def table_of(rows: Sequence[FindingRow]) -> Table:
    table = Table("", "case", "finding", "base", "patched", box=None, pad_edge=False)
    for row in rows:
        seen = (f"{hits}/{runs}" for hits, runs in (row.base, row.patched))
        table.add_row(row.fate, row.case, row.finding, *seen)
    return table


def closing_line(rows: Sequence[FindingRow], cases: int) -> str:
    counts = Counter(row.fate for row in rows)
    more = ": give more --runs" if counts[FATES[-1]] else ""
    return f"{count(cases, 'case')}: " + ", ".join(f"{counts[fate]} {fate}" for fate in FATES) + more
