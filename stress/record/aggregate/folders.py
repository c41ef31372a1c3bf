"""Read record folders into an `Aggregate`: one pass, flat memory, and nothing taken on trust that a record cannot show.

An attempt counts when it has a start and an end in the same file, after that run's own `run` record. An end that
amends a counted one replaces it. Records that break these rules are reported with file and line.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import dataclass
from dataclasses import field
from pathlib import Path
from typing import Any
from typing import NamedTuple

from stress.model.errors import UserError
from stress.model.shared_write import from_data
from stress.model.shared_write import sentence
from stress.model.text import count
from stress.model.verdict import Verdict
from stress.record import RecordError
from stress.record import RunReader
from stress.record import read_run
from stress.record.aggregate.cells import Cell
from stress.record.aggregate.cells import Failure
from stress.record.aggregate.cells import failure_name
from stress.record.aggregate.cells import kept_end
from stress.record.aggregate.cells import kept_start
from stress.record.aggregate.groups import Group
from stress.record.aggregate.groups import group_of
from stress.record.aggregate.runs import GROUPS_MAX
from stress.record.aggregate.runs import RUNS_MAX
from stress.record.aggregate.runs import SENTENCES_MAX
from stress.record.aggregate.runs import Aggregate
from stress.record.aggregate.runs import RunInfo
from stress.record.aggregate.runs import Sentence
from stress.record.writer import encode

ITEM_CHARS_MAX = 500
SENTENCE_CHARS_MAX = 600
NOTES_MAX, NOTE_CHARS_MAX = 8, 400
OPEN_STARTS_MAX = 1_000
ENDED_MAX = 2_000_000
"""Attempts of one file of which an amendment can still be understood: about 100 bytes each."""

Collect = Callable[[Mapping[str, Any], RunInfo], None]
Collectors = Mapping[str, Collect]
"""Command (`power`, `throughput`, ...) -> the collector of its runs' records. They enter no rate of a scenario."""


class AggregateError(UserError):
    """A folder cannot be used; the text says why and what to give instead."""


class _Counted(NamedTuple):
    """The counts that an attempt added, so that an amendment can take them back."""

    verdict: str
    name: str
    shared: bool = False
    """It ran in a process in which another one of its item counts."""


@dataclass
class _File:
    """State of one record file."""

    name: str
    runs: dict[str, tuple[RunInfo, Group]] = field(default_factory=dict)
    """Runs whose `run` record this file has had: concatenated files have several."""
    started: dict[tuple[str, str, str, int], Mapping[str, Any]] = field(default_factory=dict)
    ended: dict[int, _Counted] = field(default_factory=dict)
    """Hash of (run, item, role, attempt) -> the counts that it added."""


def read_folders(paths: Sequence[Path], collectors: Collectors | None = None) -> Aggregate:
    """Return the counts of all runs at `paths`: run folders, or folders of run folders.

    Runs of commands that measure something else, or that repeat what was chosen because it failed, are not counted
    here; `collectors` see their records. Raise `AggregateError` for a path that holds no records, and where no run is
    in them: nothing could be told from a page or a document of nothing.
    """
    aggregate = Aggregate()
    seen: set[tuple[str, str]] = set()
    for path in paths:
        for folder in run_folders(path):
            _Reader(aggregate, folder, seen, collectors or {}).read()
    if not aggregate.runs:
        raise AggregateError(_no_run(paths, aggregate))
    return aggregate


def _no_run(paths: Sequence[Path], aggregate: Aggregate) -> str:
    """Return why there is no run in what was read."""
    why = "its record files are empty"
    if aggregate.problems:
        more = aggregate.problems_total - 1
        why = aggregate.problems[0] + (
            f" (and {count(more, 'line')} more that cannot be used)" if more else ""
        )
    elif aggregate.torn_lines:
        why = "its only line is cut off: the run was killed as it began, or is still beginning"
    elif aggregate.unknown_kinds:
        why = f"only records of kinds that this version does not know ({', '.join(list(aggregate.unknown_kinds)[:4])})"
    return f"no run in {', '.join(map(str, paths[:4]))}: {why}"


