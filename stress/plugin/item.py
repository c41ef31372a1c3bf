"""What an item is and what came of it: plain data between runner, records and reports."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from dataclasses import field
from pathlib import Path
from typing import TYPE_CHECKING
from typing import Any

from stress.isolate.attempt import Attempt
from stress.model.spec import DEADLINE_S_DEFAULT
from stress.model.spec import ScenarioRef
from stress.model.verdict import Verdict

if TYPE_CHECKING:
    from stress.plugin.run import Run
    from stress.plugin.settings import Settings


@dataclass(frozen=True)
class ItemSpec:
    """What identifies an item: the same fields give the same inputs in every run with one seed."""

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


@dataclass(frozen=True)
class Turn:
    """One of the times that a campaign comes back to an item: with a seed of its own, and numbers that go on."""

    settings: Settings
    first: Mapping[str, int]
    """Role -> number of its first attempt, so that (item, role, attempt) stays a name within the run."""
    share_s: float


@dataclass
class ItemResult:
    """All attempts of an item and the verdict over them."""

    spec: ItemSpec
    verdict: Verdict
    headline: str
    attempts: list[Attempt] = field(default_factory=list)
    controls: list[Attempt] = field(default_factory=list)
    reference: Attempt | None = None
    notes: list[str] = field(default_factory=list)
    seconds: float = 0.0
    planned: int = 0
    no_control: str = ""
    """Why there is no one-thread control, where there is none."""
    command: str = ""

    @property
    def simulated(self) -> bool:
        """Whether this says nothing about a real backend."""
        return bool(self.spec.scenario.device_type == "sim")

    @property
    def counted(self) -> int:
        return sum(one.judged.verdict.enters_rate for one in self.attempts)

    @property
    def failures(self) -> int:
        return sum(one.judged.verdict.is_failure for one in self.attempts)

    @property
    def first_failure(self) -> Attempt | None:
        """Return the attempt to show: one with the item's own (worst) verdict, if there is one.

        Rather one that read outputs back whole than one that has digests, which say less.
        """
        bad = [one for one in self.attempts if not one.judged.verdict.is_green]
        same = [one for one in bad if one.judged.verdict == self.verdict]
        if self.attempts:
            shown = sorted(same or bad, key=lambda one: one.readback == "digest")
            return next(iter(shown), None)
        return self.reference


def command_line(run: Run, spec: ItemSpec) -> str:
    """Return the command that repeats the item's attempts with the same seeds (not the same schedule)."""
    settings = run.settings
    parts = ["pytest", spec.nodeid, f"--mps-threads={spec.threads}", f"--mps-seed={settings.seed:#x}"]
    parts.append(f"--mps-attempts={settings.attempts_of(spec.scenario)}")
    if settings.iterations is not None:
        parts.append(f"--mps-iterations={settings.iterations}")
    if run.device is not None:
        parts.append(f"--mps-device={run.device.name}")
        if run.device.sim is not None:
            parts += run.device.sim.settings.command_options()
    if settings.streams != "auto":
        parts.append(f"--mps-streams={settings.streams}")
    if settings.sequences is not None:
        parts.append(f"--mps-sequences={settings.sequences}")
    if settings.operators:
        parts.append("--mps-operator=" + ",".join(map(str, settings.operators)))
    parts.append(f"--mps-perturb={settings.perturb}")
    parts += ["--mps-tsan"] if settings.tsan else []
    if settings.deadline_s != DEADLINE_S_DEFAULT:
        parts.append(f"--mps-deadline={settings.deadline_s:g}")
    return shlex.join(parts)
