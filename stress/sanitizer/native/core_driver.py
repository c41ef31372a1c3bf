"""The driver of a core's native cases: one program for each tree, which speaks the native harness's protocol.

So runs, judgement, audit and controls are those of any other native program.
"""

from __future__ import annotations

import os
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from stress.device import cache
from stress.device.core.build import CoreBuild
from stress.device.core.build import CoreBuilder
from stress.device.core.build import core_builder
from stress.device.core.build import said_once
from stress.model.errors import BuildError
from stress.model.errors import OptionError
from stress.model.shipped import shipped
from stress.model.verdict import Verdict
from stress.sanitizer import instrumentation
from stress.sanitizer.instrumentation import CountError
from stress.sanitizer.native import controls
from stress.sanitizer.native.build import Program
from stress.sanitizer.native.controls import Controls
from stress.sanitizer.native.harness import METAL_VARIABLE
from stress.sanitizer.native.harness import Harness
from stress.sanitizer.native.harness import HarnessError
from stress.sanitizer.native.harness import Say
from stress.sanitizer.native.judge import JudgedRun
from stress.sanitizer.native.judge import RunRequest
from stress.sanitizer.native.judge import judge
from stress.sanitizer.native.listing import CONTROLS
from stress.sanitizer.native.run import Place
from stress.sanitizer.native.run import run_program
from stress.sanitizer.tsan_options import VARIABLE
from stress.sanitizer.tsan_options import OptionsError
from stress.sanitizer.tsan_options import TsanOptions

_LIBTORCH = {
    # libtorch is not instrumented: what its threads do to each other with its own locks would be reported as races.
    "ignore_noninstrumented_modules": "1",
}
_OF_PROGRAM = ("driver", "library")
STALLED = "progress"
"""The harness's own invariant for a hang: nothing was done, and no time was used."""


def open_tree(given: str, say: Say) -> Harness:
    """Build the tree at `given` under ThreadSanitizer if need be, and return its harness; raise `UserError`."""
    try:
        builder = core_builder(given, "thread")
        return open_driver(builder, builder.ensure(say, said_once(say)))
    except OptionsError as error:
        raise HarnessError(str(error)) from None
    except BuildError as error:
        raise OptionError(str(error), option=f"pytorch={given}") from None


def open_driver(builder: CoreBuilder, build: CoreBuild) -> Harness:
    """Return the harness of a build.

    Raise `BuildError` where the tree has no driver, `ListingError` where it does not run, `OptionsError` for the user's
    TSAN_OPTIONS.
    """
    driver = require_driver(builder, build)
    made = TsanOptions.make(
        builder.toolchain, shipped("tsan", "suppressions.txt"), os.environ.get(VARIABLE, "")
    )
    options = TsanOptions({**made.values, **_LIBTORCH, **made.given}, made.given)
    return Harness.of(_program(builder, build, driver), builder.toolchain, options, builder.tree)


def require_driver(builder: CoreBuilder, build: CoreBuild) -> Path:
    """Return the driver; raise `BuildError` where the tree has none."""
    if build.driver is None:
        raise BuildError(f"the native cases do not compile for {builder.tree.given}: {build.driver_problem}")
    return build.driver


def _program(builder: CoreBuilder, build: CoreBuild, driver: Path) -> Program:
    tree = builder.tree
    files = [tree.root / name for name in tree.hashes]
    try:
        linked = [
            instrumentation.marks_of(one, builder.toolchain).constructors for one in (driver, build.library)
        ]
    except CountError as error:
        raise BuildError(f"what is instrumented of {tree.given} cannot be counted: {error}") from error
    return Program(
        driver,
        driver.name,
        tuple(files),
        sum(build.units[name] for name in _OF_PROGRAM),
        (),
        build.left_out,
        sum(linked),
        tuple(instrumentation.opted_out(files, tree.root)),
        builder.toolchain.version,
        cache.file_hash(driver),
        (build.library,),
    )


def run_once(
    harness: Harness, asked: RunRequest, *, deadline_s: float, metal: str | None = None
) -> JudgedRun:
    """Run a case without a record, with these options of the simulated Metal; raise `StartError`.

    None: those of the environment.
    """
    env = {**harness.env, **({METAL_VARIABLE: metal} if metal is not None else {})}
    with tempfile.TemporaryDirectory(prefix="mps-core-") as folder:
        command = [str(harness.program.path), *asked.arguments()]
        place = Place(Path(folder), "run")
        return judge(asked, run_program(command, place, harness.options, deadline_s=deadline_s, env=env))


def run_controls(harness: Harness, threads: int, iterations: int, *, deadline_s: float) -> Controls:
    """Return what the planted races and their guarded twin show, at these numbers."""
    runs = {
        name: run_once(harness, RunRequest(name, threads, iterations, seed=1), deadline_s=deadline_s)
        for name in CONTROLS
    }
    return controls.from_runs(runs, harness.listing.controls)


def found_in(judged: JudgedRun) -> Counter[str]:
    """Return the names of what one run found, each once: races by their two functions, crashes by their signature."""
    return Counter(dict.fromkeys(_names(judged), 1))


def _names(judged: JudgedRun) -> Iterator[str]:
    yield from judged.ran.parsed.signatures
    for finding in judged.findings:
        if finding.verdict == Verdict.CRASH:
            yield f"crash: {judged.signature or finding.name}"
        elif finding.verdict == Verdict.HANG:
            yield "hang"
        elif finding.verdict == Verdict.MISMATCH:
            yield "hang" if finding.name == STALLED else f"invariant: {finding.name}"
