"""The driver of a core's native cases: one program for each tree, with and without ThreadSanitizer.

It speaks the native harness's protocol, so that runs, judgement and controls are the same.
"""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from stress.device.clang import Toolchain
from stress.device.core.build import CoreBuild
from stress.device.core.build import CoreBuilder
from stress.model.errors import BuildError
from stress.model.verdict import Verdict
from stress.sanitizer.native import controls
from stress.sanitizer.native.controls import Controls
from stress.sanitizer.native.harness import listed
from stress.sanitizer.native.judge import JudgedRun
from stress.sanitizer.native.judge import RunRequest
from stress.sanitizer.native.judge import judge
from stress.sanitizer.native.listing import CONTROLS
from stress.sanitizer.native.listing import Listing
from stress.sanitizer.native.run import Place
from stress.sanitizer.native.run import run_program
from stress.sanitizer.tsan_options import TsanOptions

METAL_VARIABLE = "MPS_STRESS_METAL"
_LIBTORCH = "ignore_noninstrumented_modules=1"
"""libtorch is not instrumented: what its threads do to each other with its own locks would be reported as races."""
STALLED = "progress"
"""The harness's own invariant for a hang: nothing was done, and no time was used."""


@dataclass(frozen=True)
class CoreDriver:
    """A built driver that can list its cases."""

    program: Path
    toolchain: Toolchain
    listing: Listing

    @classmethod
    def of(cls, builder: CoreBuilder, build: CoreBuild) -> CoreDriver:
        """Return the driver of a build; raise `BuildError` without one, `ListingError` where it does not run."""
        if build.driver is None:
            raise BuildError(
                f"the native cases do not compile for {builder.tree.given}: {build.driver_problem}"
            )
        listing = listed(build.driver, controls.clean_environment())
        return cls(build.driver, builder.toolchain, listing)

    def run(self, asked: RunRequest, *, deadline_s: float, metal: str = "") -> JudgedRun:
        """Run a case once, with these options of the simulated Metal; raise `StartError`."""
        options = TsanOptions.make(self.toolchain, None, _LIBTORCH)
        env = {**controls.clean_environment(), METAL_VARIABLE: metal}
        with tempfile.TemporaryDirectory(prefix="mps-core-") as folder:
            command = [str(self.program), *asked.arguments()]
            place = Place(Path(folder), "run")
            return judge(asked, run_program(command, place, options, deadline_s=deadline_s, env=env))

    def run_controls(self, threads: int, iterations: int, *, deadline_s: float) -> Controls:
        """Return what the planted races and their guarded twin show, at these numbers."""
        runs = {
            name: self.run(RunRequest(name, threads, iterations, seed=1), deadline_s=deadline_s)
            for name in CONTROLS
        }
        return controls.from_runs(runs, self.listing.controls)


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
