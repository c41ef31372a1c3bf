"""`RUN/17`: which folder, which attempt. Nothing here believes what a record says; it only looks for it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from collections.abc import Mapping
from dataclasses import dataclass
from dataclasses import field
from pathlib import Path
from typing import Any

from stress.commands import CommandError
from stress.model.spec import RESULTS_DEFAULT
from stress.model.text import count
from stress.record import RecordError
from stress.record import RunReader
from stress.record import read_run
from stress.record.folder import folders_by_age

NAME_FORM = "expected RUN/17, latest/17 or 17: a folder of results/runs and the attempt's number in it"
OWN_COMMANDS = ("replay", "minimise")
"""Runs of these are about another run's attempt: never what `latest` means."""
LISTED_MAX = 5
_NAME = re.compile(r"(?:(?P<run>.+)/)?(?P<serial>[0-9]{1,9})")


@dataclass
class Found:
    """The records of one attempt, and where they stand. Checked by the schema, and by nothing else so far."""

    folder: Path
    serial: int
    run: Mapping[str, Any]
    start: Mapping[str, Any]
    place: str
    """File and line of the start record, for whoever refuses it."""
    run_place: str
    end: Mapping[str, Any] | None = None
    """None: the machine or the parent died before the attempt was over, or it runs still."""
    siblings: list[int] = field(default_factory=list)
    """Serials of the crew's attempts of the same item."""

    @property
    def name(self) -> str:
        return f"{self.folder.name}/{self.serial}"


def find(text: str, rootdir: Path, results: Path | None = None) -> Found:
    """Return the attempt that `text` names; raise `CommandError` with the way out."""
    matched = _NAME.fullmatch(text)
    if matched is None:
        raise CommandError(f"{shown(text)}: {NAME_FORM}")
    return _search(run_folder(matched["run"] or "latest", rootdir, results), int(matched["serial"]))


def is_attempt(text: str) -> bool:
    """Whether `text` names an attempt, and not a run."""
    return _NAME.fullmatch(text) is not None


def results_in(rootdir: Path, results: Path | None) -> Path:
    """Return where the runs are."""
    return results if results is not None else rootdir / RESULTS_DEFAULT


def shown(text: object, chars_max: int = 300) -> str:
    """Return text of a record as a terminal may be given it: one line, no control characters, not endless."""
    line = "".join(one if one.isprintable() else f"\\x{ord(one):02x}" for one in str(text)[: chars_max + 1])
    return line if len(line) <= chars_max else f"{line[: chars_max - 3]}..."


def run_folder(name: str, rootdir: Path, results: Path | None = None) -> Path:
    """Return the folder of the run that `name` names; raise `CommandError` with the way out."""
    base = results_in(rootdir, results)
    if name == "latest":
        return _latest(base)
    for folder in (base / name, Path(name)):
        if folder.is_dir():
            return folder.resolve()
    raise CommandError(
        f"no run {shown(name)} in {base}; --results=DIR says where the runs are, and RUN may be a path"
    )


def _latest(base: Path) -> Path:
    """Return the newest run whose attempts are its own."""
    for folder in reversed(folders_by_age(base)):
        first = next((one for one in _records(folder) if one["kind"] == "run"), None)
        if first is not None and first.get("command") not in OWN_COMMANDS:
            return folder
    raise CommandError(f"no runs in {base}: --results=DIR says where they are")


def _records(folder: Path) -> Iterator[Any]:
    try:
        yield from read_run(folder)
    except RecordError as error:
        raise CommandError(str(error)) from None


def _search(folder: Path, serial: int) -> Found:
    try:
        reader = read_run(folder)
    except RecordError as error:
        raise CommandError(str(error)) from None
    runs: dict[str, tuple[Any, str]] = {}
    starts: list[tuple[Any, str]] = []
    ends: dict[tuple[str, str, int], Any] = {}
    by_item: dict[str, list[int]] = {}
    has_numbers = True
    for record in reader:
        one: Any = record
        place = f"{reader.file}:{reader.line}"
        if one["kind"] == "run":
            runs.setdefault(reader.file, (one, place))
        elif one["kind"] == "attempt_start":
            has_numbers = has_numbers and "serial" in one
            if one.get("serial") == serial:
                starts.append((one, place))
            if one["role"] == "crew" and "serial" in one:
                by_item.setdefault(one["item"], []).append(one["serial"])
        elif one["kind"] == "attempt_end" and one.get("serial") == serial:
            ends[one["item"], one["role"], one["attempt"]] = one  # a later one amends
    if not starts:
        raise CommandError(_not_there(folder, serial, by_item, reader, has_numbers=has_numbers))
    if len(starts) > 1:
        places = ", ".join(place for _, place in starts[:LISTED_MAX])
        raise CommandError(
            f"{folder.name} has {len(starts)} attempts {serial} ({places}): a worker was replaced; take another attempt"
        )
    start, place = starts[0]
    file = place.rpartition(":")[0]
    if file not in runs:
        raise CommandError(f"{folder.name}/{file}: it has no run record, which says what the attempt ran on")
    run, run_place = runs[file]
    end = ends.get((start["item"], start["role"], start["attempt"]))
    siblings = sorted(by_item.get(start["item"], []))
    return Found(
        folder, serial, run, start, f"{folder.name}/{place}", f"{folder.name}/{run_place}", end, siblings
    )


def _not_there(
    folder: Path, serial: int, by_item: Mapping[str, list[int]], reader: RunReader, *, has_numbers: bool
) -> str:
    """Return what there is instead."""
    text = f"run {folder.name} has no attempt {serial}"
    problems = [str(one) for one in reader.problems]
    if by_item:
        known = sorted(serials for of_item in by_item.values() for serials in of_item)
        some = ", ".join(map(str, known[:LISTED_MAX])) + (", ..." if len(known) > LISTED_MAX else "")
        text += f"; the attempts of its crews are {some}"
    elif not has_numbers:
        text += "; its attempts have no numbers: it was recorded before there were any"
    elif not problems:
        text += "; no attempt of a crew was started in it"
    if reader.torn_lines:
        text += f"; {count(reader.torn_lines, 'file')} of it {'ends' if reader.torn_lines == 1 else 'end'} in the middle of a line"
    if problems:
        text += f"; {len(problems)} of its lines cannot be used: {shown('; '.join(problems[:LISTED_MAX]))}"
    return text
