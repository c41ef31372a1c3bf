"""What an item is and what came of it: plain data between runner, records and reports."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from dataclasses import field
from pathlib import Path
from typing import TYPE_CHECKING
from typing import Any

from stress.isolate.judgement import Judged
from stress.isolate.supervisor import ChildRun
from stress.model.spec import ScenarioRef
from stress.model.verdict import Verdict

if TYPE_CHECKING:
    from stress.run import Run
    from stress.settings import Settings


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
class Attempt:
    """One child and what became of it."""

    role: str
    number: int
    judged: Judged
    seed: int
    seconds: float
    serial: int = 0
    """Names the attempt within its run: RUN/17."""
    files: dict[str, str] = field(default_factory=dict)
    stderr: str = ""
    stacks: str = ""
    signature: str | None = None
    perturbation: str = "none"
    readback: str = ""
    device_order: str = ""
    """Of the simulated device, where it repeats by seed."""
    tsan: dict[str, Any] | None = None
    """What ThreadSanitizer said, as `Outcome.to_data`; None without it."""

    @property
    def conditions(self) -> str:
        """Return the axes of this attempt, for the failure block."""
        return (
            f"perturbation {self.perturbation}, read back {self.readback}"
            if self.role == "crew"
            else self.role
        )


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


def end_fields(fields: Mapping[str, object], attempt: Attempt, run: ChildRun) -> dict[str, Any]:
    judged, data = attempt.judged, run.result or {}
    memory = data.get("device_memory") or {}
    return {
        **fields,
        "verdict": str(judged.verdict),
        "seconds": run.seconds,
        "headline": judged.headline,
        "exit_status": run.exit.code if run.exit is not None else None,
        "signal": judged.diagnosis.signal_name if judged.diagnosis is not None else None,
        "signature": attempt.signature,
        "tainted": bool(judged.diagnosis and judged.diagnosis.taints),
        "notes": judged.notes,
        "findings": [one.to_data() for one in judged.findings],
        "stamps": [] if judged.verdict.is_green else [vars(one) for one in judged.stamps],
        "iterations_done": int(data.get("iterations_done", 0)),
        "stderr": attempt.files.get("stderr"),
        "stacks": attempt.files.get("stacks"),
        "memory_bytes_max": run.exit.peak_rss_bytes if run.exit is not None else None,
        "device_memory_bytes_max": max(memory.values(), default=None),
        "os_threads_max": run.threads or data.get("threads_peak"),
        "cpu_s": run.exit.cpu_s if run.exit is not None else None,
        "times": data.get("times", {}),
        "pid": run.pid,
        **({"tsan": attempt.tsan, "tsan_log": attempt.files.get("tsan")} if attempt.tsan else {}),
        **({"device_order": data["device_order"]} if "device_order" in data else {}),
        **({"strikes": _strikes(data["device_statistics"])} if "device_statistics" in data else {}),
    }


def _strikes(device_statistics: Mapping[str, int]) -> dict[str, int]:
    """Return fault -> how often it struck, of the simulated device's counters."""
    prefix = "faults_"
    return {
        name.removeprefix(prefix): count
        for name, count in device_statistics.items()
        if name.startswith(prefix) and count
    }


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
    if settings.deadline_s != 60.0:
        parts.append(f"--mps-deadline={settings.deadline_s:g}")
    return shlex.join(parts)
