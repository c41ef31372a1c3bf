"""The disk limit: files of records without a finding become totals, the oldest first. No failure is ever removed.

Rates stay what they were, because the number of attempts stays. Removing clean runs alone would make every rate
look worse than it is.
"""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import dataclass
from dataclasses import field
from pathlib import Path
from typing import Any

from stress.commands.campaign.resume import record_files
from stress.model.verdict import Verdict
from stress.record import read_run
from stress.record import schema
from stress.record.folder import RecordError
from stress.record.folder import flush_to_disk
from stress.record.writer import encode

_SIDE_FIELDS = ("stderr", "stacks", "tsan_log")
_PART = ".part"


@dataclass
class _Total:
    verdicts: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0
    threads: int = 0
    is_canary: bool = False
    shared: int = 0
    processes: set[int] = field(default_factory=set)


def bytes_in(results: Path) -> int:
    """Return the size of everything in the folder of results."""
    total = 0
    for folder, _, names in os.walk(results):
        for name in names:
            try:
                total += os.lstat(os.path.join(folder, name)).st_size
            except OSError:
                continue  # a child's file that is gone by now
    return total


def fold_oldest(results: Path, writing: Path, bytes_max: int) -> int:
    """Fold closed files of campaigns, oldest first, until the folder is within the limit; return how many were."""
    folded = 0
    size = bytes_in(results)
    for path in _candidates(results, writing):
        if size <= bytes_max:
            break
        if fold(path):
            folded += 1
            size = bytes_in(results)
    return folded


def _candidates(results: Path, writing: Path) -> list[Path]:
    try:
        folders = sorted(one for one in results.iterdir() if one.is_dir())
    except OSError:
        return []
    return [path for folder in folders for path in record_files(folder) if path != writing]


def fold(path: Path) -> bool:
    """Replace a campaign's file by its totals; return False, with the file as it was, where it is not clean."""
    kept: list[dict[str, Any]] = []
    items: dict[str, dict[str, Any]] = {}
    open_: dict[tuple[str, str, int], dict[str, Any]] = {}
    totals: dict[tuple[str, str], _Total] = {}
    side: list[str] = []
    try:
        reader = read_run(path)
        for one in reader:
            record: dict[str, Any] = dict(one)
            kind = record["kind"]
            if kind == "attempt_start":
                open_[_key(record)] = record
            elif kind == "attempt_end":
                start = open_.pop(_key(record), None)
                if start is None or not _add(totals, record, start):
                    return False
                side += [record[name] for name in _SIDE_FIELDS if record.get(name)]
            elif kind == "item":
                items[record["item"]] = record
            else:
                kept.append(record)
    except (OSError, RecordError):
        return False
    # What has no end may have taken the machine down; what cannot be read is not known to be clean.
    is_campaign = bool(kept) and kept[0]["kind"] == "run" and kept[0].get("command") == "campaign"
    if open_ or reader.problems_total or reader.torn_lines or not is_campaign or not totals:
        return False
    _replace(path, kept, items, totals)
    for name in side:
        if schema.side_name_error(name) is None:
            (path.parent / name).unlink(missing_ok=True)
    return True


def _key(record: dict[str, Any]) -> tuple[str, str, int]:
    return record["item"], record["role"], record["attempt"]


def _add(totals: dict[tuple[str, str], _Total], record: dict[str, Any], start: dict[str, Any]) -> bool:
    """Count an attempt; return False for a finding."""
    is_canary = start.get("canary") is True
    if Verdict(record["verdict"]).is_failure and not is_canary:
        return False
    total = totals.setdefault((record["item"], record["role"]), _Total())
    total.verdicts[record["verdict"]] += 1
    if record["role"] == "crew" and Verdict(record["verdict"]).enters_rate:
        process = record.get("process", 0) or -len(total.processes)
        total.shared += process in total.processes
        total.processes.add(process)
    total.seconds += record["seconds"]
    total.threads, total.is_canary = start["threads"], is_canary
    return True


def _replace(
    path: Path,
    kept: list[dict[str, Any]],
    items: dict[str, dict[str, Any]],
    totals: dict[tuple[str, str], _Total],
) -> None:
    """Write the new file beside the old one, then put it in its place: a kill leaves one of the two whole."""
    first, rest = kept[0], kept[1:]
    common = {name: first[name] for name in ("v", "run", "time")}
    simulated = {"simulated": True} if first["simulated"] else {}
    made = [
        {
            **common,
            "kind": "totals",
            "item": item,
            "role": role,
            "threads": one.threads,
            "verdicts": dict(one.verdicts),
            "seconds": one.seconds,
            **({"canary": True} if one.is_canary else {}),
            **({"shared": one.shared} if one.shared else {}),
            **simulated,
        }
        for (item, role), one in totals.items()
    ]
    part = path.with_name(path.name + _PART)
    with part.open("wb") as file:
        for record in [{**first, "folded": True}, *made, *items.values(), *rest]:
            file.write(encode(record))
        file.flush()
        flush_to_disk(file.fileno())
    os.replace(part, path)
