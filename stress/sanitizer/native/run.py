"""Run one instrumented program once: a deadline, memory measured, and the reports read wherever the run got to."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import dataclass
from dataclasses import field
from dataclasses import replace
from pathlib import Path

from stress.diagnose.tsan.parser import parse_file
from stress.diagnose.tsan.report import Parsed
from stress.model import system
from stress.sanitizer.tsan_options import VARIABLE
from stress.sanitizer.tsan_options import TsanOptions

STDOUT_BYTES_MAX = 16 * 1024 * 1024
STDERR_BYTES_MAX = 1024 * 1024
FILE_BYTES_MAX = 1024 * 1024 * 1024
"""No file of the program may grow beyond this: it would fill the disk before the deadline."""
JSON_VARIABLE = "MPS_STRESS_TSAN_JSON"
_POLL_S_MAX = 0.01
_KILL_WAIT_S = 10.0


class StartError(Exception):
    """The program cannot be started."""


@dataclass(frozen=True)
class Place:
    """The place of one run's files: `folder/stem.stdout`, ..."""

    folder: Path
    stem: str

    def file(self, suffix: str) -> Path:
        return self.folder / f"{self.stem}.{suffix}"


@dataclass(frozen=True)
class ProgramRun:
    """Everything that one process left."""

    arguments: tuple[str, ...]
    code: int
    """As in `subprocess`: negative is a signal's number. For a hang it only says that we killed it."""
    hung: bool
    seconds: float
    cpu_s: float
    memory_bytes_max: int
    pid: int
    started: float
    """Seconds since 1970."""
    stdout: str
    stderr: str
    parsed: Parsed
    """From the runtime's own text: the files of `log_path`, and what it said on stderr."""
    stdout_too_long: bool = False
    json_reports: int | None = None
    """How many reports the program's own `__tsan_on_report` wrote; None where it wrote no file."""
    files: Mapping[str, str] = field(default_factory=dict)
    """"stderr", "report", ... -> name of a file that is not empty."""


def run_program(
    command: Sequence[str], place: Place, options: TsanOptions, *, deadline_s: float, env: Mapping[str, str]
) -> ProgramRun:
    """Run `command` and return what is left; raise `StartError`. What it started itself is killed with it."""
    log = place.file("tsan")
    child_env = {**env, VARIABLE: options.text(log), JSON_VARIABLE: str(place.file("tsan-json"))}
    with place.file("stdout").open("wb") as stdout, place.file("stderr").open("wb") as stderr:
        started, clock = time.time(), time.monotonic()
        try:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=stdout,
                stderr=stderr,
                env=child_env,
                process_group=0,
            )
        except OSError as error:
            raise StartError(f"{command[0]} cannot be started ({error.strerror or error})") from error
    code, hung, used = _wait(process, clock + deadline_s)
    return _collect(command, place, process.pid, code, hung, used, started, time.monotonic() - clock)


def _wait(process: subprocess.Popen[bytes], deadline: float) -> tuple[int, bool, system.Usage]:
    """Return (status, whether we had to kill it, what it used)."""
    system.limit_files(process.pid, FILE_BYTES_MAX)
    hung, pause_s = False, 0.001
    try:
        while True:
            ended = system.wait(process.pid)
            if ended is not None:
                _, process.returncode, used = ended
                return process.returncode, hung, used
            if time.monotonic() >= deadline and not hung:
                hung, pause_s = True, 0.001
                _kill_group(process.pid)
            time.sleep(pause_s)
            pause_s = min(pause_s * 2, _POLL_S_MAX)
    finally:
        # Also after Ctrl-C, and for what the program has started and left behind.
        _kill_group(process.pid)
        if process.returncode is None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(_KILL_WAIT_S)


def _kill_group(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)


def _collect(
    command: Sequence[str],
    place: Place,
    pid: int,
    code: int,
    hung: bool,
    used: system.Usage,
    started: float,
    seconds: float,
) -> ProgramRun:
    logs = sorted(place.folder.glob(f"{place.stem}.tsan.*"))
    parsed = parse_file(_joined(logs, place)) if logs else Parsed()
    # What the runtime says before it knows where its log is, and what it says when it cannot open one.
    early = parse_file(place.file("stderr"))
    parsed = replace(
        early if early.total > parsed.total else parsed,
        fatal=(*parsed.fatal, *early.fatal),
        deadly=(*parsed.deadly, *early.deadly),
    )
    json_file = place.file("tsan-json")
    json_reports = _lines(json_file) if json_file.is_file() else None
    stdout, too_long = _text(place.file("stdout"), STDOUT_BYTES_MAX)
    stderr, _ = _text(place.file("stderr"), STDERR_BYTES_MAX)
    files = {}
    for name, path in (
        ("stdout", place.file("stdout")),
        ("stderr", place.file("stderr")),
        ("report", place.file("tsan")),
        ("json", json_file),
    ):
        if path.is_file() and path.stat().st_size:
            files[name] = path.name
        else:
            path.unlink(missing_ok=True)
    return ProgramRun(
        tuple(command),
        code,
        hung,
        seconds,
        used.cpu_s,
        used.peak_rss_bytes,
        pid,
        started,
        stdout,
        stderr,
        parsed,
        too_long,
        json_reports,
        files,
    )


def _joined(logs: Sequence[Path], place: Place) -> Path:
    """Put the files of all processes into one, named without the process id."""
    target = place.file("tsan")
    logs[0].rename(target)
    with target.open("ab") as whole:
        for one in logs[1:]:
            with one.open("rb") as part:
                while block := part.read(1 << 20):
                    whole.write(block)
            one.unlink()
    return target


def _lines(path: Path) -> int:
    with path.open("rb") as file:
        return sum(line.strip() != b"" for line in file)


def _text(path: Path, bytes_max: int) -> tuple[str, bool]:
    """Return the file's text, of a long one only the end, and whether it was cut."""
    size = path.stat().st_size
    with path.open("rb") as file:
        file.seek(max(0, size - bytes_max))
        return file.read().decode(errors="replace"), size > bytes_max
