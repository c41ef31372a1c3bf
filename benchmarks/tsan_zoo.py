"""The seeded faults that `--mps-tsan` reports as races: `python -m benchmarks.tsan_zoo [--faults=A,B] [--attempts=N]`.

Each fault runs in the scenario that `mps-stress power` knows to show it, at its declared probability and at 1, and then its
twin at 1, which must stay silent. References come from the ordinary build. About 25 minutes for all on two idle cores,
which is why `make bench` leaves it out.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from dataclasses import field
from dataclasses import replace
from pathlib import Path

from stress.commands.power.allocation import Entry
from stress.commands.power.allocation import load
from stress.commands.power.runnable import Runnable
from stress.commands.power.runnable import resolve
from stress.commands.power.subject import Subject
from stress.device.sim.build import SimBuild
from stress.device.sim.build import default_builder
from stress.device.sim.zoo import FAULTS
from stress.device.sim.zoo import Fault
from stress.isolate.judgement import judge
from stress.isolate.supervisor import ChildRun
from stress.isolate.supervisor import Supervisor
from stress.model import seeds
from stress.model.spec import ChildSpec
from stress.plugin import tsan_run

ATTEMPTS_DEFAULT = 2
DEADLINE_S = 60.0
SIGNATURES_SHOWN = 2


@dataclass
class Seen:
    """What some attempts with one setting gave."""

    attempts: int = 0
    reported: int = 0
    verdicts: Counter[str] = field(default_factory=Counter)
    signatures: Counter[str] = field(default_factory=Counter)

    def __str__(self) -> str:
        return f"{self.reported}/{self.attempts}"


class FaultRunner:
    """Runs attempts: references in the ordinary build, crews under ThreadSanitizer."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._plain: SimBuild = default_builder().ensure(print)
        self._tsan: SimBuild = tsan_run.build(print)
        self.children = tsan_run.children_of(self._tsan.library, print)
        self._references = Supervisor(str(self._plain.library))
        self._crews = Supervisor(str(self._tsan.library), tsan=self.children)
        tsan_run.control(self._crews, self.children, sim=self._tsan.spec(Subject("fork").sim))
        self._made = 0

    def close(self) -> None:
        self._references.close()
        self._crews.close()

    def reference(self, what: Runnable, subject: Subject) -> str | None:
        """Return the file of a reference made without the fault; None for a scenario that needs none."""
        if what.is_process:
            return None
        spec = replace(self._spec("reference", what, 0), sim=self._plain.spec(Subject(subject.design).sim))
        run = self._references.run(spec, 0)
        if run.result is None or run.result["findings"]:
            raise SystemExit(f"{what.name}: no reference: {run.result or run.stderr[-500:]}")
        return str(spec.file("reference"))

    def attempts(self, what: Runnable, subject: Subject, reference: str | None, count: int) -> Seen:
        """Run some attempts with the subject armed."""
        seen = Seen()
        for number in range(count):
            spec = self._spec("process" if what.is_process else "crew", what, number)
            spec = replace(
                spec,
                references=(reference,) if reference is not None else (),
                sim=self._tsan.spec(subject.sim),
                readback=what.entry.readback if what.entry.readback != "rotate" else "every",
            )
            run = self._crews.run(spec, what.workers if spec.kind == "crew" else 0)
            self._note(seen, run)
        return seen

    def _note(self, seen: Seen, run: ChildRun) -> None:
        assert run.tsan is not None
        seen.attempts += 1
        seen.reported += bool(run.tsan.parsed.total)
        seen.verdicts[judge(run).word] += 1
        seen.signatures.update(dict.fromkeys(run.tsan.parsed.signatures, 1))

    def _spec(self, kind: str, what: Runnable, attempt: int) -> ChildSpec:
        self._made += 1
        return ChildSpec(
            kind,
            str(self._folder),
            f"{self._made}",
            "sim",
            scenario=what.ref,
            threads=what.entry.threads,
            iterations=what.entry.iterations,
            seed=seeds.derive(1, what.name),
            attempt=attempt,
            deadline_s=DEADLINE_S,
            sys_path=tuple(sys.path),
            cwd=os.getcwd(),
        )


def entries_of(fault: Fault) -> Iterator[Entry]:
    """Yield the entries that earlier records show to kill the fault, the best first."""
    yield from (one for one in load() if fault.name in one.faults)


def measure(names: list[str], attempts: int) -> None:
    """Print a line per fault, and at the end how many were reported."""
    folder = Path(tempfile.mkdtemp(prefix="mps-stress-tsan-zoo-"))
    runner = FaultRunner(folder)
    print(tsan_run.header_line(runner.children), flush=True)
    print("fault | scenario | declared p | p=1 | twin | verdicts at p=1 | signatures", flush=True)
    found = Counter[str]()
    started = time.monotonic()
    try:
        for fault in FAULTS:
            if names and fault.name not in names:
                continue
            what = resolve(next(entries_of(fault)))
            reference = runner.reference(what, Subject(fault.design))
            rows = [
                runner.attempts(what, subject, reference, attempts)
                for subject in (
                    Subject(fault.design, fault),
                    Subject(fault.design, fault, probability=1.0),
                    Subject(fault.design, fault, twin=True, probability=1.0),
                )
            ]
            declared, certain, twin = rows
            found["declared"] += bool(declared.reported)
            found["either"] += bool(declared.reported or certain.reported)
            found["twins"] += bool(twin.reported)
            found["faults"] += 1
            names_seen = declared.signatures + certain.signatures
            columns = [
                fault.name,
                what.name,
                str(declared),
                str(certain),
                str(twin),
                ", ".join(f"{word} {count}" for word, count in certain.verdicts.items()),
                "; ".join(name for name, _ in names_seen.most_common(SIGNATURES_SHOWN)) or "-",
                *([f"TWIN: {'; '.join(twin.signatures)}"] if twin.reported else []),
            ]
            print(" | ".join(columns), flush=True)
    finally:
        runner.close()
        shutil.rmtree(folder, ignore_errors=True)
    print(
        f"{found['declared']} of {found['faults']} faults reported at their declared probability, "
        f"{found['either']} at that or at 1; {found['twins']} twins reported; "
        f"{time.monotonic() - started:.0f} s"
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--faults", default="", help="names, separated by commas (default: all)")
    parser.add_argument("--attempts", type=int, default=ATTEMPTS_DEFAULT)
    given = parser.parse_args()
    measure([name for name in given.faults.split(",") if name], given.attempts)
