"""The whole measurement: every fault, the twins, the other probabilities. Parts of it are replaced in `benchmarks/`."""

from __future__ import annotations

import collections
import contextlib
import math
from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Iterator
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import as_completed
from dataclasses import dataclass
from dataclasses import field
from dataclasses import replace
from functools import partial

from stress.commands.power.allocation import blind
from stress.commands.power.allocation import focused
from stress.commands.power.entry_runner import EntryRunner
from stress.commands.power.estimate import StopRule
from stress.commands.power.native import NativeCase
from stress.commands.power.options import PowerOptions
from stress.commands.power.runnable import Runnable
from stress.commands.power.shares import Shares
from stress.commands.power.subject import Subject
from stress.commands.power.tally import Tally
from stress.commands.power.watch import TimeIsUp
from stress.commands.power.watch import Watcher
from stress.commands.session import say
from stress.device.sim.zoo import FAULTS
from stress.isolate.case_runner import References

TWIN_ATTEMPTS = 1000
"""Over all twins of the zoo, at least."""
TWIN_ATTEMPTS_EACH = math.ceil(TWIN_ATTEMPTS / len(FAULTS))
WEIGHTS = {"fault": 6.0, "twin": 2.0, "plain": 2.0, "scale": 2.0}
"""Shares of the seconds: the score comes first. Lower and higher probabilities are only printed beside it."""


@dataclass
class PowerMeasurement:
    """What is known so far; complete unless `interrupted`, or where a tally was cut short."""

    options: PowerOptions
    torch: str
    folder: str
    entries: dict[str, tuple[Runnable | NativeCase, ...]]
    """Design -> the entries that can run on it."""
    tallies: dict[str, Tally] = field(default_factory=dict)
    """Subject's label -> what was counted."""
    notes: list[str] = field(default_factory=list)
    interrupted: bool = False
    started: float = 0.0
    """By `time.monotonic`, building the device included."""
    seconds: float = 0.0

    def tally(self, subject: Subject) -> Tally | None:
        return self.tallies.get(subject.label)

    @property
    def alarms(self) -> int:
        """Return how many attempts failed where nothing was wrong."""
        return sum(len(one.alarms) for one in self.tallies.values())