def run_folders(path: Path) -> list[Path]:
    """Return the run folders at or directly below `path`."""
    try:
        if not path.is_dir():
            raise AggregateError(
                f"{path}: there is no such folder; give run folders, such as results/runs/2026-..."
            )
        if _has_records(path):
            return [path]
        found = sorted(one for one in path.iterdir() if one.is_dir() and _has_records(one))
    except OSError as error:
        raise AggregateError(f"{path}: cannot read: {error.strerror}") from None
    if not found:
        raise AggregateError(f"{path}: no records (*.jsonl) in it or in the folders directly below it")
    return found


def _has_records(folder: Path) -> bool:
    return any(one.name.endswith(".jsonl") for one in folder.iterdir())


class _Reader:
    """Reads one folder."""

    def __init__(
        self, aggregate: Aggregate, folder: Path, seen: set[tuple[str, str]], collectors: Collectors
    ) -> None:
        self._all, self._folder, self._collectors = aggregate, folder, collectors
        self._seen = seen
        self._file = _File("")
        self._skipped: set[tuple[str, str]] = set()
        self._names: dict[_Counted, _Counted] = {}
        """Each name stored once: a file may have as many attempts as it has lines."""

    def read(self) -> None:
        try:
            reader = read_run(self._folder)
        except RecordError as error:
            raise AggregateError(str(error)) from None
        for record in self._records(reader):
            if reader.file != self._file.name:
                self._close_file()
                self._file = _File(reader.file)
            self._add(record, reader.line)
        self._close_file()
        self._all.torn_lines += reader.torn_lines
        self._all.unknown_kinds += reader.unknown_kinds
        for problem in reader.problems:
            self._all.problem(f"{self._folder.name}/{problem}")
        self._all.problems_total += reader.problems_total - len(reader.problems)

    def _records(self, reader: RunReader) -> Iterator[dict[str, Any]]:
        try:
            for record in reader:
                self._all.records += 1
                yield record  # type: ignore[misc]
        except OSError as error:
            self._all.problem(f"{self._folder.name}/{reader.file}: cannot read: {error.strerror}")

    def _problem(self, line: int, text: str) -> None:
        self._all.problem(f"{self._folder.name}/{self._file.name}:{line}: {text}")

    def _add(self, record: dict[str, Any], line: int) -> None:
        kind, run = record["kind"], record["run"]
        if kind == "run":
            self._open_run(record, line)
            return
        known = self._file.runs.get(run)
        if known is None:
            if (run, self._file.name) not in self._skipped:
                self._problem(
                    line, f"a {kind} record of run {run[:80]!r} before that run's own record: not counted"
                )
            return
        info, group = known
        if kind == "item" and isinstance(record.get("sentence"), str):
            self._sentence(record)
        if kind == "run_end":
            info.ended += 1
            info.exit_status = record["exit_status"]
            info.seconds = max(info.seconds, float(record["seconds"]))
        elif info.is_apart:
            if info.command in self._collectors:
                self._collectors[info.command](record, info)
        elif kind == "attempt_start":
            self._start(record, line)
        elif kind == "attempt_end":
            self._end(record, line, info, group)
        elif kind == "item":
            self._item(record, group)
        elif kind == "totals":
            self._totals(record, line, info, group)
        info.lost = max(info.lost, record.get("lost", 0))

    def _open_run(self, record: dict[str, Any], line: int) -> None:
        run = record["run"]
        key = (run, self._file.name)
        # A folder may be given twice, or be there as a copy; files may be concatenated, so that the same run begins
        # again in one file. The first must not count twice, the second must count: what tells them apart is whether
        # this file has had it.
        if key in self._seen and run not in self._file.runs:
            if key not in self._skipped:
                self._problem(line, "these records were read already, from another folder: not counted twice")
            self._skipped.add(key)
            return
        self._seen.add(key)
        group = group_of(record)
        info = self._all.runs.get(run)
        if info is None:
            too_many = len(self._all.runs) >= RUNS_MAX or len({one.group for one in self._all.runs.values()} | {group}) > GROUPS_MAX  # fmt: skip
            if too_many:
                self._all.omitted["runs"] += 1
                self._skipped.add(key)
                return
            # Cut as our own writer would have cut it: this one is kept, and may be a stranger's.
            kept = json.loads(encode(record))
            info = self._all.runs[run] = RunInfo(run, self._folder, group, record["time"], kept)
        info.processes += 1
        self._file.runs[run] = (info, group)

    def _start(self, record: dict[str, Any], line: int) -> None:
        key = _key(record)
        if len(record["item"]) > ITEM_CHARS_MAX:
            self._problem(line, f"item of {len(record['item'])} characters: not counted")
        elif len(self._file.started) < OPEN_STARTS_MAX:
            self._file.started[key] = record
        else:
            self._all.omitted["attempts while too many others were open"] += 1

    def _end(self, record: dict[str, Any], line: int, info: RunInfo, group: Group) -> None:
        key = _key(record)
        # An attempt may end twice: macOS writes a crash report after the process has gone, and the end that has it
        # amends the first. Adding both would count one attempt twice, and waiting for the second does not work, since
        # most have none. So the first is counted at once, and what it added is remembered, and taken back when an
        # amendment comes.
        start = self._file.started.pop(key, None)
        before = self._file.ended.get(hash(key))
        if start is None and (before is None or not record.get("amends")):
            self._problem(
                line, f"attempt {record['role']} {record['attempt']} ends without a start: not counted"
            )
            return
        if record.get("simulated") is True and not info.record["simulated"]:
            self._problem(line, "a simulated attempt in a run that says it is not: not counted")
            return
        threads = start["threads"] if start is not None and record["role"] == "crew" else 0
        cell = self._all.cell(group, record["item"], threads)
        if cell is None:
            return
        if before is not None and start is None:
            _count(cell, record["role"], before, info, -1)
        name, is_known = failure_name(record) if Verdict(record["verdict"]).is_failure else ("", False)
        shared = before.shared if before is not None else cell.processes.has_another(record)
        now = self._interned(_Counted(record["verdict"], name, shared))
        _count(cell, record["role"], now, info, 1)
        cell.seconds += record["seconds"] if start is not None else 0.0
        judged = Verdict(record["verdict"])
        if before is None and record["role"] == "crew" and judged.enters_rate:
            cell.outcomes.add(failed=judged.is_failure, age=record.get("age", 0))
            cell.hand_overs.add(record.get("hand_overs", ""))
        # The hash and not the key: keys hold the item's name, and there may be millions.
        if len(self._file.ended) < ENDED_MAX:
            self._file.ended[hash(key)] = now
        if start is not None and start.get("canary") is True:
            cell.is_canary = True
        if not cell.shared_writes:
            cell.shared_writes = sentence(from_data(record.get("shared_writes") or ()))[:NOTE_CHARS_MAX]
        if name and record["role"] == "crew":
            first, last = cell.seen.get(name, (record["time"], record["time"]))
            cell.seen[name] = min(first, record["time"]), max(last, record["time"])
            if is_known:
                cell.known.add(name)
            if record["verdict"] == Verdict.CRASH and len(cell.signals) < 2:  # with two, the word names none
                cell.signals.add((record.get("signal") or "")[:NOTE_CHARS_MAX])
            self._keep(record, start or {}, name, is_known, line, group)

    def _interned(self, made: _Counted) -> _Counted:
        return self._names.setdefault(made, made)

    def _keep(
        self,
        record: dict[str, Any],
        start: Mapping[str, Any],
        name: str,
        is_known: bool,
        line: int,
        group: Group,
    ) -> None:
        failure = Failure(
            name,
            is_known,
            group,
            record["run"],
            self._folder,
            self._file.name,
            line,
            kept_start(start),
            kept_end(record),
        )
        failure.start["item"] = record["item"]
        self._all.keep(failure, record["item"])

    def _totals(self, record: dict[str, Any], line: int, info: RunInfo, group: Group) -> None:
        """Add the attempts of a file that was folded: nothing but their number is left of them."""
        verdicts, is_canary = record["verdicts"], record.get("canary") is True
        bad = next((name for name, n in verdicts.items() if not _is_total(name, n, is_canary)), None)
        if bad is not None or len(record["item"]) > ITEM_CHARS_MAX:
            what = "an item of a name too long" if bad is None else f"{verdicts[bad]!r} times {bad[:40]!r}"
            self._problem(line, f"totals of {what}: not counted")
            return
        cell = self._all.cell(group, record["item"], record["threads"] if record["role"] == "crew" else 0)
        if cell is None:
            return
        cell.is_canary = cell.is_canary or is_canary
        cell.seconds += record["seconds"]
        for name, number in verdicts.items():
            _count(cell, record["role"], _Counted(name, ""), info, number)
        cell.shared += min(record.get("shared", 0), sum(verdicts.values()) - 1)

    def _item(self, record: dict[str, Any], group: Group) -> None:
        cell = self._all.cells.get((group, record["item"]))
        if cell is None:
            return
        # Early records of version 0.1.0 do not say; in a green item, failures were wanted or accepted.
        untold = "canary" not in record and Verdict(record["verdict"]).is_green and record["failures"] > 0
        cell.is_canary = cell.is_canary or record.get("canary") is True or untold
        cell.origin = cell.origin or tuple(
            one[:NOTE_CHARS_MAX] for one in (record.get("origin") or [])[:NOTES_MAX]
        )
        for verdict, why in list((record.get("acceptable") or {}).items())[:NOTES_MAX]:
            cell.acceptable[verdict[:NOTE_CHARS_MAX]] = why[:NOTE_CHARS_MAX]
        if len(cell.notes) < NOTES_MAX:
            cell.notes.update(one[:NOTE_CHARS_MAX] for one in (record.get("notes") or [])[:NOTES_MAX])

    def _sentence(self, record: Mapping[str, Any]) -> None:
        if len(self._all.sentences) < SENTENCES_MAX:
            text = record["sentence"][:SENTENCE_CHARS_MAX]
            self._all.sentences.append(Sentence(record["run"], record["item"], record["verdict"], text))
        else:
            self._all.omitted["sentences of ThreadSanitizer's cases"] += 1

    def _close_file(self) -> None:
        """Count the starts that have no end: the machine or the parent died, or it still runs."""
        for (run, item, role, _), start in self._file.started.items():
            known = self._file.runs.get(run)
            if known is None or role != "crew":
                continue
            info, group = known
            info.unfinished += 1
            cell = self._all.cell(group, item, start["threads"])
            if cell is not None:
                cell.unfinished += 1


