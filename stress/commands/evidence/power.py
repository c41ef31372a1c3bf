"""Share of the seeded faults that a configuration kills, computed again from the records of `mps-stress power`."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from dataclasses import field
from typing import Any

from stress.commands.power.estimate import BUDGET_S
from stress.commands.power.estimate import REPRODUCIBILITY
from stress.commands.power.estimate import KillRate
from stress.commands.power.outcome import Kind
from stress.commands.power.outcome import classify
from stress.device.sim.zoo import BY_NAME
from stress.device.sim.zoo import PROBABILITY_DEFAULT
from stress.record.aggregate import RunInfo


@dataclass
class Watched:
    """One fault in one run."""

    kills: int = 0
    attempts: int = 0
    seconds: float = 0.0
    reference_s: dict[str, float] = field(default_factory=dict)

    @property
    def rate(self) -> KillRate:
        return KillRate(self.kills, self.seconds, sum(self.reference_s.values()))


@dataclass
class Power:
    """Collects the records of power runs; the newest run with faults is the one that is reported."""

    faults: dict[str, dict[str, Watched]] = field(
        default_factory=lambda: defaultdict(lambda: defaultdict(Watched))
    )
    """Run -> fault -> what was seen at the probability that is the score."""
    twins: dict[str, list[int]] = field(default_factory=lambda: defaultdict(lambda: [0, 0]))
    """Run -> [attempts with a twin that count, failures among them]."""
    runs: dict[str, RunInfo] = field(default_factory=dict)

    def add(self, record: Mapping[str, Any], info: RunInfo) -> None:
        fault = BY_NAME.get(str(record.get("fault")))
        if (
            record["kind"] != "attempt_end"
            or fault is None
            or record.get("probability") != PROBABILITY_DEFAULT
        ):
            return
        self.runs[info.run] = info
        outcome = classify(fault if record.get("twin") is not True else None, record, {})
        if record.get("twin") is True:
            if record["role"] == "crew":
                self.twins[info.run][0] += outcome.kind != Kind.UNUSABLE
                self.twins[info.run][1] += outcome.kind == Kind.WRONG_VERDICT
            return
        watched = self.faults[info.run][fault.name]
        if record["role"] == "reference":
            watched.reference_s[str(record.get("entry"))] = float(record["seconds"])
            return
        watched.attempts += 1
        watched.seconds += float(record["seconds"])
        watched.kills += outcome.kind == Kind.KILL

    @property
    def newest(self) -> RunInfo | None:
        return max(
            (one for one in self.runs.values() if self.faults.get(one.run)),
            key=lambda one: one.time,
            default=None,
        )

    def sentences(self) -> list[str]:
        """Return what may be said of the detector; empty without a power run."""
        info = self.newest
        if info is None:
            return []
        watched = self.faults[info.run]
        killed = sum(one.rate.is_killed() for one in watched.values())
        asked = info.record["settings"].get("faults")
        # What the run did not come to is not killed: it must not leave the count.
        total = max(len(watched), len(asked) if isinstance(asked, list) else 0)
        unwatched = f"; {total - len(watched)} of them not measured" if total > len(watched) else ""
        how = (
            "with the same scenarios for every fault, as if it were unknown"
            if info.record["settings"].get("blind") is True
            else "with each fault's seconds spent on the scenarios that earlier records name for it"
        )
        return [
            f"of {total} seeded faults of the simulated device this framework kills {killed} "
            f"({100 * killed / total:.0f} %) at {100 * REPRODUCIBILITY:g} % in {BUDGET_S:g} s each, {how}{unwatched}",
            self._twin_sentence(info.run),
            f"measured on the simulated device with {info.group.build.label} (run {info.run}): it says how good the "
            "detector is, and nothing about a real backend",
        ]

    def _twin_sentence(self, run: str) -> str:
        clean, alarms = self.twins[run]
        if not clean:
            return "no fault-free twin ran: the rate of false alarms is not shown"
        return f"on their fault-free twins {alarms} of {clean} attempts failed (false alarms)"
