"""Put the page together."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from stress.commands.report import overview
from stress.commands.report.appendix import environments
from stress.commands.report.appendix import problems
from stress.commands.report.failures import failures
from stress.commands.report.html import Markup
from stress.commands.report.html import join
from stress.commands.report.html import tag
from stress.commands.report.matrix import MATRIX_BYTES_MAX
from stress.commands.report.matrix import matrix
from stress.commands.report.matrix import rates
from stress.commands.report.style import STYLE
from stress.commands.report.throughput import throughput
from stress.commands.report.trend import trends
from stress.record.aggregate import Aggregate
from stress.record.aggregate import DeviceKind
from stress.record.aggregate import Group
from stress.record.aggregate import read_folders
from stress.record.aggregate.groups import KIND_TEXTS
from stress.record.aggregate.throughput import Throughput
from stress.record.aggregate.words import not_shown

# Even if an escape were forgotten somewhere: nothing may be fetched, and no script may run.
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
GROUPS_SHOWN = 24


def page_of(paths: Sequence[Path], made: str) -> tuple[str, Aggregate]:
    """Return the page for these folders and what it was made from; raise `AggregateError` for unusable ones."""
    collected = Throughput()
    whole = read_folders(paths, {"throughput": collected.add})
    return render(whole, collected, made), whole


def render(whole: Aggregate, collected: Throughput, made: str) -> str:
    """Return the page; `made` says when and by what."""
    groups = whole.groups[:GROUPS_SHOWN]
    body = [
        tag("h1", "mps-stress report"),
        tag("p", f"{len(whole.runs)} runs, {whole.records} records; {made}", class_="dim"),
        overview.verdict_lines(whole),
        _section("Not shown by these records", _not_shown(whole, len(groups))),
        _section("Machines and builds", _machines(whole)),
        *(_group(whole, group, MATRIX_BYTES_MAX // max(1, len(groups))) for group in groups),
        _section("Trend over runs", trends(whole)),
        _section("ThreadSanitizer", _sanitizer(whole)),
        _section("Throughput", throughput(collected)),
        _section("Runs", overview.run_table(whole)),
        _section("Environment", environments(whole)),
    ]
    unusable = problems(whole)
    if unusable is not None:
        body.append(_section("Lines that could not be used", unusable))
    head = [
        tag("meta", charset="utf-8"),
        tag("meta", http_equiv="Content-Security-Policy", content=_POLICY),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="referrer", content="no-referrer"),
        tag("title", "mps-stress report"),
        tag("style", Markup(STYLE)),
    ]
    return f'<!doctype html>\n<html lang="en">{tag("head", head)}{tag("body", body)}</html>\n'


def _section(heading: str, content: Markup) -> Markup:
    return tag("section", tag("h2", heading), content)


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
    return " (on the simulated device, not on Metal)" if kind is DeviceKind.SIMULATED else ""


def _machines(whole: Aggregate) -> Markup:
    return join([
        tag("p", "Each cell is one build, machine and configuration; cells are never pooled. Kinds of devices stay apart. "
            "Canaries are left out."),
        overview.hardware_matrix(whole),
    ])  # fmt: skip


def _group(whole: Aggregate, group: Group, matrix_bytes_max: int) -> Markup:
    cells = whole.of(group)
    return _section(
        f"{group.kind}: {group.machine}",
        join([
            tag("p", KIND_TEXTS[group.kind], class_=None if group.kind.is_metal_evidence else "note"),
            tag("p", f"{group.build.label}; {group.configuration_text}", class_="dim"),
            tag("h3", "Verdicts by scenario and threads (failed / attempts that count)"),
            matrix(cells, matrix_bytes_max),
            tag("h3", "Failure rates"),
            rates(cells),
            tag("h3", "Failures"),
            failures(whole, group),
        ]),
    )  # fmt: skip
