"""Watch one subject: attempts by the allocation until the rule ends it, or a fixed number of them."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Sequence
from dataclasses import dataclass

from stress.commands.power.allocation import Turns
from stress.commands.power.entry_runner import Attempted
from stress.commands.power.entry_runner import EntryRunner
from stress.commands.power.estimate import StopRule
from stress.commands.power.native import NativeCase
from stress.commands.power.outcome import Kind
from stress.commands.power.runnable import Runnable
from stress.commands.power.subject import Subject
from stress.commands.power.tally import Alarm
from stress.commands.power.tally import Count
from stress.commands.power.tally import Tally
from stress.isolate.case_runner import References
from stress.model import seeds

TimeIsUp = Callable[[], bool]


@dataclass
class Watcher:
    """Watches subjects on one runner with one allocation."""

    runner: EntryRunner
    entries: Sequence[Runnable | NativeCase]
    seed: int
    time_is_up: TimeIsUp
    into: dict[str, Tally]
    """Label -> tally, also of a subject that Ctrl-C interrupts."""
    watches: Callable[[], int] = lambda: 1
    """Returns how many watches run side by side now."""

    def watch(self, subject: Subject, rule: StopRule) -> Tally:
        """Watch a fault until the rule ends it."""
        with Watch(self, subject) as one:
            while not rule.ends(one.tally.rate):
                if self.time_is_up() or not one.step():
                    one.tally.cut_short = True
                    break
            one.tally.ended_by_kill = one.tally.total.kills >= rule.kills
        return one.tally

    def repeat(self, subject: Subject, attempts: int, shared: dict[str, References]) -> Tally:
        """Make a number of attempts that must all be clean.

        `shared` are references made without a fault, which serve everything on one design.
        """
        with Watch(self, subject, shared) as one:
            for _ in range(attempts):
                if self.time_is_up() or not one.step():
                    one.tally.cut_short = True
                    break
        return one.tally


class Watch:
    """One subject being watched: its turns, its references, its tally."""

    def __init__(
        self, watcher: Watcher, subject: Subject, shared: dict[str, References] | None = None
    ) -> None:
        self._runner, self._entries = watcher.runner, watcher.entries
        self._own = shared is None
        self._references: dict[str, References] = {} if shared is None else shared
        self._turns = Turns(
            [one.entry for one in self._entries], seeds.derive(watcher.seed, subject.label, "turns")
        )
        # What is not made would have been made in a whole budget: charged as the allocation has it.
        self._watches = watcher.watches
        charged = {
            one.name: one.entry.reference_seconds / self._watches()
            for one in self._entries
            if not one.is_process
        }
        self.tally = Tally(subject, reference_s=charged)
        watcher.into[subject.label] = self.tally

    def __enter__(self) -> Watch:
        return self

    def __exit__(self, *_: object) -> None:
        if self._own:
            for references in self._references.values():
                references.remove()

    def step(self) -> bool:
        """Attempt the entry whose turn it is; return whether there is one that can run."""
        while not self._turns.is_empty:
            index = self._turns.next()
            if self.attempt(index):
                return True
            self._turns.drop(index)
        return False

    def attempt(self, index: int) -> bool:
        """Attempt one entry, after its reference when it is the first time; return whether it can run."""
        what, tally = self._entries[index], self.tally
        references = self._references_of(what) if isinstance(what, Runnable) and not what.is_process else None
        if references is not None and not references.is_usable:
            tally.note(f"{what.name}: {references.problem}")
            return False
        done = self._runner.attempt(tally.subject, what, references)
        tally.entries.setdefault(what.name, Count()).add(done.outcome, done.seconds, done.strikes)
        tally.attempt_s += done.seconds / self._watches()
        self._note(what, done)
        return True

    def _references_of(self, what: Runnable) -> References:
        if what.name not in self._references:
            subject = self.tally.subject
            made = self._runner.references(subject if self._own else Subject(subject.design), what)
            self._references[what.name] = made
            self.tally.reference_s[what.name] = made.seconds / self._watches()
        return self._references[what.name]

    def _note(self, what: Runnable | NativeCase, done: Attempted) -> None:
        subject, tally = self.tally.subject, self.tally
        if done.outcome.kind == Kind.UNUSABLE:
            tally.note(f"{what.name}: {done.outcome.verdict}: {done.end['headline']}")
        elif done.outcome.kind != Kind.CLEAN and (subject.fault is None or subject.twin):
            tally.alarms.append(Alarm(subject.label, what.name, done.outcome, done.end))
