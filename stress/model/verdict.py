"""What an attempt can end as, and how bad that is."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum


class Verdict(StrEnum):
    """The parent's judgement of one attempt.

    The first six are ordered by severity and are the only ones that enter a rate. The others say that
    the attempt cannot tell anything about the device: they are reported, never counted, never green.
    """

    PASS = "pass"
    INTERESTING = "interesting"
    MISMATCH = "mismatch"
    RACE = "race"
    HANG = "hang"
    CRASH = "crash"

    OOM = "oom"
    INCONCLUSIVE = "inconclusive"
    ERROR = "error"
    BROKEN = "broken"

    @property
    def is_green(self) -> bool:
        return self in (Verdict.PASS, Verdict.INTERESTING)

    @property
    def is_failure(self) -> bool:
        """Whether the verdict is a finding about the device: what a rate counts."""
        return self in (Verdict.MISMATCH, Verdict.RACE, Verdict.HANG, Verdict.CRASH)

    @property
    def enters_rate(self) -> bool:
        return self.is_green or self.is_failure


WRONG_VALUE_NAMES = ("cross-talk", "stale", "unwritten", "torn", "nan", "numeric")
"""What a wrong value is called (`stress.child.oracle.wrong_value`), the most telling name first."""

# Everything else first, so that a finding about the device always wins over "cannot tell".
_SEVERITY: tuple[Verdict, ...] = (
    Verdict.PASS,
    Verdict.INTERESTING,
    Verdict.OOM,
    Verdict.INCONCLUSIVE,
    Verdict.ERROR,
    Verdict.BROKEN,
    Verdict.MISMATCH,
    Verdict.RACE,
    Verdict.HANG,
    Verdict.CRASH,
)


def worst(verdicts: Iterable[Verdict]) -> Verdict:
    """Return the most severe verdict; raise ``ValueError`` for none at all (no attempt is not a pass)."""
    return max(verdicts, key=_SEVERITY.index)
