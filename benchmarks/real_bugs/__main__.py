"""Show that a tree's real bugs are found, and that their fixes silence what found them.

    python -m benchmarks.real_bugs --pytorch=TREE [--bug=NAME[,NAME...]] [--runs=20] [--operators=tree]
                                   [--races-may-hide] [--other-cases]

Two trees are built, as they are and under ThreadSanitizer: the one that is given, and a copy of it with the fixes of all
the bugs. Each bug's case runs in both. Exit status: 0 when every bug was seen in every run of the first and in none of
the second, 1 when not, 2 for bad input. Few runs may miss a race, which takes two threads at the same time at one place.
With --other-cases, the cases that show no bug of the list must be silent in the copy, and its planted races be found.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Iterator
from collections.abc import Sequence
from collections.abc import Set
from dataclasses import dataclass
from dataclasses import replace
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks.real_bugs import bugs
from benchmarks.real_bugs.bugs import BugError
from benchmarks.real_bugs.bugs import RealBug
from benchmarks.real_bugs.operator_runs import OperatorPrograms
from stress.device.core import build as core
from stress.device.core.build import CoreBuilder
from stress.model.errors import BuildError
from stress.model.errors import UserError
from stress.model.verdict import Verdict
from stress.sanitizer.native.core_driver import STALLED
from stress.sanitizer.native.core_driver import open_driver
from stress.sanitizer.native.core_driver import run_controls
from stress.sanitizer.native.core_driver import run_once
from stress.sanitizer.native.harness import Harness
from stress.sanitizer.native.judge import JudgedRun
from stress.sanitizer.native.judge import RunRequest
from stress.sanitizer.native.run import StartError
from stress.scenario.capabilities import CORE_OPERATORS

THREADS = 8
ITERATIONS = 500
"""Of each thread: with 50, a thread can be done before the next one starts."""
DEADLINE_S = 120.0


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0], allow_abbrev=False)
    parser.add_argument("--pytorch", metavar="TREE", required=True, help="root of a PyTorch source tree")
    parser.add_argument("--bug", metavar="NAME[,NAME...]", help="some of the bugs (default: all)")
    parser.add_argument("--runs", metavar="N", type=int, default=20, help="runs of each case in each tree")
    parser.add_argument(
        "--operators",
        choices=CORE_OPERATORS,
        default="cpu",
        help="tree: the bugs of the tree's own operators as well, for which two more trees are built",
    )
    parser.add_argument(
        "--races-may-hide",
        action="store_true",
        help="a bug that takes several threads and that no run has shown is no failure",
    )
    parser.add_argument(
        "--other-cases", action="store_true", help="run the cases that show no bug once in the copy, too"
    )
    args = parser.parse_args(arguments)
    try:
        wanted = _chosen(bugs.load(), args.bug, args.operators)
        builder = core.core_builder(args.pytorch)
        with tempfile.TemporaryDirectory(prefix="real-bugs-") as folder:
            whole = core.core_builder(args.pytorch, operators="tree")
            fixed = bugs.fixed_copy(builder.tree, Path(folder) / "fixed", bugs.load())
            # Not the others' fixes: some change headers, after which every operator would be compiled anew.
            of_operators = [one for one in bugs.load() if one.is_of_operators]
            fixed_whole = bugs.fixed_copy(whole.tree, Path(folder) / "fixed-operators", of_operators)
            trees = (
                _Tree(builder, OperatorPrograms(whole, _say)),
                _Tree(replace(builder, tree=fixed), OperatorPrograms(replace(whole, tree=fixed_whole), _say)),
            )
            print(
                f"before: {builder.tree.describe()}\nafter:  the same, with the fixes of all bugs", flush=True
            )
            rows = []
            for bug in wanted:
                rows.append(_Row(bug, *(one.seen(bug, args.runs) for one in trees)))
                _say(f"{bug.name}: {rows[-1].before.hits} of {args.runs}, then {rows[-1].after.hits}")
            loud = list(trees[1].loud_cases({one.case for one in bugs.load()})) if args.other_cases else []
    except (BugError, BuildError, UserError, StartError) as error:
        parser.error(str(error))
    Console(width=100 if not sys.stdout.isatty() else None).print(_table(rows))
    for line in loud:
        print(line)
    return 0 if all(one.is_good(races_may_hide=args.races_may_hide) for one in rows) and not loud else 1


@dataclass(frozen=True)
class _Seen:
    """What the runs of one bug's case in one tree came to."""

    hits: int
    """Runs in which the bug showed as it is said to."""
    silent: int
    """Runs that came to their end and found nothing."""
    runs: int
    others: tuple[str, ...]
    """What was found instead, once each."""


