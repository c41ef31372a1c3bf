"""Child processes under ThreadSanitizer: the environment they are started in, and the reports they leave."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from dataclasses import field
from dataclasses import replace
from pathlib import Path

from stress.device.clang import Toolchain
from stress.diagnose.tsan.parser import parse_file
from stress.diagnose.tsan.report import Parsed
from stress.model.finding import Finding
from stress.sanitizer.python.findings import findings_of
from stress.sanitizer.python.findings import without_foreign
from stress.sanitizer.python.in_flight import InFlight
from stress.sanitizer.tsan_options import VARIABLE
from stress.sanitizer.tsan_options import TsanOptions

PRELOAD_VARIABLE = "LD_PRELOAD"
IN_FLIGHT_VARIABLE = "MPS_STRESS_TSAN_IN_FLIGHT"
SUPPRESSIONS = Path(__file__).with_name("suppressions.txt")
LOG_BYTES_MAX = 20_000_000
"""Of the runtime's text of one child that is kept as evidence; all of it is read."""

_PYTHON = {
    # The child's own status and signals show how it ended, as in any other run: the runtime's status would hide the
    # first, and its handlers, which print and then exit, the second.
    "exitcode": "0",
    "handle_segv": "0",
    "handle_sigbus": "0",
    "handle_sigfpe": "0",
    "handle_sigill": "0",
    "handle_abort": "0",
    "handle_sigtrap": "0",
    # A child ends with _exit, after which there is nothing to wait for.
    "atexit_sleep_ms": "0",
    # With 1, on Linux, every report that comes out of memcpy, free or a lock's misuse is lost.
    "ignore_noninstrumented_modules": "0",
    # torch's and Python's own threads are never joined.
    "report_thread_leaks": "0",
}


def _ends_a_path(path: str) -> bool:
    return any(one in path for one in " :")


def _short_lived_folder() -> Path:
    """Return a new folder; not below TMPDIR where nothing there could be loaded."""
    usual = tempfile.gettempdir()
    return Path(tempfile.mkdtemp(prefix="mps-stress-tsan-", dir="/tmp" if _ends_a_path(usual) else usual))


@dataclass(frozen=True)
class TsanResult:
    """ThreadSanitizer's result for one child."""

    parsed: Parsed
    findings: tuple[Finding, ...]
    reasons: tuple[str, ...] = ()
    """Why no child's silence proves anything in this run."""
    units: str = ""
    foreign: int = 0
    """Reports in which neither side is instrumented code; `parsed` has them no more."""

    @property
    def amiss(self) -> str:
        """Why this child's silence proves nothing; empty where it does."""
        if self.parsed.fatal:
            return f"ThreadSanitizer did not work: {self.parsed.fatal[0]}"
        if self.parsed.unparsed_lines:
            first = self.parsed.unparsed[0]
            return f"{self.parsed.unparsed_lines} lines of ThreadSanitizer were not understood: {first}"
        return ""

    @property
    def problem(self) -> str:
        return "; ".join(filter(None, (*self.reasons, self.amiss)))

    @property
    def signature(self) -> str | None:
        return self.parsed.signatures[0] if self.parsed.signatures else None

    def to_data(self) -> dict[str, object]:
        """Return its fields for a record and the closing line."""
        parsed = self.parsed
        return {
            "reports": parsed.total,
            "signatures": {
                name: one.count for name, one in zip(parsed.signatures, parsed.reports, strict=True)
            },
            "suppressed": dict(parsed.suppressions),
            "problem": self.problem,
            "units": self.units,
            "foreign": self.foreign,
        }


@dataclass
class Children:
    """The means to put a supervisor's children under ThreadSanitizer."""

    toolchain: Toolchain
    preloaded: Path
    options: TsanOptions
    units: str = ""
    reasons: tuple[str, ...] = ()
    """Why silence proves nothing in this run: from the audit, and once they have run from the controls."""
    folder: Path = field(default_factory=_short_lived_folder)

    def env(self) -> dict[str, str]:
        """Return the variables that a child's environment needs in addition."""
        libraries = [self._loadable(one) for one in (self.preloaded, self.toolchain.runtime_library)]
        given = os.environ.get(PRELOAD_VARIABLE, "")
        return {
            PRELOAD_VARIABLE: ":".join([*libraries, *([given] if given else [])]),
            VARIABLE: self.options.text(self._log),
            IN_FLIGHT_VARIABLE: str(self._in_flight),
        }

    def _loadable(self, library: Path) -> str:
        """Return a path of the library for LD_PRELOAD, which ends at a space, however it is quoted: then, of a link."""
        if not _ends_a_path(str(library)):
            return str(library)
        link = self.folder / library.name
        if not link.is_symlink():
            link.symlink_to(library)
        return str(link)

    @property
    def problem(self) -> str:
        return "; ".join(self.reasons)

    @property
    def _log(self) -> Path:
        return self.folder / "tsan"

    @property
    def _in_flight(self) -> Path:
        return self.folder / "in-flight"

    def collect(self, pid: int, stderr: Path, keep_as: Path) -> TsanResult:
        """Read what the child with this pid left; its text is moved to `keep_as`."""
        log, in_flight = (one.with_name(f"{one.name}.{pid}") for one in (self._log, self._in_flight))
        parsed = parse_file(log) if log.is_file() else Parsed()
        if stderr.is_file():
            # What the runtime says before it knows where its log is.
            early = parse_file(stderr)
            parsed = replace(parsed, fatal=(*parsed.fatal, *early.fatal))
        doing = InFlight.read(in_flight)
        parsed, foreign = without_foreign(parsed)
        findings = findings_of(parsed, doing)
        if log.is_file():
            _move(log, keep_as)
        in_flight.unlink(missing_ok=True)
        return TsanResult(parsed, tuple(findings), self.reasons, self.units, foreign)

    def to_data(self) -> dict[str, object]:
        """Return its fields for the run's record."""
        return {
            "compiler": self.toolchain.version,
            "runtime": str(self.toolchain.runtime_library),
            "options": dict(self.options.values),
            "units": self.units,
            "problem": self.problem,
        }

    def close(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)


def python_options(toolchain: Toolchain, given: Mapping[str, str]) -> TsanOptions:
    """Return the options for Python; `given` is the environment, whose TSAN_OPTIONS win. Raise `OptionsError`."""
    made = TsanOptions.make(toolchain, SUPPRESSIONS, given.get(VARIABLE, ""))
    return TsanOptions({**made.values, **_PYTHON, **made.given}, made.given)


def _move(log: Path, target: Path) -> None:
    """Move the runtime's text, or the beginning of a long one, to where the attempt's evidence is."""
    if log.stat().st_size <= LOG_BYTES_MAX:
        shutil.move(log, target)
        return
    with log.open("rb") as whole, target.open("wb") as part:
        part.write(whole.read(LOG_BYTES_MAX))
    log.unlink()
