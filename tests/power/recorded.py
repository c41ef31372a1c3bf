"""Recorded power runs for tests: what a run would have written, made up to a known rate."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from stress.commands.power.allocation import ALLOCATION_FILE
from stress.commands.power.allocation import Entry
from stress.commands.power.allocation import dump
from stress.device.sim.zoo import BY_NAME
from stress.record import RecordWriter
from stress.record import RunFolder


class Recorded:
    """Writes a run folder."""

    def __init__(self, results: Path, name: str, entries: Sequence[Entry]) -> None:
        folder = RunFolder.create(results, name)
        folder.side(ALLOCATION_FILE).write_text(dump(entries, "made up"))
        self.path = folder.path
        self._writer = RecordWriter(folder)
        self._number = 0

    def attempts(
        self,
        entry: Entry,
        verdicts: Sequence[str],
        *,
        fault: str | None = None,
        seconds: float = 0.2,
        twin: bool = False,
        probability: float = 0.01,
        role: str = "crew",
    ) -> None:
        """Write one end record per verdict."""
        for verdict in verdicts:
            self._number += 1
            failed = verdict not in ("pass", "interesting")
            names = BY_NAME[fault].names if fault is not None else ("numeric",)
            self._writer.write(
                "attempt_end",
                item=f"power::{fault}::{entry.name}",
                role=role,
                attempt=self._number,
                verdict=verdict,
                seconds=seconds,
                headline="made up" if failed else "",
                findings=[{"verdict": verdict, "name": names[0]}] if failed else [],
                entry=entry.name,
                fault=fault,
                twin=twin,
                probability=probability,
                simulated=True,
            )
