"""`mps-stress bisect`: name the builds, search, report."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack

from stress.commands import CommandError
from stress.commands.bisect import report
from stress.commands.bisect.builds import BisectedBuild
from stress.commands.bisect.builds import Command
from stress.commands.bisect.builds import CommitBuild
from stress.commands.bisect.builds import Replayed
from stress.commands.bisect.builds import commits
from stress.commands.bisect.options import BisectOptions
from stress.commands.bisect.search import Bisection
from stress.commands.exit_status import EXIT_INTERRUPTED
from stress.commands.replay.command import results_folder
from stress.commands.replay.failure_kind import FailureKind
from stress.commands.replay.find import find
from stress.commands.replay.recorded import Recorded
from stress.commands.replay.recorded import read
from stress.commands.session import say


def run(options: BisectOptions) -> int:
    """Search and print; 0 where one build is left, 1 where not, 130 after Ctrl-C, with what there is by then."""
    recorded = read(find(options.attempt, options.rootdir, options.results)) if options.attempt else None
    wanted = _wanted(recorded) if recorded is not None else None
    until = time.monotonic() + options.seconds
    with ExitStack() as stack:
        builds = _builds(options, recorded, wanted, stack)
        search = Bisection(
            [one.name for one in builds],
            lambda index, attempts: builds[index].run(attempts),
            lambda: time.monotonic() >= until,
            options.confidence,
            lambda probe: say(report.probe_line(probe)),
        )
        print(report.heading(recorded, wanted, builds), flush=True)
        interrupted = False
        try:
            search.run()
        except KeyboardInterrupt:
            interrupted = True
            search.problem = "interrupted"
    print(report.text(search))
    if interrupted:
        return EXIT_INTERRUPTED
    return 0 if search.is_single else 1


def _wanted(recorded: Recorded) -> FailureKind:
    if recorded.end is None:
        raise CommandError(f"{recorded.name} has no end record, so its failure is unknown")
    wanted = FailureKind.of(recorded.end)
    if not wanted.is_failure:
        raise CommandError(f"{recorded.name} {wanted}: only a failure can have come in with a build")
    return wanted


def _builds(
    options: BisectOptions, recorded: Recorded | None, wanted: FailureKind | None, stack: ExitStack
) -> Sequence[BisectedBuild]:
    """Return the builds from good to bad."""
    places = [f"--rootdir={options.rootdir.resolve()}"]
    places.append(f"--results={results_folder(options.rootdir, options.results)}")
    if options.commits is not None:
        assert recorded is not None, "refused by the options"
        assert wanted is not None
        if recorded.pytorch is None:
            raise CommandError(
                f"--commits={options.commits}: {recorded.name} ran on {recorded.device}, and commits are for failures on core"
            )
        good, bad = (one.name for one in options.builds)
        arguments = [sys.executable, recorded.name, *places]
        build = CommitBuild(recorded.core_operators, options.force)
        return stack.enter_context(commits(options.commits, good, bad, arguments, wanted, build))
    made: list[BisectedBuild] = []
    for one in options.builds:
        if one.command:
            made.append(Command(one.name, one.command))
        else:
            assert recorded is not None, "refused by the options"
            assert wanted is not None
            made.append(Replayed(one.name, (one.python, recorded.name, *places), wanted))
    return made