@dataclass(frozen=True)
class _Row:
    bug: RealBug
    before: _Seen
    after: _Seen

    def is_good(self, *, races_may_hide: bool) -> bool:
        may_hide = races_may_hide and self.bug.threads > 1
        return (may_hide or self.before.hits == self.before.runs) and self.after.silent == self.after.runs


@dataclass(frozen=True)
class _Tree:
    """One tree, built when the first bug needs it: as it is, or under ThreadSanitizer."""

    builder: CoreBuilder
    operators: OperatorPrograms
    """For the cases that need the tree's own operators."""

    def seen(self, bug: RealBug, runs: int) -> _Seen:
        """Run the bug's case that often, and count in how many runs it shows."""
        sanitizer = "thread" if bug.shows == "race" else None
        asked = [RunRequest(bug.case, bug.threads, ITERATIONS, seed) for seed in range(1, runs + 1)]
        if bug.is_of_operators:
            judged = [
                self.operators.run(one, sanitizer, deadline_s=DEADLINE_S, metal=bug.metal) for one in asked
            ]
        else:
            driver = self._driver(sanitizer)
            judged = [run_once(driver, one, deadline_s=DEADLINE_S, metal=bug.metal) for one in asked]
        hits = [one for one in judged if _shows(bug, one)]
        silent = [one for one in judged if not one.findings and one.told.end is not None]
        others = [one.headline or "no end" for one in judged if one not in hits and one not in silent]
        return _Seen(len(hits), len(silent), runs, tuple(dict.fromkeys(others)))

    def loud_cases(self, left_out: Set[str]) -> Iterator[str]:
        """Run every other case under ThreadSanitizer; yield what is found, and why silence would prove nothing."""
        driver = self._driver("thread")
        for reason in run_controls(driver, THREADS, ITERATIONS, deadline_s=DEADLINE_S).reasons:
            yield f"silence proves nothing: {reason}"
        silent = 0
        for name in driver.listing.cases:
            if name in left_out:
                continue
            judged = run_once(driver, RunRequest(name, THREADS, ITERATIONS, seed=1), deadline_s=DEADLINE_S)
            if judged.unavailable:
                pass  # The tree lacks what the case needs.
            elif judged.findings or judged.reasons:
                yield f"{name}, which shows no bug of the list: {judged.word}: {judged.headline}"
            else:
                silent += 1
            _say(f"{name}: {judged.word}")
        print(f"{silent} other cases are silent in the copy with the fixes, from {THREADS} threads")

    def _driver(self, sanitizer: str | None) -> Harness:
        builder = replace(self.builder, sanitizer=sanitizer)
        return open_driver(builder, builder.ensure(_say, lambda step, done: None, force=True))


def _shows(bug: RealBug, judged: JudgedRun) -> bool:
    """Return whether the bug is seen in a run, as its entry says."""
    verdicts = {one.verdict for one in judged.findings}
    stalled = any(one.startswith(STALLED) for one in judged.told.violations)
    kinds = {
        "crash": Verdict.CRASH in verdicts,
        "race": Verdict.RACE in verdicts,
        "hang": Verdict.HANG in verdicts or stalled,
        "value": Verdict.MISMATCH in verdicts and not stalled,
    }
    said = "\n".join([judged.ran.stderr, *judged.told.violations, *(one.text for one in judged.findings)])
    return kinds[bug.shows] and (not bug.says or any(one in said for one in bug.says))


def _chosen(found: Sequence[RealBug], names: str | None, operators: str) -> list[RealBug]:
    if names is None:
        return [one for one in found if operators == "tree" or not one.is_of_operators]
    by_name = {one.name: one for one in found}
    unknown = [name for name in names.split(",") if name not in by_name]
    if unknown:
        raise BugError(f"--bug={names}: unknown {unknown[0]!r}: choose from {', '.join(by_name)}")
    return [by_name[name] for name in names.split(",")]


def _table(rows: Sequence[_Row]) -> Table:
    table = Table("bug", "shows", "case", "before", "after the fix", "instead")
    for row in rows:
        before, after = row.before, row.after
        table.add_row(
            row.bug.name,
            row.bug.shows,
            f"{row.bug.case} x {row.bug.threads}",
            f"{before.hits}/{before.runs}",
            f"{after.hits}/{after.runs}, silent {after.silent}",
            "; ".join(dict.fromkeys([*before.others, *after.others])),
        )
    return table


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
