"""Learn the allocation of `mps-stress power`: attempt every entry against every fault, then read the records.

    python -m benchmarks.power_learn explore --attempts=3      # every scenario, or the entries of --allocation=FILE
    python -m benchmarks.power_learn learn results/runs/RUN [RUN...] > stress/commands/power/allocation.toml

`explore` takes the options of `mps-stress power` and hours; `make bench` leaves both out.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.power.candidates import candidates
from benchmarks.power.learning import learn
from stress.commands import shared_options
from stress.commands.power import options as power_options
from stress.commands.power.command import conduct
from stress.commands.power.command import entries_of
from stress.commands.power.command import open_runners
from stress.commands.power.measurement import Measurement
from stress.commands.power.measurement import described
from stress.commands.power.measurement import weight_of
from stress.commands.power.native import NativeCase
from stress.commands.power.options import PowerOptions
from stress.commands.power.runnable import Runnable
from stress.commands.power.shares import Shares
from stress.commands.power.subject import Subject
from stress.commands.power.tally import Tally
from stress.commands.power.watch import Watch
from stress.commands.power.watch import Watcher
from stress.commands.session import say
from stress.commands.session import session
from stress.isolate.case_runner import References
from stress.model.errors import UserError


@dataclass
class Exploration(Measurement):
    """Attempts every entry equally often per fault, to learn from; there is no score."""

    attempts: int = 1

    def run(self) -> None:
        probability = self.options.probabilities[0]
        for design in self.measured.entries:
            with self.shared() as shared:
                for fault in self.options.faults:
                    if fault.design == design:
                        subject = Subject(design, fault, probability=probability)
                        tally = every(self.watcher(subject), subject, self.attempts, shared)
                        say(f"{self.left()} {described(tally)}")

    def entries(self, subject: Subject) -> tuple[Runnable | NativeCase, ...]:
        return self.measured.entries[subject.design]


def every(watcher: Watcher, subject: Subject, attempts: int, shared: dict[str, References]) -> Tally:
    """Try every entry so many times."""
    with Watch(watcher, subject, shared) as one:
        for index in range(len(watcher.entries)):
            for _ in range(attempts):
                if watcher.time_is_up():
                    one.tally.cut_short = True
                    return one.tally
                if not one.attempt(index):
                    break
    return one.tally


def explore(options: PowerOptions, attempts: int) -> int:
    """Run and say where the records are; 130 after Ctrl-C."""
    entries = entries_of(options) if options.allocation else candidates(threads=options.threads)
    with session() as opened:
        (runner,), measured = open_runners(opened, options, entries)
        shares = Shares(options.seconds, weight_of(options))
        status = conduct(opened, Exploration(options, runner, shares, measured, attempts=attempts))
    interrupted = "INTERRUPTED: " if measured.interrupted else ""
    print(f"{interrupted}explored {len(measured.tallies)} subjects; learn from {measured.folder}")
    return status


def run(arguments: Sequence[str] | None = None) -> int:
    """Explore or learn; return the exit status, 2 for bad input."""
    parser = argparse.ArgumentParser(
        "python -m benchmarks.power_learn",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    choices = parser.add_subparsers(dest="what", required=True)
    exploring = choices.add_parser("explore", help="attempt every entry so many times per fault")
    power_options.add_arguments(exploring)
    shared_options.add(
        exploring, "attempts", default="3", help="attempts of each entry (default %(default)s)"
    )
    learning = choices.add_parser("learn", help="print the allocation that kills most faults by these runs")
    learning.add_argument("runs", metavar="RUN", nargs="+", help="run folders below results/runs")
    args = parser.parse_args(arguments)
    try:
        if args.what == "explore":
            return explore(
                power_options.alone(power_options.parse(args)), shared_options.value(args, "attempts")
            )
        print(learn([Path(one) for one in args.runs]), end="")
    except (UserError, ValueError) as error:
        print(f"power_learn: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(run())
