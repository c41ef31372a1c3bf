"""Learn the allocation from the records of power runs: which entries, and what share of the seconds each gets.

The aim is the number of faults that are killed, so what is maximised is the expected score itself: the sum
over the faults of the probability that a Poisson process with the fault's rate under this allocation reaches
the kills that the stop rule wants, in time. That is flat for a fault far below the limit, so it is approached:
first one kill is enough, then two, and so on up to a margin above what is needed. Each step moves along the
gradient (multiplicatively, which keeps shares positive). How large the margin should be, and so how many
faults are given up for it, is tried out: what counts in the end is the expected score. Entries that hardly count are dropped in the end, as
each costs a reference; the best entry of a fault that is not killed keeps a floor, for the next such bug.
"""

from __future__ import annotations

import math
import statistics
from collections import defaultdict
from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import dataclass
from dataclasses import field
from dataclasses import replace
from operator import mul
from pathlib import Path

from stress.commands import CommandError
from stress.commands.power.allocation import ALLOCATION_FILE
from stress.commands.power.allocation import AllocationError
from stress.commands.power.allocation import Entry
from stress.commands.power.allocation import dump
from stress.commands.power.allocation import load
from stress.commands.power.estimate import BUDGET_S
from stress.commands.power.estimate import KILLS_MIN
from stress.commands.power.estimate import KillRate
from stress.commands.power.estimate import seconds_to_decide
from stress.commands.power.outcome import Kind
from stress.commands.power.outcome import classify
from stress.device.sim.zoo import BY_NAME
from stress.device.sim.zoo import PROBABILITY_DEFAULT
from stress.record import RecordError
from stress.record import read_run

KILLS_STAGES = (1, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20)
STEPS = 150
_STEP_SIZE = 0.3
SHARE_MIN = 0.005
FLOOR = 0.01
SECOND_MIN = 0.7
"""A second entry is named for a fault when it kills at least this share of the first one's kills per second."""


@dataclass
class Seen:
    """What the records say of one entry against one fault."""

    attempts: int = 0
    kills: int = 0
    seconds: float = 0.0

    @property
    def kill_share(self) -> float:
        """Return kills per attempt, a little low: few attempts must not promise much."""
        return self.kills / (self.attempts + 1)


@dataclass
class Evidence:
    """Everything that the records say."""

    entries: dict[str, Entry] = field(default_factory=dict)
    seen: dict[str, dict[str, Seen]] = field(default_factory=lambda: defaultdict(lambda: defaultdict(Seen)))
    """Fault -> entry -> what was seen."""
    clean_s: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    reference_s: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))

    def read(self, folder: Path) -> None:
        """Add one run; raise `CommandError` where it is not a power run."""
        try:
            for entry in load(folder / ALLOCATION_FILE):
                self.entries.setdefault(entry.name, entry)
            for record in read_run(folder):
                self._add(dict(record))
        except (AllocationError, RecordError) as error:
            raise CommandError(f"{folder}: {error}") from None

    def _add(self, record: Mapping[str, object]) -> None:
        name = record.get("entry")
        if record["kind"] != "attempt_end" or not isinstance(name, str) or name not in self.entries:
            return
        seconds = record["seconds"]
        assert isinstance(seconds, int | float), "the reader checks it"
        if record["role"] == "reference":
            self.reference_s[name].append(seconds)
            return
        fault = BY_NAME.get(str(record.get("fault")))
        outcome = classify(fault, record, {})
        if outcome.kind == Kind.CLEAN:
            self.clean_s[name].append(seconds)
        if fault is None or record.get("twin") or record.get("probability") != PROBABILITY_DEFAULT:
            return
        seen = self.seen[fault.name][name]
        seen.attempts += 1
        seen.kills += outcome.kind == Kind.KILL
        seen.seconds += seconds

    def timed(self) -> dict[str, Entry]:
        """Return the entries that ever ran clean, with the seconds that they took."""
        return {
            name: replace(
                entry,
                seconds=statistics.median(self.clean_s[name]),
                reference_seconds=statistics.median(self.reference_s[name])
                if self.reference_s[name]
                else 0.0,
            )
            for name, entry in self.entries.items()
            if self.clean_s[name]
        }


