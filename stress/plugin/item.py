"""Items, their identity and their results: plain data between runner, records and reports."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from dataclasses import field
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING
from typing import Any

from stress.isolate.attempt import Attempt
from stress.model.spec import ScenarioRef
from stress.model.verdict import Verdict
from stress.plugin.options import repeat_arguments

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


@dataclass(frozen=True)
class Turn:
    """One visit of a campaign to an item: it has its own seed, and the numbers of its attempts continue."""

    settings: Settings
    first: Mapping[str, int]
    """Role -> number of its first attempt, so that (item, role, attempt) stays unique within the run."""
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
    """Why no one-thread control ran; empty if one did."""
    command: str = ""

    @property
    def simulated(self) -> bool:
        """Whether it ran on the simulated device and so says nothing about a real backend."""
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

        Prefer one that read outputs back whole to one with digests, which say less.
        """
        bad = [one for one in self.attempts if not one.judged.verdict.is_green]
        same = [one for one in bad if one.judged.verdict == self.verdict]
        if self.attempts:
            shown = sorted(same or bad, key=lambda one: one.readback == "digest")
            return next(iter(shown), None)
        return self.reference


def command_line(run: Run, spec: ItemSpec) -> str:
    """Return the command that repeats the item's attempts with the same seeds (not the same schedule)."""
    settings = replace(
        run.settings,
        threads=(spec.threads,),
        attempts=run.settings.attempts_of(spec.scenario),
        device=run.device.name if run.device is not None else run.settings.device,
    )
    return shlex.join(["pytest", spec.nodeid, *repeat_arguments(settings, run.config)])
