"""The controls without which "0 races" means nothing: the same program, options and threads find what was planted.

Two parts. The audit looks at the program and its suppressions, once. The controls run: a canary that must give exactly
one report, at the planted variable; the same with many calls between the two accesses, which a short history loses; and
the canary under a lock, which must stay silent.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from dataclasses import field

from stress.device.clang import Toolchain
from stress.sanitizer import suppressions
from stress.sanitizer.instrumentation import CountError
from stress.sanitizer.instrumentation import Library
from stress.sanitizer.instrumentation import libraries_of
from stress.sanitizer.instrumentation import names_in
from stress.sanitizer.native.build import Program
from stress.sanitizer.native.judge import JudgedRun
from stress.sanitizer.native.listing import CANARY
from stress.sanitizer.native.listing import GUARDED_TWIN
from stress.sanitizer.native.listing import HISTORY_CANARY
from stress.sanitizer.native.listing import Control
from stress.sanitizer.suppressions import Suppression
from stress.sanitizer.suppressions import SuppressionsError
from stress.sanitizer.tsan_options import TsanOptions

CANARY_BYTES = 4
_PLACES_SHOWN = 3
_LIBTORCH = re.compile(r"lib(?:torch|c10)")


@dataclass(frozen=True)
class Audit:
    """The facts about a program that are known without running a case."""

    instrumented: int
    """Translation units that are instrumented."""
    units: int
    """Translation units that should be."""
    left_out: tuple[str, ...] = ()
    """Units that the recipe leaves uninstrumented on purpose."""
    libraries: tuple[Library, ...] = ()
    suppressions: tuple[Suppression, ...] = ()
    reasons: tuple[str, ...] = ()
    """Why no result of this program can be trusted; empty when all is well."""

    @property
    def units_text(self) -> str:
        names = ", ".join(one.rpartition("/")[2] for one in self.left_out)
        verb = "is" if len(self.left_out) == 1 else "are"
        others = f" ({names} {verb} not, on purpose)" if names else ""
        return f"{self.instrumented} of {self.units} translation units instrumented{others}"

    @property
    def libtorch_text(self) -> str:
        """Return what is known about libtorch, whose code no harness instruments."""
        found = [one for one in self.libraries if _LIBTORCH.match(one.name)]
        if not found:
            return "libtorch not linked"
        if all(one.instrumented for one in found):
            return "libtorch instrumented"
        return "libtorch not instrumented (its code is not covered)"

    @property
    def not_covered_text(self) -> str:
        """Return the sentence about libraries whose races cannot be seen; empty where there are none."""
        names = ", ".join(sorted(one.name for one in self.libraries if not one.instrumented))
        return f"not instrumented, so races inside them are not seen: {names}" if names else ""

    def to_data(self) -> dict[str, object]:
        return {
            "instrumented": self.instrumented,
            "units": self.units,
            "left_out": list(self.left_out),
            "libraries": {one.name: one.instrumented for one in self.libraries},
            "suppressions": [str(one) for one in self.suppressions],
            "reasons": list(self.reasons),
        }


def audit(program: Program, toolchain: Toolchain, options: TsanOptions, env: Mapping[str, str]) -> Audit:
    """Look at the program, its libraries and its suppressions."""
    reasons = _instrumentation_reasons(program)
    libraries: list[Library] = []
    try:
        libraries = libraries_of(program.path, toolchain, env)
    except CountError as error:
        reasons.append(f"what is instrumented of its libraries is unknown: {error}")
    entries: list[Suppression] = []
    if options.suppressions is not None:
        try:
            entries = suppressions.read(options.suppressions)
            if entries:
                names = (
                    names_in(one, program.files, toolchain) for one in (program.path, *program.libraries)
                )
                reasons += suppressions.problems(entries, set().union(*names))
        except (SuppressionsError, CountError) as error:
            reasons.append(str(error))
    return Audit(
        min(program.units - len(program.missing), program.constructors),
        program.units,
        program.left_out,
        tuple(libraries),
        tuple(entries),
        tuple(reasons),
    )


def _instrumentation_reasons(program: Program) -> list[str]:
    reasons = []
    if program.missing:
        names = ", ".join(program.missing[:_PLACES_SHOWN]) + (
            " ..." if len(program.missing) > _PLACES_SHOWN else ""
        )
        reasons.append(
            f"only {program.units - len(program.missing)} of {program.units} translation units are "
            f"instrumented: {names} not"
        )
    elif program.constructors != program.units:
        reasons.append(
            f"the linked program has {program.constructors} instrumented units, its objects had {program.units}"
        )
    if program.opted_out:
        places = ", ".join(program.opted_out[:_PLACES_SHOWN])
        reasons.append(f"code under test disables its own instrumentation: {places}")
    return reasons


@dataclass(frozen=True)
class Controls:
    """The result of the control runs, for one number of threads and iterations."""

    canary: str = ""
    """Empty if found, else what happened instead; likewise the others."""
    history: str = ""
    twin: str = ""
    runs: tuple[JudgedRun, ...] = field(default=(), repr=False)

    @property
    def reasons(self) -> list[str]:
        """Return why a silent case at these threads proves nothing."""
        return [
            *([f"canary not found: {self.canary}"] if self.canary else []),
            *([f"history canary not found: {self.history}"] if self.history else []),
            *([f"the guarded twin is not silent: {self.twin}"] if self.twin else []),
        ]

    def problem(self, name: str) -> str:
        """Return what is wrong with one control; empty when all is well."""
        return {CANARY: self.canary, HISTORY_CANARY: self.history, GUARDED_TWIN: self.twin}[name]

    @property
    def false_alarm(self) -> bool:
        """Whether reports may be false: then a race proves nothing either."""
        return bool(self.twin)

    @property
    def canary_text(self) -> str:
        """Return the words of the closing sentence."""
        if not self.canary and not self.history:
            return "canary found"
        return "canary NOT found" if self.canary else "history canary NOT found"


def from_runs(runs: Mapping[str, JudgedRun], known: Mapping[str, Control]) -> Controls:
    """Return what the three control runs show; `runs` and `known` are by the control's name."""
    return Controls(
        _canary_problem(runs[CANARY], known[CANARY].variable),
        _canary_problem(runs[HISTORY_CANARY], known[HISTORY_CANARY].variable),
        _twin_problem(runs[GUARDED_TWIN]),
        tuple(runs.values()),
    )


def _canary_problem(judged: JudgedRun, variable: str) -> str:
    """Return what is wrong; empty for exactly one data race, at the planted variable."""
    if judged.reasons:
        return "; ".join(judged.reasons)
    parsed = judged.ran.parsed
    if judged.ran.hung or parsed.deadly or judged.ran.code < 0:
        return judged.headline
    if not parsed.total:
        return "the planted race was not reported"
    if parsed.total > 1:
        return f"{parsed.total} reports instead of one: {', '.join(parsed.signatures)}"
    (report,) = parsed.reports
    place = report.location
    if report.kind != "data-race" or place is None or place.kind != "global":
        return f"the report is of something else: {parsed.signatures[0]}"
    if place.name != variable or place.size != CANARY_BYTES:
        return f"the report is at {place.name!r} of size {place.size}, not at {variable!r} of size {CANARY_BYTES}"
    return ""


def _twin_problem(judged: JudgedRun) -> str:
    return "" if judged.verdict.is_green else judged.headline


def clean_environment() -> dict[str, str]:
    """Return the environment of a run: without what would load other code into the program or bind libraries otherwise."""
    return {name: value for name, value in os.environ.items() if not name.startswith(("LD_", "DYLD_"))}
