"""Put the document together."""

from __future__ import annotations

from collections.abc import Iterator
from collections.abc import Sequence

from stress.commands.compare.command import compare_aggregates
from stress.commands.compare.judge import PairResult
from stress.commands.compare.pairs import CompareError
from stress.commands.compare.report import Compared
from stress.commands.compare.report import answer_text
from stress.commands.compare.report import counts
from stress.commands.compare.report import name_text
from stress.commands.evidence import draft
from stress.commands.evidence import results
from stress.commands.evidence.checklist import Inputs
from stress.commands.evidence.checklist import Point
from stress.commands.evidence.checklist import checklist
from stress.commands.evidence.checklist import points
from stress.commands.evidence.front import Front
from stress.commands.evidence.front import front
from stress.commands.evidence.lint import lint
from stress.commands.evidence.options import EvidenceOptions
from stress.commands.evidence.patch import Patch
from stress.commands.evidence.patch import PatchError
from stress.commands.evidence.patch import Tree
from stress.commands.evidence.patch import read_patch
from stress.commands.evidence.patch import read_tree
from stress.commands.evidence.power import Power
from stress.commands.evidence.redact import Redactor
from stress.commands.evidence.upstream_results import UpstreamCompared
from stress.commands.evidence.upstream_results import UpstreamRuns
from stress.model.markdown import bullets
from stress.model.markdown import code
from stress.model.markdown import folded
from stress.model.markdown import plain
from stress.model.markdown import table
from stress.model.text import count
from stress.plugin.terminal.table import SIMULATED_SENTENCE
from stress.record.aggregate import Aggregate
from stress.record.aggregate import read_folders
from stress.record.aggregate.throughput import Throughput
from stress.record.aggregate.words import not_shown

FILES_SHOWN = 60
ROWS_SHOWN = 200


def document_of(asked: EvidenceOptions, made: str) -> str:
    """Return the Markdown; raise `AggregateError` or `PatchError` for input that cannot be used."""
    power, collected = Power(), Throughput()
    patch = read_patch(asked.patch) if asked.patch is not None else None
    tree = read_tree(asked.tree, asked.patch, patch) if asked.tree is not None else None
    if asked.lint and (tree is None or patch is None):
        raise PatchError(
            "--lint needs --patch and --torch-source: it looks at the patch's files in that tree"
        )
    upstream = UpstreamCompared(stock=UpstreamRuns(), patched=UpstreamRuns())
    whole = read_folders(
        asked.runs,
        {"power": power.add, "throughput": collected.add, "upstream": upstream.patched.add},
    )
    before = read_folders(asked.base, {"upstream": upstream.stock.add}) if asked.base else None
    compared, why_not = _compared(before, whole)
    linted = lint(tree, patch) if asked.lint and tree is not None and patch is not None else None
    subjects = results.subjects_of(whole, tree.head if tree is not None else None)
    given = Inputs(
        whole,
        subjects,
        patch,
        tree,
        linted,
        compared,
        power.sentences(),
        any(collected.figures()),
        upstream,
    )
    if asked.draft:
        text = draft.issue(given) if asked.draft == "issue" else draft.pull_request(given)
    else:
        text = _document(given, collected, why_not, made)
    redact = Redactor.of(whole, *([before] if before is not None else []))
    if tree is not None:
        text = text.replace(str(tree.path), "[tree]")
    return redact(text)


def _compared(before: Aggregate | None, after: Aggregate) -> tuple[Compared | None, str]:
    if before is None:
        return None, "not shown, no --base was given (runs with stock torch, same machine and settings)"
    try:
        return compare_aggregates(before, after), ""
    except CompareError as error:
        return None, f"not shown, {error}"


def _document(given: Inputs, collected: Throughput, why_not: str, made: str) -> str:
    """Return what a maintainer reads in two minutes, and all the rest, folded."""
    found = points(given)
    title = f"# Evidence{f' for {code(given.patch.name)}' if given.patch is not None else ''}"
    head = [
        title,
        f"{plain(made)}. Every number is computed from {count(given.whole.records, 'record')} of "
        f"{count(len(given.whole.runs), 'run')}; the unit is an attempt, one process.",
    ]
    if any(one.group.kind.is_simulated for one in given.subjects):
        head.append(f"> Where a line says simulated: {plain(SIMULATED_SENTENCE)}.")
    first = front(given, found, "\n\n".join(head), why_not)
    rest = [folded(name, text) for name, text in _rest(given, collected, found, first) if text]
    return "\n\n".join([*head, first.text, *rest]) + "\n"