class Learner:
    """Shares of entries, and the rates that follow from them."""

    def __init__(self, entries: Sequence[Entry], seen: Mapping[str, Mapping[str, Seen]]) -> None:
        self.entries = list(entries)
        self.faults = [name for name, by_entry in seen.items() if any(one.kills for one in by_entry.values())]
        runs = {(BY_NAME[fault].design, name) for fault, by_entry in seen.items() for name in by_entry}
        nothing = Seen()
        # Per second of share: kills, and seconds that the attempts really take while the fault is there.
        self._kills: list[list[float]] = []
        self._costs: list[list[float]] = []
        for fault in self.faults:
            row = [seen[fault].get(one.name, nothing) for one in self.entries]
            pairs = list(zip(row, self.entries, strict=True))
            self._kills.append([one.kill_share / entry.seconds for one, entry in pairs])
            self._costs.append(
                [
                    one.seconds / one.attempts / entry.seconds
                    if one.attempts
                    # What cannot run on this design leaves its seconds to the others.
                    else float((BY_NAME[fault].design, entry.name) in runs)
                    for one, entry in pairs
                ]
            )

    def rates(self, shares: Sequence[float]) -> list[float]:
        """Return the kill rate of each fault under these shares, references charged."""
        charge = self._charge(shares)
        rates = []
        for kills, costs in zip(self._kills, self._costs, strict=True):
            seconds = sum(map(mul, shares, costs))
            rates.append(charge * sum(map(mul, shares, kills)) / seconds if seconds else 0.0)
        return rates

    def _charge(self, shares: Sequence[float]) -> float:
        used = sum(
            one.reference_seconds
            for one, share in zip(self.entries, shares, strict=True)
            if share >= SHARE_MIN
        )
        return KillRate(0, 0.0, used).charge

    def best(self) -> list[float]:
        """Return the shares with the highest expected score of all that lie on the way."""
        shares = [1.0 / len(self.entries)] * len(self.entries)
        found = [shares]
        for kills in KILLS_STAGES:
            for _ in range(STEPS):
                shares = self._step(shares, kills)
            found.append(shares)
        return max(found, key=self.expected_score)

    def expected_score(self, shares: Sequence[float]) -> float:
        """Return how many faults a measurement under these shares would find killed."""
        horizon_s = seconds_to_decide(KILLS_MIN, 0.0)
        return sum(
            1.0 - sum(_poisson(count, horizon_s * rate) for count in range(KILLS_MIN))
            for rate in self.rates(shares)
        )

    def _step(self, shares: list[float], kills: int) -> list[float]:
        """Move along the gradient of the expected score, with `kills` kills wanted."""
        horizon_s = seconds_to_decide(KILLS_MIN, 0.0)
        gradient = [0.0] * len(shares)
        for row, costs, rate in zip(self._kills, self._costs, self.rates(shares), strict=True):
            # With N kills in T seconds: d P(N >= k) / d rate = T P(N = k - 1), and rate = kills / costs.
            slope = horizon_s * _poisson(kills - 1, horizon_s * rate) / (sum(map(mul, shares, costs)) or 1.0)
            for index, (gain, cost) in enumerate(zip(row, costs, strict=True)):
                gradient[index] += slope * (gain - rate * cost)
        largest = max(map(abs, gradient)) or 1.0
        moved = [
            share * math.exp(_STEP_SIZE * one / largest) for share, one in zip(shares, gradient, strict=True)
        ]
        total = sum(moved)
        return [one / total for one in moved]


def _poisson(count: int, mean: float) -> float:
    if mean <= 0:
        return float(count == 0)
    return math.exp(count * math.log(mean) - mean - math.lgamma(count + 1))


def choose(evidence: Evidence) -> tuple[list[Entry], dict[str, float]]:
    """Return the allocation and the kill rate that it promises for each fault."""
    killers = {name for by_entry in evidence.seen.values() for name, one in by_entry.items() if one.kills}
    entries = [one for name, one in evidence.timed().items() if name in killers]
    learner = Learner(entries, evidence.seen)
    if not learner.faults:
        raise CommandError("no fault was killed in these runs, so there is nothing to learn from")
    if not entries:
        raise CommandError(
            "no entry that killed a fault ever ran clean, so what it costs is not known: explore more faults"
        )
    shares = learner.best()
    rates = dict(zip(learner.faults, learner.rates(shares), strict=True))
    kept = {one.name: share for one, share in zip(entries, shares, strict=True) if share >= SHARE_MIN}
    for fault in learner.faults:
        if KILLS_MIN / max(rates[fault], 1e-9) > BUDGET_S:
            by_entry = evidence.seen[fault]
            best = max(
                (one for one in entries if one.name in by_entry),
                key=lambda one: by_entry[one.name].kill_share / one.seconds,
            )
            kept[best.name] = max(kept.get(best.name, 0.0), FLOOR)
    total = sum(kept.values())
    own = specialists(evidence)
    chosen = [
        replace(one, share=kept.get(one.name, 0.0) / total, faults=own.get(one.name, ()))
        for one in entries
        if one.name in kept or one.name in own
    ]
    chosen.sort(key=lambda one: -one.share)
    again = Learner([one for one in chosen if one.share], evidence.seen)
    shares = [one.share for one in chosen if one.share]
    return chosen, dict(zip(again.faults, again.rates(shares), strict=True))


def specialists(evidence: Evidence) -> dict[str, tuple[str, ...]]:
    """Return, for each entry, the faults that it kills most per second.

    By the lower bound of its rate, so that two attempts with two kills do not beat a hundred with ninety. A
    second entry is named where its rate is close: one entry alone may have been lucky.
    """
    found: dict[str, list[str]] = defaultdict(list)
    for fault, by_entry in evidence.seen.items():
        rates = {
            name: KillRate(one.kills, one.seconds, 0.0).bounds_per_s[0]
            for name, one in by_entry.items()
            if one.kills
        }
        ranked = sorted(rates, key=lambda name: -rates[name])
        for name in ranked[:1] + [one for one in ranked[1:2] if rates[one] > SECOND_MIN * rates[ranked[0]]]:
            found[name].append(fault)
    return {name: tuple(faults) for name, faults in found.items()}


def learn(folders: Sequence[Path]) -> str:
    """Return the text of the allocation that the records of these runs lead to."""
    evidence = Evidence()
    for folder in folders:
        evidence.read(folder)
    chosen, rates = choose(evidence)
    needed = KILLS_MIN / seconds_to_decide(KILLS_MIN, 0.0)
    lines = [
        "Which entries `mps-stress power` attempts, and their shares of the seconds. Made by",
        f"`python -m benchmarks.power_learn learn {' '.join(one.name for one in folders)}`",
        "and used unchanged since: the runs that are scored took no part in it.",
        "",
        f"Kills per second that the records promise (needed: about {needed:.2f}):",
        *(f"  {name}: {rate:.2f}" for name, rate in sorted(rates.items(), key=lambda one: -one[1])),
    ]
    return dump(chosen, "\n".join(lines))
