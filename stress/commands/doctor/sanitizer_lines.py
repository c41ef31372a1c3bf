"""ThreadSanitizer: is the toolchain whole, and does a planted race come out of it, with the name of its function?"""

from __future__ import annotations

import os
import subprocess
import tempfile
from pathlib import Path

from stress.commands.doctor.check import CheckResult
from stress.commands.doctor.check import Status
from stress.device.clang import Toolchain
from stress.device.clang import ToolchainError
from stress.device.clang import find_toolchain
from stress.device.clang import way_out

SECTION = "tools"
CANARY_TIMEOUT_S = 60.0
_PLANTED = "mps_stress_doctor_planted_race"
# The two threads have no lock and no order: ThreadSanitizer needs both accesses, not a bad moment.
_CANARY = f"""
#include <thread>
int shared_counter = 0;
__attribute__((noinline)) void {_PLANTED}() {{ ++shared_counter; }}
int main() {{
  std::thread one({_PLANTED}), other({_PLANTED});
  one.join();
  other.join();
  return 0;
}}
"""


def sanitizer_lines() -> list[CheckResult]:
    """Return the lines about the toolchain; without it the native suite does not run, the scenarios do."""
    try:
        toolchain = find_toolchain()
    except ToolchainError as error:
        text = str(error).removesuffix(way_out()).strip()
        return [CheckResult(SECTION, "TSan", Status.WARNING, text, way_out())]
    found = CheckResult(SECTION, "TSan", Status.OK, f"{toolchain.version} ({toolchain.clangxx})")
    return [found, canary_line(toolchain)]


def canary_line(toolchain: Toolchain) -> CheckResult:
    """Build a program with a planted race, run it, and return whether the race was reported by name."""
    with tempfile.TemporaryDirectory(prefix="mps-stress-canary-") as folder:
        source, program = Path(folder, "canary.cpp"), Path(folder, "canary")
        source.write_text(_CANARY)
        build = [
            str(toolchain.clangxx),
            "-fsanitize=thread",
            "-g",
            "-O1",
            "-pthread",
            str(source),
            "-o",
            str(program),
        ]
        problem = _run(build, os.environ)
        if isinstance(problem, str) or problem.returncode:
            return _lost(f"the canary cannot be built: {_said(problem)}")
        # Options of the user's could silence the report, and a ready-made status would hide another end.
        options = f"exitcode=66 external_symbolizer_path={toolchain.symbolizer}"
        ran = _run([str(program)], {**os.environ, "TSAN_OPTIONS": options})
    if isinstance(ran, str):
        return _lost(f"the canary did not end: {ran}")
    text = ran.stderr.decode("utf-8", "replace")
    if "WARNING: ThreadSanitizer: data race" not in text:
        return _lost(f"the planted race was not reported: {_said(ran)}")
    if _PLANTED not in text:
        return _lost(
            "the planted race was reported without the name of its function: the symbolizer does not work"
        )
    return CheckResult(
        SECTION, "TSan canary", Status.OK, "a planted race was built, run, and reported by name"
    )


def _lost(text: str) -> CheckResult:
    return CheckResult(
        SECTION, "TSan canary", Status.WARNING, f"{text}; '0 races' would mean nothing here", way_out()
    )


def _run(
    command: list[str], env: os._Environ[str] | dict[str, str]
) -> subprocess.CompletedProcess[bytes] | str:
    try:
        return subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=CANARY_TIMEOUT_S,
            check=False,
            env=env,
        )
    except (OSError, subprocess.SubprocessError) as error:
        return str(error)


def _said(done: subprocess.CompletedProcess[bytes] | str) -> str:
    if isinstance(done, str):
        return done
    lines = (done.stderr or done.stdout).decode("utf-8", "replace").strip().splitlines()
    return lines[0][:300] if lines else f"it ended with status {done.returncode} and no output"