def _key(record: Mapping[str, Any]) -> tuple[str, str, str, int]:
    return record["run"], record["item"], record["role"], record["attempt"]


def _is_total(verdict: str, number: int, is_canary: bool) -> bool:
    """Whether a file that was folded may have had so many: a failure is never folded, unless it was planted."""
    if verdict not in set(Verdict) or not 0 < number <= ENDED_MAX:
        return False
    return is_canary or not Verdict(verdict).is_failure


def _count(cell: Cell, role: str, counted: _Counted, info: RunInfo, number: int) -> None:
    """Add attempts to the counts, or take them back with a negative number."""
    verdict, name, _ = counted
    tallies = {"crew": cell.verdicts, "control": cell.controls, "fresh": cell.fresh}
    tally = tallies.get(role, cell.references)
    tally[verdict] += number
    if not tally[verdict]:
        del tally[verdict]
    if role != "crew":
        return
    info.attempts += number
    if name:
        cell.names[verdict, name] += number
        if not cell.names[verdict, name]:
            del cell.names[verdict, name]
    judged = Verdict(verdict)
    if judged.enters_rate:
        by_run = cell.by_run.setdefault(info.run, [0, 0])
        cell.shared += number * counted.shared
        by_run[0] += number * (not counted.shared)
        by_run[1] += number * judged.is_failure
