"""Print explanations. Whatever comes from a file is data: no markup, no control characters."""

from __future__ import annotations

from collections.abc import Iterator
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.text import Text

from stress.commands.explain.explanation import KINDS
from stress.commands.explain.explanation import Explanation
from stress.commands.explain.explanation import FailureClass
from stress.commands.explain.explanation import RecordSummary
from stress.commands.explain.reading import known_race
from stress.commands.explain.report_view import deadly_view
from stress.commands.explain.report_view import facts
from stress.commands.explain.report_view import report_view
from stress.diagnose.signatures import OWN_FOLDER
from stress.diagnose.signatures import SignatureMatch
from stress.diagnose.tsan.report import Parsed
from stress.diagnose.tsan.signature import deadly_signature
from stress.model.text import one_line
from stress.plugin.terminal.render import render

REPORTS_SHOWN = 20
FRAMES_SHOWN = 8
CLASSES_SHOWN = 20
PAIRS_SHOWN = 5
NO_VERDICT = (
    "No report does not mean no race: this text cannot show that ThreadSanitizer was working. `mps-stress tsan` runs the "
    "controls that can."
)


def rendered(explanation: Explanation, *, width: int, color: bool) -> str:
    """Return one explanation as text of at most `width` columns, as far as names allow."""
    return render(lambda console: _show(explanation, console), width, color=color)


def _show(explanation: Explanation, console: Console) -> None:
    if explanation.parsed is not None and explanation.parsed.is_tsan:
        _tsan(explanation, explanation.parsed, console)
    elif explanation.records is not None:
        _records(explanation, explanation.records, console)
    else:
        _plain(explanation, console)
    _proposals(explanation.proposals, console)


def _line(console: Console, text: str, style: str = "") -> None:
    console.print(Text(one_line(text, chars_max=1000), style=style))


def _title(explanation: Explanation, console: Console, text: str) -> None:
    name = "standard input" if explanation.name == "-" else explanation.name
    _line(console, f"{name}: {text}", "bold")


def _tsan(explanation: Explanation, parsed: Parsed, console: Console) -> None:
    _title(explanation, console, f"{KINDS[explanation.kind]}, {_counts(parsed)}")
    rows = [("trouble", text) for text in _troubles(parsed)]
    if not parsed.total:
        rows.append(("note", NO_VERDICT))
    if rows:
        console.print(facts(rows))
    shown = parsed.reports[:REPORTS_SHOWN]
    for number, (report, name) in enumerate(zip(shown, parsed.signatures, strict=False), start=1):
        often = f", {report.count} times" if report.count > 1 else ""
        title = one_line(f"{number} of {len(parsed.reports)}  {report.type}{often}  {name}")
        console.print()
        console.print(report_view(report, title, list(_known_race(name))))
    if len(parsed.reports) > len(shown):
        _line(
            console, f"... and {len(parsed.reports) - len(shown)} more distinct reports (--json has them all)"
        )
    for deadly in parsed.deadly[:REPORTS_SHOWN]:
        console.print()
        console.print(deadly_view(deadly, one_line(f"the process died  {deadly_signature(deadly)}")))
    others = [one for one in explanation.known if not one.signature.id.startswith("tsan/")]
    _known(others, console)


def _counts(parsed: Parsed) -> str:
    if not parsed.total:
        return "no report that can be read" if parsed.unparsed_lines else "no reports"
    reports = "1 report" if parsed.total == 1 else f"{parsed.total} reports"
    distinct = len(parsed.reports)
    return reports if distinct == parsed.total else f"{reports}, {distinct} distinct"


def _troubles(parsed: Parsed) -> Iterator[str]:
    if parsed.fatal:
        yield from parsed.fatal[:5]
    if parsed.cut_off:
        yield "The text ends in the middle of a report."
    if parsed.announced is not None and parsed.announced != parsed.total:
        yield f"The runtime reported {parsed.announced}, the text has {parsed.total}."
    if parsed.left_out:
        yield f"{parsed.left_out} reports have signatures beyond the first {len(parsed.reports)}: only counted."
    if parsed.unparsed_lines:
        yield f"{parsed.unparsed_lines} lines could not be understood, such as: {parsed.unparsed[0]}"
    for name, count in list(parsed.suppressions.items())[:10]:
        yield f"The suppression {name} hid {count} reports."


def _known_race(name: str) -> Iterator[str]:
    found = known_race(name)
    if found is None:
        yield "no: results/known has no entry for it"
        return
    yield f"{found.signature.id}{_since(found)}: {found.signature.meaning}"
    yield from found.signature.links
    if found.signature.next:
        yield f"next: {found.signature.next}"


