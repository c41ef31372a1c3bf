"""`mps-stress minimise`: measure, make smaller, write a script, and measure that too."""

from __future__ import annotations

import math
import sys
import time
from pathlib import Path

from stress.commands import CommandError
from stress.commands.export.files import DEADLINE_S
from stress.commands.export.files import script
from stress.commands.export.recorded import subject_of
from stress.commands.minimise import report
from stress.commands.minimise.options import MinimiseOptions
from stress.commands.minimise.scripts import ScriptRate
from stress.commands.minimise.scripts import measure
from stress.commands.minimise.search import Search
from stress.commands.minimise.search import Trial
from stress.commands.replay.command import prepare
from stress.commands.replay.command import results_folder
from stress.commands.replay.command import runnable
from stress.commands.replay.differences import differences
from stress.commands.replay.failure_kind import FailureKind
from stress.commands.replay.recorded import Recorded
from stress.commands.replay.repetition import Configuration
from stress.commands.replay.repetition import Repetition
from stress.commands.replay.repetition import open_repetition
from stress.commands.replay.report import heading
from stress.commands.session import say
from stress.commands.session import session
from stress.model.verdict import Verdict
from stress.record import host_environment

HANG_S_MIN = 8
"""A script imports torch and computes what is right before its threads start: on a busy machine that takes a while."""
SEARCH_SHARE = 0.55
"""Of the seconds; the rest is for running scripts, each of which starts an interpreter and imports torch."""


def run(options: MinimiseOptions) -> int:
    """Make an attempt smaller; 0 with a script that was shown to fail often enough, else 1."""
    started, rootdir = time.monotonic(), options.rootdir
    recorded, what, notes = prepare(options.attempt, rootdir, options.results)
    wanted = _wanted(recorded)
    with session() as opened:
        results = results_folder(rootdir, options.results)
        repetition = open_repetition(opened, recorded, what, "minimise", results=results, rootdir=rootdir)
        notes += differences(recorded, repetition.device, host_environment(rootdir))
        print(heading(recorded, repetition.device.header_lines, notes, 1).rpartition("\n")[0], flush=True)
        case = Configuration.recorded(recorded, what)
        until = started + SEARCH_SHARE * options.seconds
        search = Search(repetition, wanted, case, until, _tell, options.share)
        with opened.until_interrupted(), runnable(recorded):
            opened.status = _minimise(search, repetition, started + options.seconds, options)
        if opened.interrupted and search.trials:
            print(report.table(search.trials))
        assert opened.status is not None
        return opened.status


def _wanted(recorded: Recorded) -> FailureKind:
    if recorded.end is None:
        raise CommandError(
            f"{recorded.name} has no end record, so its failure is unknown; mps-stress replay {recorded.name} "
            "runs it again"
        )
    wanted = FailureKind.of(recorded.end)
    if not wanted.is_failure:
        raise CommandError(
            f"{recorded.name} {wanted}: only a failure can be made smaller; mps-stress export writes a test of it"
        )
    return wanted


def _minimise(search: Search, repetition: Repetition, until: float, options: MinimiseOptions) -> int:
    parent = search.measure_parent()
    if not parent.n:
        raise CommandError(f"--seconds={options.seconds:g}: not one attempt ended in that time: give more")
    if not parent.failures:
        print(f"0 of {parent.n} attempts failed as recorded ({search.wanted}): nothing to make smaller")
        print(report.others(search) or "longer: --seconds")
        return 1
    search.run()
    print(report.table(search.trials))
    print(report.rules(search))
    print(report.smallest(search, repetition))
    if text := report.others(search):
        print(text)
    path = options.output or repetition.folder / f"minimised_{repetition.what.cls.__name__}.py"
    shown_to_fail = _write_script(search, repetition, until, options.script_runs, path)
    print(f"records: {repetition.folder}")
    return 0 if shown_to_fail else 1


def _write_script(search: Search, repetition: Repetition, until: float, runs: int, path: Path) -> bool:
    """Write the script of the smallest configuration whose script fails often enough by itself."""
    best: tuple[Trial, ScriptRate] | None = None
    deadline_s = DEADLINE_S
    if search.wanted.verdict == Verdict.HANG:  # each run that fails costs all of it
        deadline_s = min(DEADLINE_S, max(HANG_S_MIN, math.ceil(repetition.pace_deadline_s())))
    for trial in _retreat(search.kept):
        if best is not None and time.monotonic() >= until:
            break
        subject = subject_of(repetition.recorded, repetition.what, trial.case, repetition.device)
        text = script(subject, deadline_s=deadline_s)
        measured = measure(text, search.wanted.verdict, search.rates, until, say, runs)
        if best is None or measured.decision or _rate(measured) > _rate(best[1]):
            best = trial, measured
        if (
            measured.decision is not False or measured.error
        ):  # shown, the time is up, or none of them would run
            break
        say(f"the script of '{trial.text}' does not fail often enough by itself: back to a larger one")
    assert best is not None, "the recorded configuration is always kept"
    trial, measured = best
    lines = report.heading(trial.case, repetition, measured, search.parent)
    subject = subject_of(repetition.recorded, repetition.what, trial.case, repetition.device)
    path.write_text(script(subject, lines, deadline_s))
    print(f"script: {path}")
    print(report.script_sentence(measured, search.parent, search.wanted.verdict))
    if trial is not search.kept[-1]:
        print(f"  (of '{trial.text}': the scripts of smaller ones failed too rarely)")
    if not measured.decision and not measured.error:
        word = "was not shown" if measured.decision is None else "does not seem"
        print(f"  it {word} to fail at least {search.share:g} times as often as the recorded configuration")
    return bool(measured.decision)


def _retreat(kept: list[Trial]) -> list[Trial]:
    """Return the smallest configuration, the one in the middle of the way, and the recorded one."""
    last = len(kept) - 1
    return [kept[index] for index in dict.fromkeys((last, last // 2, 0))]


def _rate(measured: ScriptRate) -> float:
    return measured.failures / measured.n if measured.n else 0.0


def _tell(trial: Trial) -> None:
    if sys.stderr.isatty():
        say(report.trial_line(trial))
