"""Items, their identity and their results: plain data between runner, records and reports."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import dataclass
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING
from typing import Any

from stress.isolate.judged_case import JudgedCase
from stress.model.spec import ScenarioRef
from stress.model.text import count
from stress.model.verdict import Verdict
from stress.plugin.options import repeat_arguments
from stress.scenario.scenario import ProcessScenario
from stress.scenario.scenario import waves_of
from stress.scenario.sequences.generated import GeneratedScenario

if TYPE_CHECKING:
    from stress.plugin.run import Run
    from stress.plugin.settings import Settings


@dataclass(frozen=True)
class ItemSpec:
    """The identity of an item: equal fields give equal inputs in every run with one seed."""

    nodeid: str
    scenario: Any
    """The bound scenario instance; the parent reads its declarations and calls none of its steps."""
    ref: ScenarioRef
    params: dict[str, str]
    env: dict[str, str]
    threads: int

    @property
    def key(self) -> str:
        """Return what seeds follow from; not the thread count, so that counts share their first inputs."""
        return f"{Path(self.ref.path).name}::{self.ref.qualname}{sorted(self.params.items())}{sorted(self.env.items())}"

    def command(self, run: Run) -> str:
        """Return the command that repeats the item's attempts."""
        return command_line(run, self.nodeid, self.threads, run.settings.attempts_of(self.scenario))


@dataclass(frozen=True)
class Turn:
    """One visit of a campaign to an item: it has its own seed, and the numbers of its attempts continue."""

    settings: Settings
    first: Mapping[str, int]
    """Role -> number of its first attempt, so that (item, role, attempt) stays unique within the run."""
    share_s: float


@dataclass(kw_only=True)
class ItemResult(JudgedCase):
    """All attempts of an item and the verdict over them."""

    device: str

    @property
    def simulated(self) -> bool:
        """Whether it ran on the simulated device or on core and so says nothing about a real backend."""
        return self.device in ("sim", "core")

    @property
    def is_core(self) -> bool:
        """Whether it ran on a PyTorch tree's own core, on simulated Metal."""
        return self.device == "core"

    @property
    def is_canary(self) -> bool:
        """Whether its attempts must fail."""
        return False

    @property
    def is_replayable(self) -> bool:
        """Whether `mps-stress replay` takes one of its attempts."""
        return True

    @property
    def one_thread(self) -> bool:
        """Whether it is green, and no threads were tested."""
        return False

    @property
    def code(self) -> str:
        """Return what the threads ran, where its file alone does not show it."""
        return ""


@dataclass(kw_only=True)
class ScenarioResult(ItemResult):
    """What became of an item of a scenario."""

    spec: ItemSpec

    @property
    def is_canary(self) -> bool:
        return bool(self.spec.scenario.canary)

    @property
    def code(self) -> str:
        scenario = self.spec.scenario
        return scenario.as_code() if isinstance(scenario, GeneratedScenario) else ""

    @property
    def one_thread(self) -> bool:
        """Whether it is green and had one thread only; what a process scenario starts is its own matter."""
        scenario = self.spec.scenario
        if self.spec.threads > 1 or not self.verdict.is_green or isinstance(scenario, ProcessScenario):
            return False
        return max(threads for threads, _ in waves_of(scenario, None)) == 1

    @property
    def wants_fresh(self) -> bool:
        return super().wants_fresh and not self.is_canary

    @property
    def wants_control(self) -> bool:
        return super().wants_control and not self.is_canary

    def accepted(self, verdict: Verdict) -> Verdict:
        """Return a pass for what the scenario declares acceptable."""
        why = self.spec.scenario.acceptable.get(str(verdict))
        if why is None:
            return verdict
        self.add_notes([f"{verdict} is acceptable: {why}"])
        return Verdict.PASS

    def decide(self) -> None:
        """Set the item's verdict: the worst of its attempts; a canary's are wanted to fail."""
        super().decide()
        for pattern, why in self.spec.scenario.unordered.items():
            hidden = sum(one.suppressed.get(pattern, 0) for one in self.attempts)
            if hidden:
                self.add_notes([f"order: {count(hidden, 'unordered pair')} declared: {why}"])
        if not self.is_canary:
            return
        if self.verdict.is_failure:
            self.notes.insert(0, f"canary found: {self.headline}")
            self.verdict, self.headline = Verdict.PASS, ""
        elif self.verdict.is_green:
            self.verdict = Verdict.INCONCLUSIVE
            self.headline = (
                f"canary not found in {count(len(self.attempts), 'attempt')}: the planted fault was not detected, so the "
                "green results of this run are worth nothing"
            )

    def record_fields(self) -> dict[str, object]:
        scenario = self.spec.scenario
        return {
            **super().record_fields(),
            "canary": self.is_canary,
            "origin": [str(one) for one in scenario.origin],
            "acceptable": {str(key): str(why) for key, why in scenario.acceptable.items()},
            "notes": self.notes,
        }


def command_line(run: Run, nodeid: str, threads: int, attempts: int, more: Sequence[str] = ()) -> str:
    """Return the command that repeats the item's attempts with the same seeds (not the same schedule)."""
    settings = replace(
        run.settings,
        threads=(threads,),
        attempts=attempts,
        device=run.device.name if run.device is not None else run.settings.device,
    )
    return shlex.join(["pytest", nodeid, *repeat_arguments(settings, run.config), *more])
