"""The result of a case: its attempts, its one-thread control, and the verdict over them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from dataclasses import field

from stress.isolate.attempt import Attempt
from stress.model.clusters import ClusterCounts
from stress.model.hand_overs import HandOverCounts
from stress.model.shared_write import sentence
from stress.model.verdict import Verdict
from stress.model.verdict import worst
from stress.record.item_record import item_fields


@dataclass(kw_only=True)
class JudgedCase:
    """Filled while the case runs, so that whatever cuts it short leaves what there is."""

    item: str
    """Name of the item in the records."""
    command: str
    """Command line that repeats it."""
    verdict: Verdict = Verdict.PASS
    headline: str = ""
    reference: Attempt | None = None
    """The first that was not green, else that of the item's own environment; None where it needs none."""
    attempts: list[Attempt] = field(default_factory=list)
    controls: list[Attempt] = field(default_factory=list)
    fresh: list[Attempt] = field(default_factory=list)
    """Failures run again in fresh processes, where all were in processes that had served other attempts."""
    recorded: list[Attempt] = field(default_factory=list)
    """Failures of earlier runs, run again before its own attempts; they enter no rate."""
    no_control: str = ""
    """Why no one-thread control ran; empty if one did."""
    notes: list[str] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def counted(self) -> int:
        return sum(one.judged.verdict.enters_rate for one in self.attempts)

    @property
    def processes(self) -> int:
        """Return how many processes ran the attempts that count: those of one share its caches and its fate."""
        return len({one.process or id(one) for one in self.attempts if one.judged.verdict.enters_rate})

    @property
    def failures(self) -> int:
        return sum(one.judged.verdict.is_failure for one in self.attempts)

    @property
    def control_failures(self) -> int:
        return sum(one.judged.verdict.is_failure for one in self.controls)

    @property
    def first_failure(self) -> Attempt | None:
        """Return the attempt to show: one with the case's own (worst) verdict, if there is one.

        Prefer one that read outputs back whole to one with digests, which say less.
        """
        bad = [one for one in (*self.attempts, *self.recorded) if not one.judged.verdict.is_green]
        same = [one for one in bad if one.judged.verdict == self.verdict]
        if self.attempts or self.recorded:
            shown = sorted(same or bad, key=lambda one: one.readback == "digest")
            return next(iter(shown), None)
        return self.reference

    @property
    def shared_writes(self) -> str:
        """Return in a sentence what steps write of that which all threads share, as far as the reference run shows it."""
        return sentence(self.reference.shared_writes) if self.reference is not None else ""

    @property
    def clusters(self) -> str:
        """Return how the failures are clustered, so that the interval is too narrow; empty if nothing shows that."""
        outcomes = ClusterCounts()
        for one in self.attempts:
            if one.judged.verdict.enters_rate:
                outcomes.add(failed=one.judged.verdict.is_failure, age=len(one.before))
        return outcomes.sentence()

    @property
    def hand_overs(self) -> tuple[int, int, int]:
        """Return (attempts, hand-overs between threads in them, those that one attempt alone had)."""
        counts = HandOverCounts()
        for one in self.attempts:
            counts.add(one.hand_overs)
        return counts.counts

    @property
    def fresh_failures(self) -> int:
        return sum(one.judged.verdict.is_failure for one in self.fresh)

    @property
    def recorded_failures(self) -> int:
        return sum(one.judged.verdict.is_failure for one in self.recorded)

    @property
    def wants_fresh(self) -> bool:
        """Whether what came before in its processes may be at fault, not the case: no fresh one has failed."""
        failed = [one for one in self.attempts if one.judged.verdict.is_failure]
        return bool(failed) and all(one.before for one in failed)

    @property
    def wants_control(self) -> bool:
        """Whether it has to be shown that the failure needs the threads."""
        return bool(self.failures or self.recorded_failures)

    def add_notes(self, notes: Iterable[str]) -> None:
        """Take over notes, each once."""
        self.notes += [note for note in dict.fromkeys(notes) if note not in self.notes]

    def accepted(self, verdict: Verdict) -> Verdict:
        """Return what an attempt's verdict is worth here."""
        return verdict

    def decide(self) -> None:
        """Set verdict and headline from the attempts, of which there is at least one."""
        verdicts = []
        for one in (*self.attempts, *self.recorded):
            verdicts.append(self.accepted(one.judged.verdict))
            self.add_notes(one.judged.notes)
        self.verdict = worst(verdicts)
        first = self.first_failure
        self.headline = first.judged.headline if first is not None and not self.verdict.is_green else ""

    def record_fields(self) -> dict[str, object]:
        """Return what the item's record says."""
        return item_fields(
            self.item,
            self.verdict,
            (one.judged.verdict for one in self.attempts),
            seconds=self.seconds,
            headline=self.headline,
            processes=self.processes,
            control_attempts=len(self.controls),
            control_failures=self.control_failures,
            **(
                {"fresh_attempts": len(self.fresh), "fresh_failures": self.fresh_failures}
                if self.fresh
                else {}
            ),
            **(
                {"recorded_attempts": len(self.recorded), "recorded_failures": self.recorded_failures}
                if self.recorded
                else {}
            ),
        )
