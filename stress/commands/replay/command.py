"""`mps-stress replay`: find, check, run again, tell."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from stress.commands import CommandError
from stress.commands.exit_status import EXIT_INTERRUPTED
from stress.commands.replay import report
from stress.commands.replay import variables
from stress.commands.replay.differences import differences
from stress.commands.replay.failure_kind import Kind
from stress.commands.replay.find import find
from stress.commands.replay.find import shown
from stress.commands.replay.options import ATTEMPTS_DEFAULT
from stress.commands.replay.options import ATTEMPTS_MAX
from stress.commands.replay.recorded import Recorded
from stress.commands.replay.recorded import read
from stress.commands.replay.repetition import Attempted
from stress.commands.replay.repetition import Bench
from stress.commands.replay.repetition import Case
from stress.commands.replay.repetition import opened
from stress.commands.replay.resolve import Resolved
from stress.commands.replay.resolve import resolve_item
from stress.commands.shared_options import checked
from stress.commands.shared_options import count
from stress.commands.shared_options import places
from stress.model.errors import BrokenScenario
from stress.model.spec import RESULTS_DEFAULT
from stress.record import host_environment


def prepare(name: str, rootdir: Path, results: Path | None) -> tuple[Recorded, Resolved, list[str]]:
    """Return the attempt, its scenario, and what a person should know; set the environment as it was recorded."""
    if not rootdir.is_dir():
        raise CommandError(f"--rootdir={rootdir}: there is no such folder")
    recorded = read(find(name, rootdir, results))
    changes = variables.plan(recorded.environment, os.environ)
    changes.apply(os.environ)  # before anything imports torch, and before there are processes to inherit it
    what = resolve_item(
        recorded.item, rootdir, env=recorded.env, threads=recorded.threads, place=recorded.place
    )
    return recorded, what, changes.sentences


def results_folder(rootdir: Path, results: Path | None) -> Path:
    """Return where the records of this run go: beside those that it is about."""
    return results if results is not None else rootdir.resolve() / RESULTS_DEFAULT


def replay(name: str, attempts: int, rootdir: Path, results: Path | None) -> int:
    """Run the attempt again and print what came of it; 0 when the recorded result came again, else 1."""
    recorded, what, notes = prepare(name, rootdir, results)
    folder = results_folder(rootdir, results)
    done: list[Attempted] = []
    interrupted = False
    with opened(recorded, what, "replay", results=folder, rootdir=rootdir) as bench:
        notes += differences(recorded, bench.device, host_environment(rootdir))
        print(report.heading(recorded, bench.device.header_lines, notes, attempts), flush=True)
        try:
            _repeat(bench, attempts, done)
        except BrokenScenario as error:
            raise CommandError(f"{recorded.name}: {shown(error)}") from None
        except KeyboardInterrupt:
            interrupted = True
        print(report.result(recorded, done))
        print(f"records: {bench.folder}")
    if interrupted:
        return EXIT_INTERRUPTED
    wanted = Kind.of(recorded.end) if recorded.end is not None else None
    again = [one.kind == wanted if wanted is not None else one.kind.is_failure for one in done]
    return 0 if any(again) else 1


def _repeat(bench: Bench, attempts: int, done: list[Attempted]) -> None:
    case = Case.recorded(bench.recorded, bench.what)
    # One by one into the list: an interrupt keeps what is there.
    done.extend(
        bench.attempt(case, bench.recorded.attempt, item=bench.recorded.item) for _ in range(attempts)
    )


def run(args: argparse.Namespace) -> int:
    """Check the options, then run the attempt again."""
    attempts = checked(lambda: count(args.attempts, "--attempts", ATTEMPTS_MAX))
    rootdir, results = places(args)
    return replay(args.attempt, attempts or ATTEMPTS_DEFAULT, rootdir, results)
