"""Each name of a failure: its items and how often, what is known, the evidence of one attempt, and how to repeat it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from stress.commands.report.html import Markup
from stress.commands.report.html import command
from stress.commands.report.html import join
from stress.commands.report.html import preformatted
from stress.commands.report.html import tag
from stress.commands.report.html import within
from stress.commands.report.items import control_text
from stress.commands.report.items import name
from stress.commands.report.items import rows_by_file
from stress.commands.report.items import short
from stress.commands.report.overview import when
from stress.diagnose import Signature
from stress.diagnose import load_signatures
from stress.diagnose import parse_stacks
from stress.diagnose import summarise
from stress.model.text import count
from stress.model.verdict import Verdict
from stress.model.verdict import word_of
from stress.record.aggregate import Aggregate
from stress.record.aggregate import Failure
from stress.record.aggregate import Group
from stress.record.aggregate.names import NamedFailure
from stress.record.aggregate.names import named_failures
from stress.record.aggregate.side import side_text
from stress.record.aggregate.words import repeat_line
from stress.record.aggregate.words import replay_line

BYTES_MAX = 600_000
STDERR_LINES_MAX = 24
STACK_LINES_MAX = 40
FINDINGS_SHOWN = 3
ITEMS_SHOWN = 200


def failures(whole: Aggregate, group: Group) -> Markup:
    """Return the failures of one group by name, those of the most items first; canaries are left out."""
    known = {one.id: one for one in load_signatures()}
    found = named_failures(whole, group)
    blocks, left_out = within(
        (_block(whole, one, known.get(one.name), is_first=not number) for number, one in enumerate(found)),
        BYTES_MAX,
    )
    if not blocks:
        return tag("p", "No attempt failed.")
    rest = f"{left_out} more kinds of failures do not fit on this page." if left_out else ""
    return join([*blocks, tag("p", rest, class_="dim") if rest else None])


def _block(whole: Aggregate, named: NamedFailure, signature: Signature | None, *, is_first: bool) -> Markup:
    items = count(len(named.cells), "item")
    seen = f"{items}, {named.failures} of {count(named.counted, 'attempt')}"
    times = named.seen
    shown = [_example(whole, named)] if named.first is not None else []
    return tag(
        "details",
        tag("summary", f"{named.name}: {seen}"),
        tag("p", f"Known: {signature.meaning}") if signature is not None
        else tag("p", "Nobody has described this failure yet (results/known)."),
        tag("p", f"Seen first on {when(times[0])}, last on {when(times[1])} (UTC).", class_="dim") if times else None,
        tag("div", tag("div", _next(signature), _items(named), _commands(whole, named)), shown, class_="halves"),
        open_="" if is_first else None,
    )  # fmt: skip


def _items(named: NamedFailure) -> Markup:
    """Return the items that have it, under their files."""
    rows = {}
    for cell in named.cells[:ITEMS_SHOWN]:
        rows[cell.item] = tag(
            "tr",
            tag("th", name(short(cell.item)), scope="row"),
            tag("td", f"{named.in_cell(cell)}/{cell.counted}"),
            tag("td", control_text(cell)),
        )
    head = tag("thead", tag("tr", [tag("th", one, scope="col") for one in ("item", "failed", "one thread")]))
    more = len(named.cells) - len(rows)
    return join([
        tag("div", tag("table", head, tag("tbody", [*rows_by_file(rows, 3)]), class_="matrix"), class_="scroll"),
        tag("p", f"{more} more items", class_="dim") if more else None,
    ])  # fmt: skip


def _commands(whole: Aggregate, named: NamedFailure) -> Markup | None:
    """Return the line that runs an attempt of each item again, where there are several items."""
    firsts = [named.firsts[cell.item] for cell in named.cells if cell.item in named.firsts]
    if len(firsts) < 2:
        return None
    lines = [tag("li", command(replay_line(one, whole.runs[one.run]))) for one in firsts[:ITEMS_SHOWN]]
    return tag("details", tag("summary", "Repeat one attempt of each item"), tag("ul", lines))


def _example(whole: Aggregate, named: NamedFailure) -> Markup:
    """Return what one attempt left: its headline, findings, stacks, and how to run it again."""
    one = named.first
    assert one is not None
    return tag(
        "div",
        tag(
            "p", f"{word_of(Verdict(one.verdict), signal=one.end.get('signal'))} in ", name(one.start["item"])
        ),
        tag("p", named.shared_writes) if named.shared_writes else None,
        tag("p", tag("code", one.end["headline"])) if one.end["headline"] else None,
        _findings(one.end),
        _stamps(one.end),
        _files(one),
        _replay(one, whole),
    )


def _next(signature: Signature | None) -> Markup | None:
    if signature is None:
        return None
    links = [tag("li", tag("a", link, href=link, rel="noreferrer noopener")) for link in signature.links]
    return join([
        tag("p", f"Next: {signature.next}") if signature.next else None,
        tag("ul", links) if links else None,
    ])  # fmt: skip


def _findings(end: Mapping[str, Any]) -> Markup | None:
    lines = []
    for one in end["findings"][:FINDINGS_SHOWN]:
        where = " ".join(f"{name} {one[name]}" for name in ("thread", "iteration", "output") if name in one)
        error = (
            f"; largest error {one['error_max']:.3g}, allowed {one['error_allowed']:.3g}"
            if _has_error(one)
            else ""
        )
        lines.append(
            tag("li", f"{one.get('name', '?')}: {where}{': ' if where else ''}{one.get('text', '')}{error}")
        )
    more = end["findings_total"] - len(lines)
    if more > 0:
        lines.append(tag("li", f"and {more} more findings in the record"))
    return tag("ul", lines) if lines else None


def _has_error(one: Mapping[str, Any]) -> bool:
    return all(isinstance(one.get(name), int | float) for name in ("error_max", "error_allowed"))


def _stamps(end: Mapping[str, Any]) -> Markup | None:
    lines = [_stamp(one) for one in end["stamps"] if one.get("status") != "unused"]
    if not lines or end["verdict"] not in ("crash", "hang"):
        return None
    return join([tag("p", "What each thread did last:"), preformatted("\n".join(lines), STACK_LINES_MAX)])


def _stamp(one: Mapping[str, Any]) -> str:
    worker = one.get("worker", one.get("thread"))
    who = "main thread" if worker is None else f"thread {worker}"
    in_words = [
        f"{name} {one[name]}" for name in ("iteration", "phase", "op") if one.get(name) not in (None, "")
    ]
    return f"{who}: {one.get('status', '')} {', '.join(in_words)}"


def _files(one: Failure) -> list[Markup]:
    parts = []
    stderr = side_text(one.folder, one.end.get("stderr"))
    if stderr and stderr.strip():
        parts += [tag("p", "Last lines on stderr:"), preformatted(stderr, STDERR_LINES_MAX)]
    stacks = side_text(one.folder, one.end.get("stacks"))
    if stacks and stacks.strip():
        in_words = "\n".join(summarise(parse_stacks(stacks)).splitlines()[:STACK_LINES_MAX]) or stacks
        parts += [tag("p", "Stacks of the threads:"), preformatted(in_words, STACK_LINES_MAX)]
    missing = [
        str(one.end[name])
        for name, text in (("stderr", stderr), ("stacks", stacks))
        if one.end.get(name) and text is None
    ]
    if missing:
        parts.append(tag("p", f"Missing beside the record: {', '.join(missing)}", class_="dim"))
    return parts


def _replay(one: Failure, whole: Aggregate) -> Markup:
    info = whole.runs[one.run]
    replay, repeat = replay_line(one, info), repeat_line(one, info)
    elsewhere = [tag("br"), "Without these records: ", command(repeat)] if repeat != replay else []
    return tag(
        "p",
        "Again: ",
        command(replay),
        tag("small", " (same inputs and perturbation; thread scheduling may differ)"),
        elsewhere,
        tag("br"),
        tag("small", f"record: {one.folder.name}/{one.file}:{one.line}"),
    )
