"""What a maintainer reads first: how many items failed, of what, before and after, and one attempt of each failure.

At most `LINES_MAX` lines of Markdown, whatever the records hold: what does not fit is folded with the rest.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from collections.abc import Sequence
from dataclasses import dataclass
from dataclasses import field

from stress.commands.compare.judge import PairResult
from stress.commands.compare.report import Compared
from stress.commands.compare.report import answer_of
from stress.commands.compare.report import answer_text
from stress.commands.compare.report import closing
from stress.commands.compare.report import counts
from stress.commands.evidence.checklist import Inputs
from stress.commands.evidence.checklist import Point
from stress.commands.evidence.results import TestedGroup
from stress.commands.evidence.results import summary
from stress.diagnose import Signature
from stress.diagnose import load_signatures
from stress.diagnose import parse_stacks
from stress.model.markdown import block
from stress.model.markdown import bullets
from stress.model.markdown import code
from stress.model.markdown import plain
from stress.model.markdown import table
from stress.model.text import count
from stress.model.text import lines as safe_lines
from stress.record.aggregate import Aggregate
from stress.record.aggregate import Failure
from stress.record.aggregate.names import NamedFailure
from stress.record.aggregate.names import named_failures
from stress.record.aggregate.side import side_text
from stress.record.aggregate.words import repeat_line

LINES_MAX = 60
GROUPS_SHOWN = 4
NAMES_SHOWN = 6
CHANGES_SHOWN = 6
LOST_SHOWN = 4
FRAMES_SHOWN = 4


@dataclass
class Front:
    """The part that stands open, and what of it had no room."""

    sections: list[tuple[str, list[str]]] = field(default_factory=list)
    """Heading, and its paragraphs."""
    examples_left: list[str] = field(default_factory=list)

    @property
    def text(self) -> str:
        return "\n\n".join(part for heading, parts in self.sections for part in (f"## {heading}", *parts))


def front(given: Inputs, found: Sequence[Point], head: str, why_not: str) -> Front:
    """Return what stands before the folded part; `head` is the text above it, which takes lines too."""
    names = [(one, named) for one in given.subjects for named in named_failures(given.whole, one.group)]
    made = Front([("Summary", [_summary(given, found, why_not)])])
    if names:
        made.sections.append(("Failures by name", [*by_name(given.subjects, names)]))
    if given.compared is not None:
        made.sections.append(("Before and after", [*changes(given.compared)]))
    examples: list[str] = []
    for text in examples_of(given.whole, names):
        tried = Front([*made.sections, ("One attempt of each", [*examples, text])])
        # Two lines for the fold itself.
        if not made.examples_left and len(f"{head}\n\n{tried.text}".splitlines()) + 2 <= LINES_MAX:
            examples.append(text)
        else:
            made.examples_left.append(text)
    if examples:
        made.sections.append(("One attempt of each", examples))
    return made


def _summary(given: Inputs, found: Sequence[Point], why_not: str) -> str:
    states = Counter(one.state for one in found)
    lines = summary(given.subjects[:GROUPS_SHOWN])
    if len(given.subjects) > GROUPS_SHOWN:
        lines += f"\n- {count(len(given.subjects) - GROUPS_SHOWN, 'more group')} of machines, builds and settings: below"
    told = ", ".join(f"{number} {state}" for state, number in states.items())
    more = [f"checklist, folded below: {told}"]
    if why_not:
        more.append(f"before and after: {why_not}")
    return f"{lines}\n{bullets(plain(one) for one in more)}"


def by_name(
    subjects: Sequence[TestedGroup], names: Sequence[tuple[TestedGroup, NamedFailure]]
) -> Iterator[str]:
    """Yield a table of the failures; groups are numbered as in the summary, where there are several."""
    known = {one.id for one in load_signatures()}
    several = len(subjects) > 1
    number = {one.group: str(index) for index, one in enumerate(subjects, 1)}
    rows = []
    for one, named in names[:NAMES_SHOWN]:
        failed, counted = named.controls
        control = f"{failed}/{counted}" if counted else "not run"
        row = [code(named.name), "yes" if named.name in known else "no", str(len(named.cells)),
               f"{named.failures}/{named.counted}", control]  # fmt: skip
        rows.append([*row, number[one.group]] if several else row)
    headings = ["failure", "known", "items", "attempts of these", "one thread, same work"]
    yield table([*headings, "where (number above)"] if several else headings, rows)
    if len(names) > NAMES_SHOWN:
        yield f"{count(len(names) - NAMES_SHOWN, 'more name')} of failures: folded below."


def changes(compared: Compared, *, shown_max: int = CHANGES_SHOWN) -> Iterator[str]:
    """Yield what got worse or better, names of failures first, and what cannot be said."""
    for section in compared.sections[:1]:
        yield f"before {code(section.base.build.label)}, after {code(section.new.build.label)}"
    rows: list[list[str]] = []
    for judged in compared.judged:
        for one in (*judged.names, judged.together):
            if one.answer in (PairResult.WORSE, PairResult.BETTER):
                named = one.named
                rows.append([
                    f"{code(named.name)} in {count(len(named.items), 'item')}", f"{named.base}/{named.base_counted}",
                    f"{named.new}/{named.new_counted}", answer_of(one.answer, one.p_worse, one.p_better),
                ])  # fmt: skip
    for judged in compared.judged:
        rows += [
            [code(row.item), counts(row.base), counts(row.new), answer_text(row)]
            for row in judged.rows if row.answer in (PairResult.WORSE, PairResult.BETTER)
        ]  # fmt: skip
    rows.sort(key=lambda row: not row[-1].startswith(PairResult.WORSE))
    if rows:
        yield table(["what", "before", "after", "answer (exact tests, one-sided, Holm)"], rows[:shown_max])
    if compared.lost:
        items = ", ".join(code(cell.item) for cell in compared.lost[:LOST_SHOWN])
        more = f" and {len(compared.lost) - LOST_SHOWN} more" if len(compared.lost) > LOST_SHOWN else ""
        yield f"Only before: {items}{more}."
    yield plain(closing(compared))


def examples_of(whole: Aggregate, names: Sequence[tuple[TestedGroup, NamedFailure]]) -> Iterator[str]:
    """Yield one attempt of each name: how often, what is known, the line that repeats it, and its stack."""
    known = {one.id: one for one in load_signatures()}
    for _, named in names:
        first = named.first
        if first is not None:
            yield example(whole, named, first, known.get(named.name))


def example(whole: Aggregate, named: NamedFailure, first: Failure, signature: Signature | None) -> str:
    cell = next(cell for cell in named.cells if cell.item == first.start["item"])
    meaning = (
        f" {plain(signature.meaning)} {' '.join(f'<{one}>' for one in signature.links[:1])}"
        if signature
        else ""
    )
    title = f"{code(named.name)} in {code(cell.item)}, {named.in_cell(cell)} of {count(cell.counted, 'attempt')}.{meaning}"
    shared = [named.shared_writes] if named.shared_writes else []
    said = [f"$ {repeat_line(first, whole.runs[first.run])}", *shared, *evidence_lines(first)]
    text = "\n".join(said)
    return f"{title.rstrip()}\n\n{block(text, len(said))}"


def evidence_lines(failure: Failure) -> list[str]:
    """Return what the attempt said in a few lines: its headline, or its finding, and the stack that ended it."""
    end = failure.end
    lines = safe_lines(end["headline"], 2)
    if not lines and end["findings"]:
        one = end["findings"][0]
        lines = safe_lines(f"{one.get('name', '?')}: {one.get('text', '')}", 2)
    stacks = parse_stacks(side_text(failure.folder, end.get("stacks")) or "")
    stack = next((one for one in stacks if one.current), stacks[0] if stacks else None)
    if stack is not None:
        lines += [
            f"  {one.function} ({_short(one.file)}:{one.line})" for one in stack.telling_frames[:FRAMES_SHOWN]
        ]
    return lines


def _short(file: str) -> str:
    """Return a file's path from the folder that names it in every installation."""
    return (
        file.rpartition("/site-packages/")[2] if "/site-packages/" in file else "/".join(file.split("/")[-2:])
    )
