"""Cases of the native suite as entries: one run under ThreadSanitizer is an attempt, and there is no reference to make.

The suite drives the same code of the simulated device from native threads, which no lock of Python's holds up: a run takes a
tenth of a second, and strikes at places that Python's threads come to one after another. Its cases run on the design that
they are written for. Faults of the code above the device's (operators, copies, generators) are not in the program: it is run
without them, and the seconds are charged all the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from stress.commands.power.allocation import NATIVE
from stress.commands.power.allocation import AllocationError
from stress.commands.power.allocation import Entry
from stress.commands.power.outcome import Kind
from stress.commands.power.outcome import Outcome
from stress.commands.power.outcome import names_of
from stress.commands.power.subject import Subject
from stress.device.sim.zoo import Fault
from stress.model import seeds
from stress.model.verdict import Verdict
from stress.record import RecordWriter
from stress.record.schema import Kind as RecordKind
from stress.sanitizer.native.case_runner import NativeRunner
from stress.sanitizer.native.harness import Harness
from stress.sanitizer.native.judge import JudgedRun
from stress.sanitizer.native.judge import RunRequest
from stress.sanitizer.native.listing import ITERATIONS_DEFAULT
from stress.sanitizer.native.listing import Listing

DEADLINE_S = 20.0
"""The program ends itself when nothing has moved for a second."""


@dataclass(frozen=True)
class NativeCase:
    """An entry that names a case of the native suite."""

    entry: Entry
    case: str
    design: str
    is_process: bool = True
    """It needs no reference."""

    @property
    def name(self) -> str:
        return self.entry.name

    @property
    def iterations(self) -> int:
        return self.entry.iterations or ITERATIONS_DEFAULT

    def fits(self, design: str, _: frozenset[str]) -> bool:
        return design == self.design


def resolve_native(entry: Entry, listing: Listing) -> NativeCase:
    """Return the case that an entry names; raise `AllocationError`."""
    name = entry.scenario.removeprefix(NATIVE)
    if name not in listing.cases:
        raise AllocationError(f"{entry.name}: the native cases are {', '.join(listing.cases)}")
    return NativeCase(entry, name, listing.cases[name].design)


class NativeAttempts:
    """Runs cases with a subject armed, on record."""

    def __init__(self, harness: Harness, writer: RecordWriter, seed: int) -> None:
        self._harness, self._writer, self._seed = harness, writer, seed
        self._names: dict[str, object] = {}
        self._runner = NativeRunner(
            harness, self._record, writer.side_stem, writer.folder.path, "power", seed, DEADLINE_S
        )

    @property
    def listing(self) -> Listing:
        return self._harness.listing

    def problem(self, what: NativeCase) -> str:
        """Return why the silence of this program would prove nothing; its controls run once."""
        self._names = {}
        found = self._runner.controls(what.entry.threads, what.iterations)
        return "; ".join([*self._harness.audit.reasons, *found.reasons])

    def attempt(
        self, subject: Subject, what: NativeCase, number: int
    ) -> tuple[Outcome, int | None, Mapping[str, Any]]:
        """Run once; return the outcome, how often the fault struck, and what the end record says."""
        fault = self._armed(subject)
        seed = seeds.derive(self._seed, subject.label, what.name, number)
        asked = RunRequest(what.case, what.entry.threads, what.iterations, seed, fault)
        self._names = {"entry": what.name, **subject.record_fields()}
        judged = self._runner.run(f"power::{subject.label}::{what.name}", asked, number)
        end = {
            "verdict": str(judged.verdict),
            "headline": judged.headline,
            "signature": judged.signature,
            "findings": [one.to_data() for one in judged.findings],
        }
        struck = judged.told.struck if fault is not None and judged.told.end is not None else None
        return self._outcome(subject.fault, judged, end), struck, end

    def _armed(self, subject: Subject) -> str | None:
        armed = subject.armed
        if armed is None or armed.name not in self._harness.listing.faults:
            return None
        return str(armed)

    def _outcome(self, fault: Fault | None, judged: JudgedRun, end: Mapping[str, Any]) -> Outcome:
        """Judge by what the suite declares: the detector of the fault, or the verdict that the zoo declares."""
        verdict = judged.verdict
        if verdict.is_green:
            return Outcome(Kind.CLEAN, str(verdict), "")
        name = names_of(end)[0]
        if not verdict.is_failure:
            return Outcome(Kind.UNUSABLE, str(verdict), name)
        declared = self._harness.listing.faults.get(fault.name) if fault is not None else None
        is_right = declared is not None and declared.detector in judged.detectors
        if fault is None or not (is_right or verdict == Verdict(fault.verdict)):
            return Outcome(Kind.WRONG_VERDICT, str(verdict), name)
        return Outcome(Kind.KILL, str(verdict), name, is_right or name in fault.names)

    def _record(self, kind: RecordKind, **fields: object) -> None:
        self._writer.write(kind, **{**fields, **self._names})