def _rest(
    given: Inputs, collected: Throughput, found: Sequence[Point], first: Front
) -> Iterator[tuple[str, str]]:
    """Yield (heading, text) of what is folded; a section without a text is not shown at all: the checklist names it."""
    yield "Patch", _patch(given.patch, given.tree)
    yield "Results", "\n\n".join(results.result_tables(given.subjects))
    yield (
        "Confidence and power",
        "\n\n".join(
            one for one in (results.confidence(given.subjects), bullets(map(plain, given.power))) if one
        ),
    )
    yield "Every item before and after", _before_and_after(given.compared)
    yield "Upstream's own tests, before and after", given.upstream.section()
    yield "Upstream's own tests, alone and from threads", given.upstream.patched.section()
    yield "ThreadSanitizer", _sanitizer(given.whole)
    yield "Throughput", _throughput(collected)
    yield "Failures", results.failures(given.whole, given.subjects, first.examples_left)
    yield "Known limitations", results.limitations(given.subjects)
    yield "Submission checklist", checklist(found)
    unusable = (
        [f"{count(given.whole.problems_total, 'line')} of the records could not be used"]
        if given.whole.problems_total
        else []
    )
    yield "Not shown by these records", bullets(plain(one) for one in [*not_shown(given.whole), *unusable])


def _patch(patch: Patch | None, tree: Tree | None) -> str:
    rows = []
    if patch is not None:
        base = patch.base or (tree.upstream_base if tree is not None else None)
        where = (
            "the patch says so" if patch.base else "merge base of the tree with its upstream" if base else ""
        )
        rows += [
            [
                "file",
                f"{code(patch.name)}, {patch.bytes} bytes, {count(patch.commits, 'commit')} (mail headers)",
            ],
            ["MD5", code(patch.md5)],
            ["SHA-256", code(patch.sha256)],
            [
                "base",
                f"{code(base)} ({where})" if base else "not shown: neither the patch nor the tree says",
            ],
            [
                "changes",
                f"{count(len(patch.files), 'file')}, {patch.added} lines added, {patch.removed} removed",
            ],
        ]
    if tree is not None:
        dirty = {True: "uncommitted changes", False: "no uncommitted changes", None: "git status failed"}[
            tree.is_dirty
        ]
        rows += [["tree HEAD", f"{code(tree.head)} ({dirty})"], ["applies to the tree", plain(tree.applies)]]
    if not rows:
        return ""
    parts = [table(["", ""], rows)]
    if patch is not None:
        files = [
            [
                code(one.path),
                "binary" if one.added is None else f"+{one.added} -{one.removed}",
                "new" if one.is_new else "",
            ]
            for one in patch.files[:FILES_SHOWN]
        ]
        parts.append(table(["file", "lines", ""], files))
        if len(patch.files) > FILES_SHOWN:
            parts.append(f"{len(patch.files) - FILES_SHOWN} more files.")
    return "\n\n".join(parts)


def _before_and_after(compared: Compared | None) -> str:
    if compared is None:
        return ""
    parts = []
    for section, judged in zip(compared.sections, compared.judged, strict=True):
        rows = judged.rows
        parts.append(
            f"{plain(str(section.base.kind))}, {plain(section.base.machine)}, {code(section.base.configuration_text)}: "
            f"before {code(section.base.build.label)}, after {code(section.new.build.label)}"
        )
        shown = [row for row in rows if row.answer != PairResult.CLEAN][:ROWS_SHOWN]
        clean = sum(row.answer == PairResult.CLEAN for row in rows)
        if shown:
            parts.append(
                table(
                    ["item", "before", "after", "answer (exact tests, one-sided, Holm)"],
                    [[code(row.item), counts(row.base), counts(row.new), answer_text(row)] for row in shown],
                )
            )
        parts.append(f"{count(clean, 'item')} without a failure on either side.")
        names = [
            name_text(one)
            for one in (*judged.names, *([judged.together] if judged.together.named.items else []))
        ]
        parts += [bullets(plain(one) for one in names[:ROWS_SHOWN])] if names else []
        if section.lost:
            parts.append(
                "Only before, or nothing of it counts after: "
                + ", ".join(code(cell.item) for cell in section.lost[:ROWS_SHOWN])
            )
    parts += [plain(one) for one in compared.only_base]
    return "\n\n".join(parts)


def _sanitizer(whole: Aggregate) -> str:
    lines = whole.sanitizer_lines
    return bullets(
        f"{code(text, 700)}{' (simulated, not Metal)' if kind.is_simulated else ''}{f' x {runs}' if runs > 1 else ''}"
        for (text, _, kind), runs in lines.items()
    )


def _throughput(collected: Throughput) -> str:
    rows = [
        [plain(f"{info.group.kind}, {info.group.machine}"), code(one.workload), f"{plain(one.way)}, {plain(one.build)} build",
         str(one.count), one.median, one.interval, str(one.rounds)]
        for one, info in collected.figures()
    ]  # fmt: skip
    void = bullets(f"void: {code(item)}: {code(why)}" for item, why in collected.void.items())
    if not rows:
        return void
    headings = [
        "where",
        "workload",
        "way",
        "at once",
        "answers per second (median)",
        "95 % interval",
        "rounds",
    ]
    return "\n\n".join([table(headings, rows[:ROWS_SHOWN]), *([void] if void else [])])
