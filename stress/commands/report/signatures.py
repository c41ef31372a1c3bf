"""One view per signature: everywhere it was seen, how often, when last, and the line that runs one of its attempts again."""

from __future__ import annotations

from stress.commands.report.html import Markup
from stress.commands.report.html import command
from stress.commands.report.html import join
from stress.commands.report.html import table
from stress.commands.report.html import tag
from stress.commands.report.html import within
from stress.commands.report.overview import when
from stress.diagnose import load_signatures
from stress.model.text import count
from stress.record.aggregate import Aggregate
from stress.record.aggregate import Group
from stress.record.aggregate.names import NamedFailure
from stress.record.aggregate.names import named_failures
from stress.record.aggregate.words import replay_line

BYTES_MAX = 300_000
_HEADINGS = ("where", "items", "failed", "seen first (UTC)", "seen last (UTC)", "again")


def by_signature(whole: Aggregate) -> Markup:
    """Return a block for each name of a failure, over all machines, builds and settings; the one seen last comes first."""
    found: dict[str, list[tuple[Group, NamedFailure]]] = {}
    for group in whole.groups:
        for named in named_failures(whole, group):
            found.setdefault(named.name, []).append((group, named))
    if not found:
        return tag("p", "No attempt failed.")
    meanings = {one.id: one.meaning for one in load_signatures()}
    ordered = sorted(found.items(), key=lambda one: (-_last(one[1]), one[0]))
    blocks, left_out = within(
        (_block(whole, name, where, meanings.get(name, "")) for name, where in ordered), BYTES_MAX
    )
    rest = f"{left_out} more signatures do not fit on this page." if left_out else ""
    return join([
        tag("p", "Counts of unlike machines, builds and settings are never added."),
        *blocks,
        tag("p", rest, class_="dim") if rest else None,
    ])  # fmt: skip


def _last(where: list[tuple[Group, NamedFailure]]) -> float:
    return max((named.seen[1] for _, named in where if named.seen), default=0.0)


def _block(whole: Aggregate, name: str, where: list[tuple[Group, NamedFailure]], meaning: str) -> Markup:
    rows = []
    for group, named in where:
        first, last = named.seen or (0.0, 0.0)
        again = (
            command(replay_line(named.first, whole.runs[named.first.run])) if named.first is not None else "-"
        )
        rows.append([
            f"{group.kind}: {group.machine}; {group.build.label}; {group.configuration_text}",
            f"{len(named.cells)}",
            f"{named.failures}/{named.counted}",
            when(first),
            when(last),
            again,
        ])  # fmt: skip
    return tag(
        "details",
        tag("summary", f"{name}: in {count(len(where), 'place')}, last on {when(_last(where))}"),
        tag("p", meaning) if meaning else None,
        table(list(_HEADINGS), rows),
    )
