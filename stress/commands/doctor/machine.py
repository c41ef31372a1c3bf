"""The machine around a run: simulated device, sanitizer, crash reports, disk, sleep, other plugins."""

from __future__ import annotations

import importlib.metadata
import os
import re
import shutil
from collections.abc import Iterable
from pathlib import Path

from stress.commands.doctor.check import CheckResult
from stress.commands.doctor.check import Status
from stress.commands.doctor.check import mac_only
from stress.device.cache import cache_folder
from stress.device.sim.build import LIBRARY
from stress.device.sim.build import default_builder
from stress.diagnose import default_folders
from stress.model.errors import BuildError
from stress.record.machine import output_of

SECTION = "machine"
DISK_BYTES_MIN = 512 * 2**20
"""Less takes no campaign: one crash with a core file or a crash report may be larger."""
DISK_BYTES_GOOD = 5 * 2**30

# Plugins that change how often, how many at a time, or in which process items run. What runs a failing test
# again until it is green is worse than none.
PLUGINS = {
    "pytest-run-parallel": (
        "runs every test from several threads by itself: ordinary tests would run from threads of threads",
        "-p no:run_parallel",
    ),
    "pytest-forked": ("forks after imports, which Metal does not survive", "-p no:forked"),
    "pytest-isolate": ("forks every test and sets variables when it is imported", "-p no:isolate"),
    "pytest-rerunfailures": ("with --reruns it repeats a failure until it is green", "-p no:rerunfailures"),
    "flaky": ("repeats a failure until it is green", "-p no:flaky"),
    "pytest-parallel": ("runs tests from its own threads and processes", "-p no:parallel"),
    "pytest-asyncio-cooperative": ("runs tests at the same time in one loop", "-p no:asyncio-cooperative"),
    "pytest-freethreaded": ("runs tests from its own threads", "-p no:freethreaded"),
    "pytest-mp": ("runs tests from its own processes", "-p no:mp"),
}


def sim_line(system: str) -> CheckResult:
    """Return whether the simulated device is built for this torch."""
    name = "simulated"
    if system != "Linux":
        return CheckResult(
            "device", name, Status.NOT_APPLICABLE, f"{system}: the simulated device is for Linux"
        )
    try:
        builder = default_builder()
        build = builder.find()
    except BuildError as error:
        return CheckResult(
            "device", name, Status.MISSING, f"cannot be built: {error}",
            "or run on the CPU alone: --mps-device=cpu",
        )  # fmt: skip
    if build is None:
        damaged = (builder.folder / LIBRARY).exists()
        return CheckResult(
            "device", name, Status.WARNING,
            f"{'damaged' if damaged else 'not built yet'}: the first run takes about 20 s to build it "
            f"({builder.compiler.version})",
            "pytest --mps-threads=8 --mps-device=sim builds it",
        )  # fmt: skip
    return CheckResult("device", name, Status.OK, f"built for this torch: {build.library}")


def crash_report_line(system: str) -> CheckResult:
    """Return whether macOS' crash reports of this user can be read."""
    name = "crash reports"
    if system != "Darwin":
        return mac_only(SECTION, name, system)
    folder = default_folders()[0]
    try:
        count = sum(one.endswith(".ips") for one in os.listdir(folder))
    except FileNotFoundError:
        return CheckResult(SECTION, name, Status.WARNING, f"{folder} does not exist: no program of this user has crashed yet",
                    "nothing to do; after a crash, check that it left a report there")  # fmt: skip
    except OSError as error:
        return CheckResult(
            SECTION, name, Status.MISSING, f"{folder} cannot be read ({error.strerror}): crashes would have no frames",
            "give the terminal Full Disk Access: System Settings, Privacy & Security",
        )  # fmt: skip
    return CheckResult(SECTION, name, Status.OK, f"{folder} is readable ({count} reports)")


def disk_lines(results: Path) -> list[CheckResult]:
    """Return the room where records and builds go."""
    lines = [_disk("disk for records", results, "choose another folder with --mps-results=DIR")]
    try:
        cache = cache_folder()
    except BuildError as error:
        return [
            *lines,
            CheckResult(SECTION, "disk for builds", Status.MISSING, str(error), "set MPS_STRESS_CACHE"),
        ]
    return [*lines, _disk("disk for builds", cache, "set MPS_STRESS_CACHE to another folder")]


