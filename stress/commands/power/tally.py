"""Counts made while a subject was watched: per entry, and together as a kill rate."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from collections.abc import Mapping
from dataclasses import dataclass
from dataclasses import field
from typing import Any

from stress.commands.power.estimate import KillRate
from stress.commands.power.outcome import Kind
from stress.commands.power.outcome import Outcome
from stress.commands.power.subject import Subject


@dataclass
class Count:
    """The attempts of one entry, or of several together."""

    attempts: int = 0
    seconds: float = 0.0
    kinds: Counter[str] = field(default_factory=Counter)
    names: Counter[str] = field(default_factory=Counter)
    """`verdict name` of every failure, and of what is unusable."""
    right_names: int = 0
    strikes: int = 0
    """How often the fault's unsafe path was taken, as far as children lived to tell."""
    reported: int = 0
    """Attempts that lived to tell."""
    struck_unseen: int = 0
    """Clean attempts in which the fault had struck."""

    def add(self, outcome: Outcome, seconds: float, strikes: int | None) -> None:
        self.attempts += 1
        self.seconds += seconds
        self.kinds[outcome.kind] += 1
        self.right_names += outcome.right_name
        if outcome.kind != Kind.CLEAN:
            self.names[f"{outcome.verdict} {outcome.name}" if outcome.name else outcome.verdict] += 1
        if strikes is not None:
            self.reported += 1
            self.strikes += strikes
            self.struck_unseen += bool(strikes) and outcome.kind == Kind.CLEAN

    @property
    def kills(self) -> int:
        return self.kinds[Kind.KILL]

    @property
    def wrong_verdicts(self) -> int:
        return self.kinds[Kind.WRONG_VERDICT]

    @property
    def counted(self) -> int:
        """Return the attempts that say anything."""
        return self.attempts - self.kinds[Kind.UNUSABLE]

    @property
    def failures(self) -> int:
        return self.kills + self.wrong_verdicts

    @classmethod
    def sum(cls, counts: Iterable[Count]) -> Count:
        total = cls()
        for one in counts:
            total.attempts += one.attempts
            total.seconds += one.seconds
            total.kinds += one.kinds
            total.names += one.names
            total.right_names += one.right_names
            total.strikes += one.strikes
            total.reported += one.reported
            total.struck_unseen += one.struck_unseen
        return total


@dataclass
class Alarm:
    """A failure where there must be none, with its record."""

    label: str
    entry: str
    outcome: Outcome
    end: Mapping[str, Any]


@dataclass
class Tally:
    """What is known of one subject."""

    subject: Subject
    entries: dict[str, Count] = field(default_factory=dict)
    reference_s: dict[str, float] = field(default_factory=dict)
    """Entry -> the machine's seconds of its reference: measured, or as the allocation has it where none was made."""
    notes: list[str] = field(default_factory=list)
    alarms: list[Alarm] = field(default_factory=list)
    attempt_s: float = 0.0
    """The machine's seconds of all attempts: those of one beside which another watch ran count half, and so on."""
    ended_by_kill: bool = False
    cut_short: bool = False
    """The seconds ended before the rule did."""

    @property
    def total(self) -> Count:
        return Count.sum(self.entries.values())

    @property
    def rate(self) -> KillRate:
        return KillRate(self.total.kills, self.attempt_s, sum(self.reference_s.values()), self.ended_by_kill)

    @property
    def best_entry(self) -> str | None:
        """Return the entry that killed most per second of its attempts."""
        killers = {name: one.kills / one.seconds for name, one in self.entries.items() if one.kills}
        return max(killers, key=killers.__getitem__, default=None)

    def note(self, text: str) -> None:
        if text not in self.notes:
            self.notes.append(text)
