"""`mps-stress core compare`: the native cases on two trees, under ThreadSanitizer."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from collections.abc import Sequence
from dataclasses import dataclass

from stress.commands import CommandError
from stress.commands.core.build import about
from stress.commands.core.build import built
from stress.commands.core.comparison import CaseRuns
from stress.commands.core.comparison import closing_line
from stress.commands.core.comparison import rows_of
from stress.commands.core.comparison import table_of
from stress.commands.core.options import CoreOptions
from stress.commands.session import say
from stress.device.core.build import CoreBuilder
from stress.device.core.build import core_builder
from stress.model import seeds
from stress.plugin.terminal.render import render
from stress.sanitizer.native.controls import Controls
from stress.sanitizer.native.core_driver import open_driver
from stress.sanitizer.native.core_driver import run_controls
from stress.sanitizer.native.core_driver import run_once
from stress.sanitizer.native.harness import Harness
from stress.sanitizer.native.judge import RunRequest
from stress.sanitizer.native.listing import ListingError
from stress.sanitizer.native.run import StartError
from stress.sanitizer.tsan_options import OptionsError

EXIT_CAME = 1
EXIT_UNPROVEN = 3
NOTHING_REAL = "simulated Metal: this is about these trees' host code, not about operators' shaders, MPSGraph, Metal or a GPU"


@dataclass(frozen=True)
class _Side:
    """One of the two trees, built, with what its controls show."""

    name: str
    builder: CoreBuilder
    driver: Harness
    controls: Controls

    @classmethod
    def open(cls, name: str, given: str, options: CoreOptions) -> _Side:
        builder = core_builder(given, "thread")
        for line in about(builder):
            print(f"{name:8} {line}", flush=True)
        driver = open_driver(builder, built(builder, force=options.force))
        found = run_controls(driver, options.threads, options.iterations, deadline_s=options.deadline_s)
        return cls(name, builder, driver, found)

    def case(self, name: str, options: CoreOptions) -> CaseRuns:
        asked = [
            RunRequest(name, options.threads, options.iterations, seeds.derive(options.seed, name, number))
            for number in range(options.runs)
        ]
        return CaseRuns([run_once(self.driver, one, deadline_s=options.deadline_s) for one in asked])

    @property
    def amiss(self) -> list[str]:
        """Return why silence proves nothing."""
        return [*self.driver.audit.reasons, *self.controls.reasons]


def compare(options: CoreOptions) -> int:
    """Run the cases on both trees, print what went, stayed and came, and return the exit status."""
    try:
        return _compared(options)
    except (OptionsError, StartError) as error:
        raise CommandError(f"the core cannot be run: {error}") from None


def _compared(options: CoreOptions) -> int:
    base, patched = (
        _Side.open(name, given, options)
        for name, given in zip(("base", "patched"), options.pytorch, strict=True)
    )
    cases = _cases(base, patched, options)
    found: dict[str, dict[str, CaseRuns]] = {"base": {}, "patched": {}}
    for case in cases:
        for side in (base, patched):
            found[side.name][case] = side.case(case, options)
        say(f"{case}: done")
    rows = rows_of(found["base"], found["patched"])
    if rows:
        width = shutil.get_terminal_size().columns if sys.stdout.isatty() else 160
        print(render(table_of(rows), width, color=sys.stdout.isatty()))
    print(closing_line(rows, len(cases)))
    for line in _ended_early(found):
        print(line)
    unproven = list(_unproven((base, patched), found))
    for line in unproven:
        print(line)
    print(f"seed {options.seed:#x}; {NOTHING_REAL}")
    if any(row.fate == "came" for row in rows):
        return EXIT_CAME
    return EXIT_UNPROVEN if any(one.amiss for one in (base, patched)) else 0


def _cases(base: _Side, patched: _Side, options: CoreOptions) -> list[str]:
    """Return the cases that both drivers have and that these threads can run; raise `ListingError`."""
    known = base.driver.listing.cases
    for name in options.cases:
        base.driver.listing.require_case(name)
        if known[name].threads_min > options.threads:
            raise ListingError(f"--case={name}: it needs --threads={known[name].threads_min} or more")
    shared = [name for name in known if name in patched.driver.listing.cases]
    return list(options.cases) or [name for name in shared if known[name].threads_min <= options.threads]


def _ended_early(found: dict[str, dict[str, CaseRuns]]) -> Iterator[str]:
    """Yield for each tree how many runs of which cases tell nothing of what would have come later."""
    for name, cases in found.items():
        early = [
            f"{case} {runs.ended_early}/{len(runs.runs)}" for case, runs in cases.items() if runs.ended_early
        ]
        if early:
            yield (
                f"{name}: ended by a crash or a hang: {', '.join(early)}; such a run counts for what it shows, and not as "
                "without what it does not show"
            )


def _unproven(sides: Sequence[_Side], found: dict[str, dict[str, CaseRuns]]) -> Iterator[str]:
    """Yield every reason why silence proves nothing."""
    for side in sides:
        for reason in side.amiss:
            yield f"{side.name}: silence proves nothing: {reason}"
        for case, runs in found[side.name].items():
            if runs.unsure:
                yield f"{side.name}: {case} is no result: {runs.unsure}"
