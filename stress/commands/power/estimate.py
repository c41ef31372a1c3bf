"""Kill rates, their bounds, and what they decide. The definitions are in `stress.commands.power`. Pure arithmetic."""

from __future__ import annotations

import math
from dataclasses import dataclass

from stress.model import stats

BUDGET_S = 64.0
REPRODUCIBILITY = 0.99999
REPRODUCIBILITY_WEAK = 0.95
KILLS_MIN = 12
"""Watching ends at so many kills at least: the bound is then no lower than 0.58 of the rate."""
KILLS_MAX = 18
"""More would take longer than the budget itself where it matters: 18 in 64 s are just enough."""


def budget_text(workers: int) -> str:
    """Return what a score says of the time that each fault has."""
    seconds = f"in {BUDGET_S:g} s"
    return seconds if workers == 1 else f"{seconds} of {workers} workers"


def rate_needed(reproducibility: float, budget_s: float = BUDGET_S) -> float:
    """Return the kills per second that kill a fault: 1 - exp(-L b) = r."""
    return -math.log1p(-reproducibility) / budget_s


@dataclass(frozen=True)
class KillRate:
    """What was counted for one fault, and the rate that follows from it."""

    kills: int
    attempt_s: float
    """Wall seconds of all attempts, whatever became of them."""
    reference_s: float
    """Wall seconds of making every reference of the allocation once."""
    ended_by_kill: bool = False
    """The last attempt was the last of the kills that watching was to end with."""

    @property
    def charge(self) -> float:
        """Return the share of a budget that is left for attempts once the references are made."""
        return max(0.0, BUDGET_S - self.reference_s) / BUDGET_S

    @property
    def per_s(self) -> float:
        return self.charge * self.kills / self.attempt_s if self.attempt_s > 0 else 0.0

    @property
    def bounds_per_s(self) -> tuple[float, float]:
        """Return the lower and the upper bound, each at 95 %."""
        if self.attempt_s <= 0:
            return (0.0, math.inf)
        low, high = stats.poisson_rate_bounds(
            self.kills, self.attempt_s, ended_by_event=self.ended_by_kill and self.kills > 0
        )
        return (self.charge * low, self.charge * high)

    def is_killed(self, reproducibility: float = REPRODUCIBILITY) -> bool:
        return self.bounds_per_s[0] >= rate_needed(reproducibility)

    def is_excluded(self, reproducibility: float = REPRODUCIBILITY) -> bool:
        """Whether even the upper bound is too low: more seconds would hardly change the answer."""
        return self.bounds_per_s[1] < rate_needed(reproducibility)


@dataclass(frozen=True)
class StopRule:
    """When to stop watching a fault. Fixed before the first attempt: a rule that looks at the outcome cheats."""

    kills: int
    seconds: float
    """Attempt seconds."""
    stop_when_excluded: bool = True

    @classmethod
    def for_share(cls, share_s: float, reference_s: float) -> StopRule:
        """Return the rule for a share of the seconds, of which the references take some.

        As many kills as can still decide within the share, since more kills are a tighter bound; with
        `KILLS_MIN` and a share that is too short for them, only a fault with a higher rate can be killed. The share goes on where
        the stronger question is decided: the weaker one needs a quarter of the kills per second, and so four times as long.
        """
        seconds = max(0.0, share_s - reference_s)
        kills = max(
            (k for k in range(KILLS_MIN, KILLS_MAX + 1) if seconds_to_decide(k, reference_s) <= seconds),
            default=KILLS_MIN,
        )
        return cls(kills, min(seconds, seconds_to_decide(kills, reference_s, REPRODUCIBILITY_WEAK)))

    def ends(self, rate: KillRate) -> bool:
        return (
            rate.kills >= self.kills
            or rate.attempt_s >= self.seconds
            or (self.stop_when_excluded and rate.is_excluded(REPRODUCIBILITY_WEAK))
        )


def seconds_to_decide(kills: int, reference_s: float, reproducibility: float = REPRODUCIBILITY) -> float:
    """Return the attempt seconds within which `kills` kills show that the fault is killed."""
    charge = KillRate(0, 0.0, reference_s).charge
    return charge * stats.gamma_quantile(1 - stats.CONFIDENCE_DEFAULT, kills) / rate_needed(reproducibility)
