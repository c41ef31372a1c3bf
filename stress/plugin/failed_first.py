"""`--mps-failed-first`: recorded failures of the items that are to run, each with the seed and the schedule that it had.

A seed that has failed is no sample of all seeds, so what comes of it enters no rate. The newest runs on the same kind of
device with the same simulated settings are read; their scenarios may have changed since.
"""

from __future__ import annotations

from collections.abc import Collection
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from typing import Any

from stress.child.perturb import MODES
from stress.model.spec import COMPLETIONS
from stress.model.spec import READBACKS
from stress.model.verdict import Verdict
from stress.plugin.settings import PERTURB_LEVELS
from stress.record import RecordError
from stress.record import read_run
from stress.record.folder import folders_by_age

if TYPE_CHECKING:
    from stress.isolate.device_choice import DeviceInfo

RUNS_MAX = 20
PER_ITEM_MAX = 3
_SAMPLES = (None, "", "campaign")
"""Commands whose attempts can be run again so; None and "" are pytest's own."""
_SIM_KEYS = ("design", "schedule", "faults")


@dataclass(frozen=True)
class RecordedFailure:
    """A crew's attempt that failed, in what it takes to run it again."""

    name: str
    """RUN/17."""
    seed: int
    attempt: int
    """Its number, which the seeds of its schedule follow from."""
    perturb: str
    perturb_level: str
    readback: str
    completion: str


def recorded_failures(
    results: Path, items: Collection[str], device: DeviceInfo, *, but: str = ""
) -> dict[str, list[RecordedFailure]]:
    """Return item -> its recorded failures, the newest first; `but` is the id of the run that asks."""
    found: dict[str, list[RecordedFailure]] = {}
    folders = [one for one in reversed(folders_by_age(results)) if one.name != but]
    for folder in folders[:RUNS_MAX]:
        for item, failure in reversed(_failures_in(folder, items, device)):
            own = found.setdefault(item, [])
            same = {(one.seed, one.attempt) for one in own}
            if len(own) < PER_ITEM_MAX and (failure.seed, failure.attempt) not in same:
                own.append(failure)
    return found


def _failures_in(
    folder: Path, items: Collection[str], device: DeviceInfo
) -> list[tuple[str, RecordedFailure]]:
    """Return the failures of one run, in the order in which they were started."""
    run: Mapping[str, Any] = {}
    starts: dict[tuple[str, int], Mapping[str, Any]] = {}
    failed: dict[tuple[str, int], RecordedFailure] = {}
    try:
        for read in read_run(folder):
            record: Mapping[str, Any] = dict(read)
            kind = record["kind"]
            if kind == "run":
                run = record
                if not _is_alike(run, device):
                    return []
            elif (
                kind not in ("attempt_start", "attempt_end")
                or record["role"] != "crew"
                or record["item"] not in items
            ):
                continue
            elif kind == "attempt_start":
                starts[record["item"], record["attempt"]] = record
            else:
                key = record["item"], record["attempt"]
                failure = _failure(folder, run, starts.get(key, {}))
                # A later end of the same attempt amends this one.
                failed.pop(key, None)
                if Verdict(record["verdict"]).is_failure and failure is not None:
                    failed[key] = failure
    except (RecordError, OSError):
        return []
    return [(item, one) for (item, _), one in failed.items()]


def _is_alike(run: Mapping[str, Any], device: DeviceInfo) -> bool:
    if run.get("command") not in _SAMPLES or run.get("device") != device.name:
        return False
    mine = device.sim.to_data() if device.sim is not None else {}
    theirs = run.get("sim") or {}
    return isinstance(theirs, dict) and all(mine.get(key) == theirs.get(key) for key in _SIM_KEYS)


def _failure(folder: Path, run: Mapping[str, Any], start: Mapping[str, Any]) -> RecordedFailure | None:
    """Return the failure; None where the record says what cannot be, or nothing can run again."""
    level = (run.get("settings") or {}).get("perturb", "off")
    perturb, readback = start.get("perturb", "none"), start.get("readback", "every")
    completion, serial = start.get("completion", "in_order"), start.get("serial")
    is_usable = (
        level in PERTURB_LEVELS and perturb in MODES and readback in READBACKS and completion in COMPLETIONS
        and isinstance(serial, int) and not start.get("canary") and not start.get("ordinary")
    )  # fmt: skip
    if not is_usable:
        return None
    return RecordedFailure(
        f"{folder.name}/{serial}",
        int(start["seed"]),
        int(start["attempt"]),
        perturb,
        level,
        readback,
        completion,
    )
