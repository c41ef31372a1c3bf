"""Runs one operator with one dtype: its reference, an attempt, and where that fails more of them and the control."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from stress.child.tasks import ALONE_RAISES
from stress.commands.sweep.options import SweepOptions
from stress.isolate.case_runner import CasePolicy
from stress.isolate.case_runner import CaseRunner
from stress.isolate.case_runner import CaseSpec
from stress.isolate.case_runner import Rotation
from stress.isolate.case_runner import recorder
from stress.isolate.device_choice import DeviceInfo
from stress.isolate.judged_case import JudgedCase
from stress.isolate.supervisor import ChildRun
from stress.model import seeds
from stress.model.spec import ChildSpec
from stress.model.spec import ScenarioRef
from stress.model.verdict import Verdict
from stress.record import RecordWriter

DEADLINE_S = 60.0
REFERENCE_DEADLINE_S = 120.0
POLICY = CasePolicy(attempts=5, attempts_clean=1)
"""One attempt is made of each case; a failing one gets more, and as many with one thread."""
_PERTURB_LEVEL = "low"
_MODE_PLACES = 9


@dataclass(frozen=True)
class OperatorCase:
    """One operator with one dtype."""

    op: str
    dtype: str

    @property
    def item(self) -> str:
        return f"sweep::{self.op}::{self.dtype}"


@dataclass(kw_only=True)
class OperatorResult(JudgedCase):
    """What became of a case."""

    case: OperatorCase
    threads: int

    @property
    def samples(self) -> int:
        """Return how many samples were compared; each thread has all of them."""
        return self.reference.slots // self.threads if self.reference is not None else 0

    @property
    def word(self) -> str:
        """Return ok, refused (one thread alone gets an error, too), or the verdict."""
        if self.verdict.is_green:
            return "ok"
        alone = (
            not self.attempts
        )  # the sequential run was no reference: the headline is what one thread alone gets
        is_refused = alone and self.verdict == Verdict.ERROR and ALONE_RAISES in self.headline
        return "refused" if is_refused else self.verdict.word

    def decide(self) -> None:
        """Set verdict and headline, which has the signature: there is no block of text that could tell it."""
        super().decide()
        first = self.first_failure
        if self.headline and first is not None and first.signature:
            self.headline += f" [{first.signature}]"


class OperatorRunner:
    """Runs cases one after another."""

    def __init__(
        self,
        run_child: Callable[[ChildSpec, int], ChildRun],
        writer: RecordWriter,
        device: DeviceInfo,
        options: SweepOptions,
    ) -> None:
        self._device, self._options = device, options
        self._runner = CaseRunner(run_child, writer, recorder(writer, simulated=device.is_simulated))

    def run(self, case: OperatorCase) -> OperatorResult:
        """Run a case to its verdict."""
        command = self._command(case)
        result = OperatorResult(item=case.item, command=command, case=case, threads=self._options.threads)
        self._runner.run(self._spec(case, command), POLICY, result)
        self._runner.record_item(result)
        return result

    def _spec(self, case: OperatorCase, command: str) -> CaseSpec:
        options = self._options
        return CaseSpec(
            item=case.item,
            child=ChildSpec(
                "crew",
                device=self._device.name,
                scenario=_REF,
                overrides={"op": case.op, "dtype_name": case.dtype},
                threads=options.threads,
                seed=seeds.derive(options.seed, case.item),
                shares_process=True,
                deadline_s=DEADLINE_S,
                sim=self._device.sim_spec,
                core=self._device.core_spec,
            ),
            # Most cases have one attempt only: each begins at another place in the rotation of modes.
            rotation=Rotation(
                _PERTURB_LEVEL, mode_first=seeds.derive(options.seed, "mode", case.item) % _MODE_PLACES
            ),
            reference_deadline_s=REFERENCE_DEADLINE_S,
            command=lambda _: command,
            start={
                "params": {"op": case.op, "dtype": case.dtype},
                "iterations": 0,  # as many as there are samples, which the child counts
            },
            workers=options.threads,
        )

    def _command(self, case: OperatorCase) -> str:
        options = self._options
        parts = [
            "mps-stress",
            "sweep",
            f"--device={self._device.name}",
            f"--ops={case.op}",
            f"--dtypes={case.dtype}",
        ]
        parts += [f"--threads={options.threads}", f"--seed={options.seed:#x}"]
        if options.sim.faults:
            parts.append("--sim-faults=" + ",".join(map(str, options.sim.faults)))
        return shlex.join(parts)


_REF = ScenarioRef(
    str(Path(__file__).with_name("scenario.py")), "stress.commands.sweep.scenario", "OperatorFromThreads", ()
)
