"""Put the page together."""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Sequence
from pathlib import Path

from stress.commands.report import overview
from stress.commands.report.appendix import environments
from stress.commands.report.appendix import problems
from stress.commands.report.builds import state_rows
from stress.commands.report.failures import failures
from stress.commands.report.html import Markup
from stress.commands.report.html import join
from stress.commands.report.html import table
from stress.commands.report.html import tag
from stress.commands.report.matrix import MATRIX_BYTES_MAX
from stress.commands.report.matrix import matrix
from stress.commands.report.matrix import rates
from stress.commands.report.signatures import by_signature
from stress.commands.report.style import COPY_HASH
from stress.commands.report.style import COPY_SCRIPT
from stress.commands.report.style import STYLE
from stress.commands.report.throughput import throughput
from stress.commands.report.trend import trends
from stress.model.text import count
from stress.record.aggregate import Aggregate
from stress.record.aggregate import DeviceKind
from stress.record.aggregate import Group
from stress.record.aggregate import read_folders
from stress.record.aggregate.groups import KIND_TEXTS
from stress.record.aggregate.throughput import Throughput
from stress.record.aggregate.words import not_shown

# Even if an escape were forgotten somewhere: nothing may be fetched, and no script may run but this one, by its hash.
_POLICY = f"default-src 'none'; style-src 'unsafe-inline'; script-src '{COPY_HASH}'; base-uri 'none'; form-action 'none'"
GROUPS_SHOWN = 24
STATES_SHOWN = 400


def page_of(paths: Sequence[Path], made: str) -> tuple[str, Aggregate]:
    """Return the page for these folders and what it was made from; raise `AggregateError` for unusable ones."""
    collected = Throughput()
    whole = read_folders(paths, {"throughput": collected.add})
    return render(whole, collected, made), whole


def render(whole: Aggregate, collected: Throughput, made: str) -> str:
    """Return the page; `made` says when and by what. What fails comes first."""
    groups = overview.failing_first(whole)
    named = overview.headings(groups)
    shown = groups[:GROUPS_SHOWN]
    per_group = MATRIX_BYTES_MAX // max(1, len(shown))
    sections = [
        *((named[group], _group(whole, group, per_group)) for group in shown),
        ("Not shown by these records", _not_shown(whole, len(shown))),
        ("Machines and builds", _machines(whole)),
        ("By signature", by_signature(whole)),
        ("Over torch builds", _builds(whole)),
        ("Trend over runs", trends(whole)),
        ("ThreadSanitizer", _sanitizer(whole)),
        ("Throughput", throughput(collected)),
        ("Runs", overview.run_table(whole)),
        ("Environment", environments(whole)),
    ]
    unusable = problems(whole)
    if unusable is not None:
        sections.append(("Lines that could not be used", unusable))
    notes = {named[group]: _note(whole, group) for group in shown}
    body = [
        tag("h1", "mps-stress report"),
        tag("p", f"{count(len(whole.runs), 'run')}, {count(whole.records, 'record')}; {made}", class_="dim"),
        tag("div", tag("div", overview.verdict_lines(whole, groups)),
            _contents([heading for heading, _ in sections], notes), class_="halves top"),
        *(_section(number, heading, content) for number, (heading, content) in enumerate(sections)),
    ]  # fmt: skip
    head = [
        tag("meta", charset="utf-8"),
        tag("meta", http_equiv="Content-Security-Policy", content=_POLICY),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="referrer", content="no-referrer"),
        tag("title", "mps-stress report"),
        tag("style", Markup(STYLE)),
    ]
    body.append(tag("script", Markup(COPY_SCRIPT)))
    return f'<!doctype html>\n<html lang="en">{tag("head", head)}{tag("body", body)}</html>\n'


def _contents(headings: Sequence[str], notes: Mapping[str, Markup]) -> Markup:
    """Return the list of sections, with how many items of a group fail."""
    lines = [
        tag("li", tag("a", heading, href=f"#section-{number}"), notes.get(heading))
        for number, heading in enumerate(headings)
    ]
    return tag("nav", tag("h2", "Contents"), tag("ol", lines))


def _note(whole: Aggregate, group: Group) -> Markup:
    word, class_ = overview.standing(whole.of(group))
    return join([" ", tag("span", word, class_=class_)])


def _section(number: int, heading: str, content: Markup) -> Markup:
    return tag("section", tag("h2", heading), content, id=f"section-{number}")


def _not_shown(whole: Aggregate, groups: int) -> Markup:
    sentences = list(not_shown(whole))
    if len(whole.groups) > groups:
        sentences.append(f"{len(whole.groups) - groups} more groups of machines, builds and settings")
    if not sentences:
        return tag("p", "Nothing that this page looks for is missing.")
    return tag("ul", [tag("li", one) for one in sentences])


def _sanitizer(whole: Aggregate) -> Markup:
    lines = whole.sanitizer_lines
    if not lines:
        return tag("p", "Not shown: neither mps-stress tsan nor pytest --mps-tsan is among these records.")
    return tag("ul", [
        tag("li", tag("span", text, class_="pass" if is_green else "bad"), _where(kind), f" ({runs} runs)" if runs > 1 else "")
        for (text, is_green, kind), runs in lines.items()
    ])  # fmt: skip


def _where(kind: DeviceKind) -> str:
    return (
        " (on simulated Metal)"
        if kind is DeviceKind.CORE
        else " (on the simulated device, not on Metal)"
        if kind.is_simulated
        else ""
    )


def _machines(whole: Aggregate) -> Markup:
    return join([
        tag("p", "Each cell is one build, machine and configuration; cells are never pooled. Kinds of devices stay apart. "
            "Canaries are left out."),
        overview.hardware_matrix(whole),
    ])  # fmt: skip


def _builds(whole: Aggregate) -> Markup:
    """Return what became of each failure and failing scenario over the builds of each machine."""
    shown = [[where, name, *more] for where, name, more in state_rows(whole)]
    if not shown:
        return tag("p", "No scenario failed on any build.")
    return table(["machine and settings", "failure or scenario", "failed", "state"], shown[:STATES_SHOWN])


def _group(whole: Aggregate, group: Group, matrix_bytes_max: int) -> Markup:
    cells = whole.of(group)
    return join([
        tag("p", KIND_TEXTS[group.kind], class_=None if group.kind.is_metal_evidence else "note"),
        tag("p", f"{group.build.label}; {group.configuration_text}", class_="dim"),
        overview.orders_line(cells),
        tag("h3", "Failures"),
        failures(whole, group),
        tag("div",
            tag("div", tag("h3", "Failure rates"), rates(cells)),
            tag("div", tag("h3", "Verdicts by scenario and threads (failed / attempts that count)"),
                matrix(cells, matrix_bytes_max)),
            class_="halves"),
    ])  # fmt: skip