def _disk(name: str, folder: Path, way_out: str) -> CheckResult:
    there = next(one for one in (folder, *folder.parents) if one.exists())
    try:
        free_bytes = shutil.disk_usage(there).free
    except OSError as error:
        return CheckResult(SECTION, name, Status.NOT_KNOWN, f"{there}: {error.strerror}")
    detail = f"{free_bytes / 2**30:.1f} GiB free in {folder}"
    if not os.access(there, os.W_OK):
        return CheckResult(SECTION, name, Status.MISSING, f"{there} cannot be written", way_out)
    if free_bytes < DISK_BYTES_MIN:
        return CheckResult(SECTION, name, Status.MISSING, detail, f"make room, or {way_out}")
    if free_bytes < DISK_BYTES_GOOD:
        return CheckResult(
            SECTION, name, Status.WARNING, detail, f"make room before a campaign, or {way_out}"
        )
    return CheckResult(SECTION, name, Status.OK, detail)


def power_lines(system: str) -> list[CheckResult]:
    """Return whether the Mac is on mains and would sleep in the middle of the night."""
    if system != "Darwin":
        return [mac_only(SECTION, name, system) for name in ("power", "sleep")]
    return [power_line(output_of("pmset", "-g", "batt")), sleep_line(output_of("pmset", "-g"))]


def power_line(text: str | None) -> CheckResult:
    """Return the line for what `pmset -g batt` prints."""
    found = re.search(r"Now drawing from '([^']{1,40})'", text or "")
    if found is None:
        return CheckResult(SECTION, "power", Status.NOT_KNOWN, "pmset -g batt does not say")
    if found[1] != "AC Power":
        return CheckResult(SECTION, "power", Status.WARNING, f"on {found[1]}: macOS slows the GPU down",
                    "plug it in before a campaign")  # fmt: skip
    return CheckResult(SECTION, "power", Status.OK, "on mains")


def sleep_line(text: str | None) -> CheckResult:
    """Return the line for what `pmset -g` prints."""
    sleep = re.search(r"^\s*sleep\s+(\d+)", text or "", re.MULTILINE)
    low = re.search(r"^\s*(?:lowpowermode|powermode)\s+1\b", text or "", re.MULTILINE)
    if sleep is None:
        return CheckResult(SECTION, "sleep", Status.NOT_KNOWN, "pmset -g does not say")
    if low is not None:
        return CheckResult(SECTION, "sleep", Status.WARNING, "low power mode is on: the GPU is slowed down",
                    "switch it off: System Settings, Battery")  # fmt: skip
    if sleep[1] != "0" and "prevented by" not in (text or ""):
        return CheckResult(SECTION, "sleep", Status.WARNING, f"the Mac sleeps after {sleep[1]} min without input",
                    "start campaigns with: caffeinate -ims")  # fmt: skip
    return CheckResult(SECTION, "sleep", Status.OK, "the Mac does not go to sleep by itself")


def plugin_line() -> CheckResult:
    """Return the pytest plugins of this environment that would change the experiment."""
    names = {
        (entry.dist.name if entry.dist is not None else entry.name)
        for entry in importlib.metadata.entry_points(group="pytest11")
    }
    return plugins_found(names)


def plugins_found(names: Iterable[str]) -> CheckResult:
    """Return the line for installed distributions with a pytest plugin."""
    known = {_normal(name): name for name in names}
    there = [one for one in PLUGINS if _normal(one) in known]
    if not there:
        return CheckResult(
            SECTION, "pytest plugins", Status.OK, "none that changes how often or where tests run"
        )
    return CheckResult(
        SECTION, "pytest plugins", Status.WARNING,
        "; ".join(f"{one} {PLUGINS[one][0]}" for one in there),
        f"pytest {' '.join(PLUGINS[one][1] for one in there)}, or uninstall",
    )  # fmt: skip


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
