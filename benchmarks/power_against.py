"""`mps-stress power` beside pytest-run-parallel: the same faults, seconds, device and run.

    python -m benchmarks.power_against --seconds=1500

Takes the options of `mps-stress power`. Both sides have the same knowledge: the other tool runs the tests of the entries
that ours attempts, and the two take turns in going first. The seconds are shared between them. `make bench` leaves it out.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from dataclasses import field
from pathlib import Path

from benchmarks.power.peer.session import Peer
from benchmarks.power.peer.tally import PeerTally
from stress.commands.power import estimate
from stress.commands.power import options as power_options
from stress.commands.power import report
from stress.commands.power.command import conduct
from stress.commands.power.command import entries_of
from stress.commands.power.command import open_runners
from stress.commands.power.entry_runner import Simulator
from stress.commands.power.estimate import StopRule
from stress.commands.power.measurement import WEIGHTS
from stress.commands.power.measurement import Measurement
from stress.commands.power.measurement import PowerMeasurement
from stress.commands.power.measurement import weight_of
from stress.commands.power.native import NativeCase
from stress.commands.power.options import PowerOptions
from stress.commands.power.report import Score
from stress.commands.power.runnable import Runnable
from stress.commands.power.shares import Shares
from stress.commands.power.subject import Subject
from stress.commands.session import build_device
from stress.commands.session import say
from stress.commands.session import session
from stress.model.errors import UserError


@dataclass(kw_only=True)
class Comparison(Measurement):
    """Measures each fault with both tools; which of them is first changes from fault to fault."""

    peer: Peer
    tallies: dict[str, PeerTally] = field(default_factory=dict)
    """Subject's label -> what the other tool found."""

    def run(self) -> None:
        for design, entries in self.measured.entries.items():
            say(f"{self.peer.name}: looking for what it can run on design {design} while no fault is armed")
            self.measured.notes += [
                f"{self.peer.name}, design {design}, {note}"
                for note in self.peer.calibrate(design, of_python(entries))
            ]
        # What the other tool can run is not part of the measurement.
        self.shares = Shares(self.options.seconds, weight_of_both(self.options))
        super().run()

    def attack(self, number: int, subject: Subject) -> None:
        sides = [super().attack, self._theirs]
        for side in sides if number % 2 == 0 else reversed(sides):
            side(number, subject)

    def _theirs(self, number: int, subject: Subject) -> None:
        share_s = self.share(WEIGHTS["fault"])
        rule = StopRule.for_share(share_s, 0.0)
        tally = self.peer.watch(subject, rule, self.until(share_s), of_python(self.entries(subject)))
        self.tallies[subject.label] = tally
        say(f"{self.left()} {self.peer.name}: {subject.label}: {tally.text}")


def of_python(entries: Sequence[Runnable | NativeCase]) -> tuple[Runnable, ...]:
    """Return what the other tool could run: it has no native suite."""
    return tuple(one for one in entries if isinstance(one, Runnable))


def weight_of_both(options: PowerOptions) -> float:
    return weight_of(options) + len(options.faults) * WEIGHTS["fault"]


def score(comparison: Comparison, reproducibility: float = estimate.REPRODUCIBILITY) -> Score:
    """Return the other tool's score, by the definition that holds for ours."""
    tallies = [_tally(comparison, one) for one in _subjects(comparison.measured)]
    return Score.of([None if one is None else one.rate for one in tallies], reproducibility)


def _subjects(measured: PowerMeasurement) -> list[Subject]:
    return [report.subject(measured, fault) for fault in measured.options.faults]


def _tally(comparison: Comparison, subject: Subject) -> PeerTally | None:
    return comparison.tallies.get(subject.label)


def text(comparison: Comparison) -> str:
    """Return our table, then the other tool's faults and score."""
    name = comparison.peer.name
    lines = [report.text(comparison.measured), "", name]
    for subject in _subjects(comparison.measured):
        tally = _tally(comparison, subject)
        lines.append(f" {subject.label}: {'not measured' if tally is None else tally.text}")
    lines.append(f"{name}: {score(comparison)}")
    lines.append(f"{name} at 95 %: {score(comparison, estimate.REPRODUCIBILITY_WEAK)}")
    return "\n".join(lines)


def json_text(comparison: Comparison) -> str:
    """Return our JSON with "against" in it."""
    data = json.loads(report.json_text(comparison.measured))
    data["against"] = {
        "name": comparison.peer.name,
        **score(comparison).to_data(),
        "score_95": score(comparison, estimate.REPRODUCIBILITY_WEAK).share,
        "faults": {
            label: {
                **report.rate_data(one.rate),
                "kills": one.kills,
                "sessions": one.sessions,
                "verdicts": dict(one.verdicts),
            }
            for label, one in comparison.tallies.items()
        },
    }
    return json.dumps(data, indent=1, allow_nan=False)


def compare(options: PowerOptions) -> int:
    """Measure both and print; 1 where a twin of ours failed, 130 after Ctrl-C."""
    with session() as opened:
        (runner,), measured = open_runners(opened, options, entries_of(options))
        build = build_device()
        entries = next(iter(measured.entries.values()))
        threads = options.threads or max(one.entry.threads for one in entries)
        peer = Peer(Simulator(str(build.library), build.key), threads, options.seed, Path(measured.folder))
        shares = Shares(options.seconds, weight_of_both(options))
        comparison = Comparison(options, runner, shares, measured, peer=peer)
        status = conduct(opened, comparison)
    print(json_text(comparison) if options.json else text(comparison))
    return status


def run(arguments: Sequence[str] | None = None) -> int:
    """Compare; return the exit status, 2 for bad input."""
    parser = argparse.ArgumentParser(
        "python -m benchmarks.power_against",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    power_options.add_arguments(parser)
    try:
        return compare(power_options.alone(power_options.parse(parser.parse_args(arguments))))
    except (UserError, ValueError) as error:
        print(f"power_against: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(run())
