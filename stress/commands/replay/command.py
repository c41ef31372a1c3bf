"""`mps-stress replay`: find, check, run again, report."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from stress.commands import CommandError
from stress.commands.replay import report
from stress.commands.replay import variables
from stress.commands.replay.differences import differences
from stress.commands.replay.find import find
from stress.commands.replay.find import shown
from stress.commands.replay.options import ReplayOptions
from stress.commands.replay.recorded import Recorded
from stress.commands.replay.recorded import read
from stress.commands.replay.repetition import Repeated
from stress.commands.replay.repetition import open_history
from stress.commands.replay.repetition import open_repetition
from stress.commands.replay.rerun import rerun_test
from stress.commands.replay.resolve import Resolved
from stress.commands.replay.resolve import resolve_item
from stress.commands.session import session
from stress.model.errors import BrokenScenario
from stress.model.spec import RESULTS_DEFAULT
from stress.record import host_environment


def prepare(
    name: str, rootdir: Path, results: Path | None, pytorch: str | None = None
) -> tuple[Recorded, Resolved, list[str]]:
    """Return the attempt, its scenario, and what a person should know; set the environment as it was recorded.

    `pytorch` is a source tree that an attempt on core is to run on, in place of the recorded one.
    """
    recorded = on_tree(read(find(name, rootdir, results)), pytorch)
    if recorded.is_test:
        raise CommandError(
            f"{recorded.name} is an attempt of an ordinary test, and no scenario: mps-stress replay runs it again"
        )
    changes = variables.plan(recorded.environment, os.environ)
    changes.apply(os.environ)  # before anything imports torch, and before there are processes to inherit it
    what = resolve_item(
        recorded.item,
        rootdir,
        env=recorded.env,
        threads=recorded.threads,
        place=recorded.place,
        sys_path=recorded.sys_path,
    )
    return recorded, what, changes.sentences


def on_tree(recorded: Recorded, pytorch: str | None) -> Recorded:
    """Return the attempt with another source tree; raise `CommandError` where it did not run on core."""
    if pytorch is None:
        return recorded
    if recorded.pytorch is None:
        raise CommandError(
            f"--pytorch={pytorch}: {recorded.name} ran on {recorded.device}, and not on a tree's core"
        )
    return replace(recorded, pytorch=os.path.abspath(pytorch))


def results_folder(rootdir: Path, results: Path | None) -> Path:
    """Return where the records of this run go: beside those that it is about."""
    return results if results is not None else rootdir.resolve() / RESULTS_DEFAULT


@contextlib.contextmanager
def runnable(recorded: Recorded) -> Iterator[None]:
    """Turn a scenario that cannot be run as it was recorded into bad input."""
    try:
        yield
    except BrokenScenario as error:
        raise CommandError(f"{recorded.name}: {shown(error)}") from None


def run(options: ReplayOptions) -> int:
    """Run the attempt again and print what came of it; 0 when the recorded result came again, else 1."""
    rootdir = options.rootdir
    test = on_tree(read(find(options.attempt, rootdir, options.results)), options.pytorch)
    if test.is_test:
        if options.history:
            raise CommandError(f"--history is for scenarios, and {test.name} ran an ordinary test")
        return rerun_test(test, options, results_folder(rootdir, options.results))
    recorded, what, notes = prepare(options.attempt, rootdir, options.results, options.pytorch)
    folder = results_folder(rootdir, options.results)
    done: list[Repeated] = []
    before = _before(recorded, options) if options.history else []
    with session() as opened:
        if before:
            history = open_history(opened, recorded, what, before, results=folder, rootdir=rootdir)
            repetition, run_once = history.last, history.attempt
            notes.append(
                f"in a process that has served attempts {', '.join(map(str, recorded.before))} before"
            )
        else:
            repetition = open_repetition(opened, recorded, what, "replay", results=folder, rootdir=rootdir)
            run_once = repetition.again
        notes += differences(recorded, repetition.device, host_environment(rootdir))
        print(report.heading(recorded, repetition.device.header_lines, notes, options.attempts), flush=True)
        with opened.until_interrupted(), runnable(recorded):
            _repeat(run_once, options.attempts, done)
        print(report.result(recorded, done))
        if before and len(done) < options.attempts and not opened.interrupted:
            print(
                f"history: it did not come to its end in {options.attempts - len(done)} of {options.attempts} processes"
            )
        print(f"records: {repetition.folder}")
        if opened.status is None:
            opened.status = report.status(recorded, done)
        return opened.status


def _before(recorded: Recorded, options: ReplayOptions) -> list[tuple[Recorded, Resolved]]:
    """Return the attempts that came before in its process; raise `CommandError` where there is none."""
    if not recorded.before:
        raise CommandError(f"{recorded.name} has no history: its process served no other attempt before")
    found = []
    for serial in recorded.before:
        one = read(find(f"{recorded.folder}/{serial}", options.rootdir, options.results))
        what = resolve_item(
            one.item,
            options.rootdir,
            env=one.env,
            threads=one.threads,
            place=one.place,
            sys_path=one.sys_path,
        )
        found.append((one, what))
    return found


def _repeat(run_once: Callable[[], Repeated | None], attempts: int, done: list[Repeated]) -> None:
    # One by one into the list: an interrupt keeps what is there.
    for _ in range(attempts):
        repeated = run_once()
        if repeated is not None:
            done.append(repeated)
