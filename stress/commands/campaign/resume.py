"""A campaign that was killed, or ended because the machine went down: found by its records, and counted again from them."""

from __future__ import annotations

import signal
from collections.abc import Iterable
from collections.abc import Mapping
from dataclasses import dataclass
from dataclasses import field
from pathlib import Path
from typing import Any

import psutil

from stress.commands.campaign.tally import CampaignTally
from stress.record import read_run
from stress.record.folder import RecordError
from stress.record.folder import host_name

_LEFT_OVER = ("*.json", "*.result.part", "*.blackbox", "*.reference", "*.jsonl.part")
"""Side files that only a process and its child needed."""


_ENDED_FROM_OUTSIDE = (signal.SIGTERM, signal.SIGHUP)
"""Sent by a machine that goes down, and also by somebody who wants the end. Ctrl-C is always the latter."""


def status_of(number: signal.Signals) -> int:
    """Return the exit status of a campaign that a signal ended: 128 and the signal, as shells count."""
    return 128 + number


@dataclass(frozen=True)
class Killed:
    """A campaign that recorded no end."""

    folder: Path
    record: Mapping[str, Any]
    """The run record of its last process."""
    until: float
    """When its time is up, in seconds since 1970."""
    last_time: float
    """When it wrote its last record."""
    files: tuple[Path, ...] = field(default=())

    @property
    def machine_went_down(self) -> bool:
        """Whether the machine was restarted since: the attempt that was running may have taken it down."""
        return psutil.boot_time() > self.last_time


def find_killed(results: Path, now: float) -> Killed | None:
    """Return the newest campaign of this machine in `results`, if it was killed, or went down with the machine in good
    order, and its time is not up."""
    try:
        folders = sorted((one for one in results.iterdir() if one.is_dir()), reverse=True)
    except OSError:
        return None
    for folder in folders:
        files = record_files(folder)
        found = _last_process(files) if files else None
        if found is None:
            continue
        record, last_time, exit_status = found
        until = record.get("until")
        if record.get("command") != "campaign" or not isinstance(until, int | float):
            continue
        if not files[-1].name.startswith(f"{host_name()}-"):
            continue
        killed = Killed(folder, record, float(until), last_time, tuple(files))
        return killed if until > now and _is_to_go_on(killed, exit_status) else None
    return None


def _is_to_go_on(killed: Killed, exit_status: int | None) -> bool:
    """Return whether nobody wanted the end: none was written, or the signal came before the machine was restarted."""
    if exit_status is None:
        return True
    return exit_status in map(status_of, _ENDED_FROM_OUTSIDE) and killed.machine_went_down


def record_files(folder: Path) -> list[Path]:
    """Return the files of records in the order in which their processes were started."""
    try:
        return sorted(folder.glob("*.jsonl"), key=_started_ms)
    except OSError:
        return []


def _started_ms(path: Path) -> int:
    digits = path.stem.rpartition("-")[2]
    return int(digits[:20]) if digits.isdigit() else 0


def _last_process(files: Iterable[Path]) -> tuple[Mapping[str, Any], float, int | None] | None:
    """Return (run record, time of the last record, exit status or None) of the process that was started last."""
    record: Mapping[str, Any] | None = None
    last_time, exit_status = 0.0, None
    try:
        for one in read_run(list(files)[-1]):
            if one["kind"] == "run":
                record = one
            last_time = max(last_time, one["time"])
            exit_status = one["exit_status"] if one["kind"] == "run_end" else None
    except (OSError, RecordError):
        return None
    return (record, last_time, exit_status) if record is not None else None


def count_again(killed: Killed, tally: CampaignTally) -> None:
    """Count what the dead processes have recorded, and remove what their last children left behind."""
    for path in killed.files:
        for record in read_run(path):
            tally.see(record)
        tally.process_died()
    tally.counted_before = tally.attempts
    for pattern in _LEFT_OVER:
        for path in killed.folder.glob(pattern):
            path.unlink(missing_ok=True)


def difference(was: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """Return what the settings of the killed campaign and of this one differ in; empty where one may continue the other."""
    ignored = {"seed", "results", "seconds"}
    names = [
        name
        for name in sorted((was.keys() | now.keys()) - ignored)
        if _plain(was.get(name)) != _plain(now.get(name))
    ]
    return ", ".join(f"{name} was {was.get(name)!r} and is {now.get(name)!r}" for name in names[:3])


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    return str(value) if isinstance(value, Path) else value
