"""Findings of the other tool's sessions with one fault."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from dataclasses import field

from stress.commands.power.estimate import KillRate
from stress.commands.power.subject import Subject
from stress.model.verdict import Verdict


@dataclass(frozen=True)
class SessionResult:
    """One pytest process, as its report file and its end say."""

    failures: tuple[Verdict, ...]
    """One per failing test, plus one for a process that died or timed out."""
    tests: int
    seconds: float
    text: str
    """What the first failure said, or the last words of a process that died."""


@dataclass
class PeerTally:
    """All sessions with one fault armed."""

    subject: Subject
    seconds: float = 0.0
    sessions: int = 0
    tests: int = 0
    verdicts: Counter[str] = field(default_factory=Counter)
    cut_short: bool = False

    def add(self, result: SessionResult) -> None:
        self.sessions += 1
        self.seconds += result.seconds
        self.tests += result.tests
        self.verdicts.update(map(str, result.failures))

    @property
    def kills(self) -> int:
        assert self.subject.fault is not None
        return self.verdicts[self.subject.fault.verdict]

    @property
    def rate(self) -> KillRate:
        """Return the rate by the same definition; a session ends whole, so never with a kill."""
        return KillRate(self.kills, self.seconds, 0.0)

    @property
    def text(self) -> str:
        rate = self.rate
        word = "KILLED" if rate.is_killed() else "not killed" if rate.is_excluded() else "undecided"
        return f"{word}, {rate.per_s:.3g}/s ({self.kills} kills in {self.sessions} sessions, {self.seconds:.1f} s)"