@dataclass
class Measurement:
    """Runs everything in order; what it has so far is in `measured`, whatever interrupts it."""

    options: PowerOptions
    runner: EntryRunner
    shares: Shares
    measured: PowerMeasurement
    others: Sequence[EntryRunner] = ()
    """Runners that work side by side with the first one: as many workers as the options say, in all."""
    watched: set[str] = field(default_factory=set)
    """Labels of the faults that are being watched, by whichever runner."""
    _twins_left: float = 0.0
    _plain_left: float = 0.0
    """The weights of what has to stay silent and is still to come."""

    def run(self) -> None:
        options = self.options
        first, *others = options.probabilities
        if options.twins:
            self._twins_left, self._plain_left = _twin_weight(options), _plain_weight(options)
        subjects = [Subject(one.design, one, probability=first) for one in options.faults]
        self._side_by_side(partial(_attack, number, one) for number, one in enumerate(subjects))
        if options.twins:
            self._quiet(first)
        scaled = [Subject(one.design, one, probability=other) for other in others for one in options.faults]
        self._side_by_side(partial(_watch, one) for one in scaled)

    def _side_by_side(self, tasks: Iterable[Callable[[Measurement], None]]) -> None:
        """Let each runner take the next task as soon as it has ended one; the only runner works in this thread."""
        waiting = iter(tuple(tasks))  # one of a tuple may be asked by several threads

        def serve(one: Measurement) -> None:
            for task in waiting:
                task(one)

        if not self.others:
            serve(self)
            return
        siblings = [replace(self, runner=one, others=()) for one in (self.runner, *self.others)]
        with ThreadPoolExecutor(len(siblings)) as pool:
            served = [pool.submit(serve, one) for one in siblings]
            try:
                for ended in as_completed(served):
                    ended.result()
            except BaseException:
                # An error of one, or Ctrl-C: the others end with the attempt that they are at.
                collections.deque(waiting, maxlen=0)
                self.shares.end()
                raise

    def attack(self, number: int, subject: Subject) -> None:
        """Measure a fault, the `number`th, at the probability of the score."""
        self.watch(subject, WEIGHTS["fault"])

    def watch(self, subject: Subject, weight: float) -> None:
        share_s, workers = self.share(weight), self.options.workers
        watcher = self.watcher(subject, share_s * workers)  # the clock of all sees one worker's seconds pass
        reference_s = sum(one.entry.reference_seconds for one in watcher.entries if not one.is_process)
        rule = StopRule.for_share(share_s, reference_s / workers)
        self.watched.add(subject.label)
        try:
            tally = watcher.watch(subject, rule)
        finally:
            self.watched.discard(subject.label)
        say(f"{self.left()} {described(tally)}")

    def share(self, weight: float) -> float:
        """Return the seconds of the next measurement, with those of all that has to stay silent kept back."""
        return self.shares.take(weight, reserved=self._twins_left + self._plain_left)

    def _quiet(self, probability: float) -> None:
        """Run twins, then the device without any fault: nothing strikes, so references serve all of a design."""
        for design in self.measured.entries:
            with self.shared() as shared:
                self._twins_of(design, probability, shared)
                self._plain_of(design, shared)

    @contextlib.contextmanager
    def shared(self) -> Iterator[dict[str, References]]:
        """Give room for references that serve several subjects, and remove them in the end."""
        shared: dict[str, References] = {}
        try:
            yield shared
        finally:
            for references in shared.values():
                references.remove()

    def _twins_of(self, design: str, probability: float, shared: dict[str, References]) -> None:
        subjects = [
            Subject(design, fault, twin=True, probability=probability)
            for fault in self.options.faults
            if fault.design == design
        ]
        for subject in subjects:
            # Only the plain runs are kept back now: a twin that needs less leaves the rest to the next.
            self._twins_left -= WEIGHTS["twin"]
            share_s = self.shares.take(WEIGHTS["twin"], reserved=self._plain_left)
            tally = self.watcher(subject, share_s).repeat(subject, TWIN_ATTEMPTS_EACH, shared)
            if tally.alarms:
                say(f"{self.left()} {subject.label}: {len(tally.alarms)} FALSE ALARMS")
        attempts = sum(self.measured.tallies[one.label].total.counted for one in subjects)
        say(f"{self.left()} twins of design {design}: {attempts} attempts")

    def _plain_of(self, design: str, shared: dict[str, References]) -> None:
        """Run every entry once without any fault, within a share: there are more entries than a short run has time for."""
        plain = Subject(design)
        self._plain_left -= WEIGHTS["plain"]
        share_s = self.share(WEIGHTS["plain"])
        tally = self.watcher(plain, share_s).repeat(plain, len(self.measured.entries[design]), shared)
        say(f"{self.left()} design {design} without any fault: {tally.total.counted} attempts")

    def watcher(self, subject: Subject, share_s: float = math.inf) -> Watcher:
        entries = self.entries(subject)
        return Watcher(
            self.runner,
            entries,
            self.options.seed,
            self.until(share_s),
            self.measured.tallies,
            lambda: max(1, len(self.watched)),
        )

    def entries(self, subject: Subject) -> tuple[Runnable | NativeCase, ...]:
        """Return what to attempt, with the shares that hold for this subject; a twin runs what its fault runs."""
        found = {one.name: one for one in self.measured.entries[subject.design]}
        entries = [one.entry for one in found.values()]
        known = subject.fault if not self.options.blind else None
        chosen = focused(entries, known.name) if known is not None else blind(entries)
        return tuple(replace(found[one.name], entry=one) for one in chosen)

    def until(self, share_s: float) -> TimeIsUp:
        """Return what tells whether the share, or all of the seconds, are used up."""
        end_s = max(0.0, self.shares.left_s - share_s)
        return lambda: self.shares.left_s <= end_s

    def left(self) -> str:
        return f"[{self.shares.left_s:5.0f} s left]"


def _attack(number: int, subject: Subject, measurement: Measurement) -> None:
    measurement.attack(number, subject)


def _watch(subject: Subject, measurement: Measurement) -> None:
    measurement.watch(subject, WEIGHTS["scale"])


def described(tally: Tally) -> str:
    """Return one line on a fault, for whoever waits."""
    total, rate = tally.total, tally.rate
    word = "KILLED" if rate.is_killed() else "not killed" if rate.is_excluded() else "undecided"
    wrong = f", {total.wrong_verdicts} wrong verdicts" if total.wrong_verdicts else ""
    struck = (
        f", struck {total.strikes} times in {total.reported} attempts that reported it"
        if total.reported
        else ""
    )
    return (
        f"{tally.subject.label}: {word}, {rate.per_s:.3g}/s ({total.kills} kills{wrong} in {total.attempts} attempts, "
        f"{total.seconds:.1f} s){struck}"
    )


def weight_of(options: PowerOptions) -> float:
    """Return the sum of the weights of everything that will take a share."""
    each = WEIGHTS["fault"] + (len(options.probabilities) - 1) * WEIGHTS["scale"]
    quiet = _twin_weight(options) + _plain_weight(options) if options.twins else 0.0
    return len(options.faults) * each + quiet


def _twin_weight(options: PowerOptions) -> float:
    return len(options.faults) * WEIGHTS["twin"]


def _plain_weight(options: PowerOptions) -> float:
    return len({one.design for one in options.faults}) * WEIGHTS["plain"]


def usable(
    entries: Sequence[Runnable | NativeCase], design: str, capabilities: frozenset[str]
) -> tuple[Runnable | NativeCase, ...]:
    return tuple(one for one in entries if one.fits(design, capabilities))