def _since(found: SignatureMatch) -> str:
    return f", known since {found.signature.since}" if found.signature.since else ""


def _known(known: Sequence[SignatureMatch], console: Console) -> None:
    for one in known:
        console.print()
        _line(console, f"known failure: {one.signature.id}{_since(one)}", "bold")
        rows = [("meaning", one.signature.meaning)]
        rows += [("seen in", one.line)] if one.line else []
        rows += [("next", one.signature.next)] if one.signature.next else []
        if one.signature.taints:
            rows.append(("careful", "Do not trust values computed after this."))
        rows += [("links", link) for link in one.signature.links]
        console.print(facts(rows))


def _plain(explanation: Explanation, console: Console) -> None:
    _title(explanation, console, KINDS[explanation.kind])
    crash = explanation.crash
    rows = [("headline", explanation.headline)] if explanation.headline else []
    if crash is not None:
        rows += [("process", f"{crash.process} ({crash.pid}), {crash.time}")]
        rows += [("ended by", crash.exception or crash.signal or "?")]
        rows += [("said", text) for text in crash.asi[:5]]
        where = " ".join(one for one in (crash.thread, f"queue {crash.queue}" if crash.queue else "") if one)
        rows += [("thread", where)] if where else []
        rows += [("frame", text) for text in crash.frames[:FRAMES_SHOWN]]
    if explanation.kind in ("empty", "binary"):
        rows.append(("note", NO_VERDICT))
    if rows:
        console.print(facts(rows))
    _known(explanation.known, console)
    if not explanation.known and explanation.kind in ("text", "crash-report"):
        _line(console, "  It matches nothing in results/known and holds no report of ThreadSanitizer.")


def _records(explanation: Explanation, summary: RecordSummary, console: Console) -> None:
    simulated = ", simulated: it says nothing about Metal" if summary.simulated else ""
    _title(explanation, console, f"{KINDS['records']} {summary.run} on {summary.device}{simulated}")
    attempts = ", ".join(f"{count} {verdict}" for verdict, count in sorted(summary.verdicts.items()))
    rows = [("attempts", attempts or "none")]
    rows += [("cut off", f"no end: {one}") for one in summary.unfinished]
    if summary.torn_lines:
        rows.append(("cut off", f"{summary.torn_lines} files end in the middle of a line"))
    rows += [("unusable", text) for text in summary.problems]
    if summary.problems_total > len(summary.problems):
        rows.append(("unusable", f"and {summary.problems_total - len(summary.problems)} more lines"))
    console.print(facts(rows))
    for one in summary.classes[:CLASSES_SHOWN]:
        console.print()
        _failure_class(one, console)
    if len(summary.classes) > CLASSES_SHOWN:
        _line(
            console, f"... and {len(summary.classes) - CLASSES_SHOWN} more kinds of failure (--json has them)"
        )


def _failure_class(one: FailureClass, console: Console) -> None:
    often = "1 attempt" if one.attempts == 1 else f"{one.attempts} attempts"
    items = "" if one.items == 1 else f" of {one.items} items"
    name = f"{one.signature}{_since(one.found) if one.found else ''}" if one.signature else "not known"
    _line(console, f"{often}{items}: {one.verdict}, {name}", "bold red")
    rows = [("first", one.item), *([("headline", one.headline)] if one.headline else [])]
    rows += [("shared", one.shared)] if one.shared else []
    if one.found is not None:
        rows.append(("meaning", one.found.signature.meaning))
        rows += [("next", one.found.signature.next)] if one.found.signature.next else []
        rows += [("links", link) for link in one.found.signature.links]
    rows += [("stderr", one.stderr)] if one.stderr else []
    console.print(facts(rows))
    reports = one.order_reports
    for report in reports[:PAIRS_SHOWN]:
        for line in report.splitlines():
            _line(console, f"  {line}")
    if len(reports) > PAIRS_SHOWN:
        _line(console, f"  ... and {len(reports) - PAIRS_SHOWN} more pairs (--json has them)")
    inner = one.explanation
    if inner is not None and inner.parsed is not None:
        _tsan(inner, inner.parsed, console)


def _proposals(proposals: Sequence[str], console: Console) -> None:
    if not proposals:
        return
    console.print()
    entry = "this entry" if len(proposals) == 1 else "these entries"
    own = Path(*OWN_FOLDER, "own.toml")
    _line(
        console,
        f"Unknown. To recognise it next time, complete {entry} in ./{own}, which runs and commands here read:",
        "dim",
    )
    for one in proposals:
        for line in one.splitlines():
            console.print(Text(f"    {line}"), soft_wrap=True)
        console.print()
