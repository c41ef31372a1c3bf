"""Each failure: how often, what is known of it, the evidence of one attempt, and how to repeat it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from typing import Any

from stress.commands.report.html import Markup
from stress.commands.report.html import join
from stress.commands.report.html import preformatted
from stress.commands.report.html import tag
from stress.commands.report.html import within
from stress.diagnose import Signature
from stress.diagnose import load_signatures
from stress.diagnose import parse_stacks
from stress.diagnose import summarise
from stress.model import stats
from stress.model.verdict import Verdict
from stress.model.verdict import word_of
from stress.record.aggregate import Aggregate
from stress.record.aggregate import Cell
from stress.record.aggregate import Failure
from stress.record.aggregate import Group
from stress.record.aggregate.side import side_text
from stress.record.aggregate.words import percent
from stress.record.aggregate.words import replay_line

BYTES_MAX = 600_000
STDERR_LINES_MAX = 24
STACK_LINES_MAX = 40
FINDINGS_SHOWN = 3


def failures(whole: Aggregate, group: Group) -> Markup:
    """Return the failures of one group, the most frequent first; canaries are left out."""
    known = {one.id: one for one in load_signatures()}
    cells = {cell.item: cell for cell in whole.of(group)}
    by_name: dict[tuple[str, str], list[Failure]] = defaultdict(list)
    for one in whole.failures_of(group):
        cell = cells.get(one.start["item"])
        if cell is not None and not cell.is_canary:
            by_name[one.start["item"], one.name].append(one)
    ordered = sorted(by_name, key=lambda key: (-_count(cells[key[0]], key[1]), key))
    blocks, left_out = within(
        (_block(by_name[key][0], cells[key[0]], known.get(key[1]), key == ordered[0]) for key in ordered),
        BYTES_MAX,
    )
    if not blocks:
        return tag("p", "No attempt failed.")
    rest = f"{left_out} more kinds of failures do not fit on this page." if left_out else ""
    return join([*blocks, tag("p", rest, class_="dim") if rest else None])


def _count(cell: Cell, name: str) -> int:
    return sum(count for (_, its), count in cell.names.items() if its == name)


def _block(one: Failure, cell: Cell, signature: Signature | None, is_first: bool) -> Markup:
    count = _count(cell, one.name)
    low, high = stats.wilson(count, cell.counted)
    often = f"{count} of {cell.counted} attempts ({percent(count / cell.counted)}, 95 % interval {percent(low)} to {percent(high)})"
    control = (
        f"one thread, same total work: {cell.control_failures} of {cell.control_counted} failed"
        if cell.controls
        else "no one-thread control in the records"
    )
    return tag(
        "details",
        tag("summary", f"{cell.item}: {one.name}"),
        tag("p", f"{word_of(Verdict(one.verdict), signal=one.end.get('signal'))} in {often}; {control}."),
        _known(signature)
        if signature is not None
        else tag("p", "Nobody has described this failure yet (results/known)."),
        tag("p", tag("code", one.end["headline"])) if one.end["headline"] else None,
        _findings(one.end),
        _stamps(one.end),
        _files(one),
        _replay(one),
        open_="" if is_first else None,
    )


def _known(signature: Signature) -> Markup:
    links = [tag("li", tag("a", link, href=link, rel="noreferrer noopener")) for link in signature.links]
    return join([
        tag("p", f"Known: {signature.meaning}", f" Next: {signature.next}" if signature.next else ""),
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


def _replay(one: Failure) -> Markup:
    return tag(
        "p",
        "Again: ",
        tag("code", replay_line(one)),
        tag("small", " (same inputs and perturbation; thread scheduling may differ)"),
        tag("br"),
        tag("small", f"record: {one.folder.name}/{one.file}:{one.line}"),
    )
