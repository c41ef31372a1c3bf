"""Is a Metal device visible, and if not, why: the facts are collected on a Mac, the explanation is a pure function.

What the commands print is taken from Apple's documents and public examples; nothing here has run on a Mac yet.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import platform
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from stress.commands.doctor.check import CheckResult
from stress.commands.doctor.check import Status
from stress.commands.doctor.check import mac_only
from stress.record.machine import output_of

SECTION = "device"
MACOS_MIN = 14
"""torch says that its MPS backend is for macOS 14 and newer."""


@dataclass(frozen=True)
class MetalFacts:
    """What decides whether torch sees a GPU. None: it could not be asked."""

    system: str
    macos: str | None = None
    build: str | None = None
    chip: str | None = None
    machine: str = ""
    """The interpreter's own: "x86_64" on Apple silicon is Rosetta."""
    is_translated: bool | None = None
    is_virtual: bool | None = None
    gpus: tuple[str, ...] | None = None
    """Names of the GPUs that the system profiler shows with Metal support."""
    session: str | None = None
    """launchd's manager of this process: "Aqua" is the GUI session, "Background" and "System" are not."""
    is_sandboxed: bool | None = None
    is_mps_built: bool | None = None
    unavailable: str | None = None
    """Why torch cannot use the device; None where it can, or was not asked."""


def collect(probe: Mapping[str, Any] | str) -> MetalFacts:
    """Return the facts of this machine."""
    system = platform.system()
    if system != "Darwin":
        return MetalFacts(system)
    fingerprint = probe["fingerprint"] if not isinstance(probe, str) else {}
    mps = probe.get("mps", {}) if not isinstance(probe, str) else {"unavailable": probe}
    return MetalFacts(
        system=system,
        macos=output_of("sw_vers", "-productVersion"),
        build=output_of("sw_vers", "-buildVersion"),
        chip=output_of("sysctl", "-n", "machdep.cpu.brand_string"),
        machine=platform.machine(),
        is_translated=_flag(output_of("sysctl", "-n", "sysctl.proc_translated")),
        is_virtual=_flag(output_of("sysctl", "-n", "kern.hv_vmm_present")),
        gpus=gpus_of(output_of("system_profiler", "-json", "SPDisplaysDataType")),
        session=output_of("launchctl", "managername"),
        is_sandboxed=_is_sandboxed(),
        is_mps_built=fingerprint.get("mps_built"),
        unavailable=mps.get("unavailable"),
    )


def metal_lines(facts: MetalFacts) -> list[CheckResult]:
    """Return the lines about Metal, macOS and the chip."""
    if facts.system != "Darwin":
        return [mac_only(SECTION, name, facts.system) for name in ("Metal", "macOS", "chip")]
    return [explain(facts), _macos(facts), _chip(facts)]


def explain(facts: MetalFacts) -> CheckResult:
    """Return whether the device is there; if not, the most likely reason and its way out, the surest first."""
    if facts.unavailable is None:
        return _visible(facts)
    reasons = [
        (
            facts.is_translated is True,
            "this Python is an Intel one, run by Rosetta",
            "use an arm64 Python: python3 -c 'import platform; print(platform.machine())' must say arm64",
        ),
        (
            facts.is_mps_built is False,
            "this torch build has no MPS support",
            "install a macOS arm64 build of torch, or build it on a Mac with USE_MPS=1",
        ),
        (
            _major(facts.macos) is not None and (_major(facts.macos) or 0) < MACOS_MIN,
            f"macOS {facts.macos} is older than {MACOS_MIN}",
            f"update to macOS {MACOS_MIN} or newer",
        ),
        (
            facts.is_sandboxed is True,
            "this process is in a sandbox, which hides the GPU",
            "start it from a terminal outside the sandbox",
        ),
        (
            facts.is_virtual is True and not facts.gpus,
            "this is a virtual machine without a GPU",
            "run on the Mac itself, or give the virtual machine a GPU; it is then a smoke test, not evidence",
        ),
        (
            facts.gpus == (),
            "the system shows no GPU with Metal",
            "check it: system_profiler SPDisplaysDataType",
        ),
        (
            facts.session is not None and facts.session != "Aqua",
            f"this session ({facts.session}) is not graphical (ssh, launch daemon)",
            "log in at the screen once and run it from there, or as a LaunchAgent",
        ),
    ]
    found = [(reason, way_out) for holds, reason, way_out in reasons if holds]
    if not found:
        return CheckResult(SECTION, "Metal", Status.MISSING, f"{facts.unavailable} (cause unknown)",
                    "report this with the output of mps-stress doctor --json")  # fmt: skip
    others = "".join(f"; also: {reason}" for reason, _ in found[1:])
    return CheckResult(
        SECTION, "Metal", Status.MISSING, f"{facts.unavailable}: {found[0][0]}{others}", found[0][1]
    )


def _visible(facts: MetalFacts) -> CheckResult:
    gpus = ", ".join(facts.gpus or ()) or "a GPU that the system profiler does not name"
    if facts.is_virtual is not False or "paravirtual" in gpus.lower():
        why = "a virtual GPU" if facts.is_virtual else "perhaps a virtual GPU: the system does not say"
        return CheckResult(
            SECTION, "Metal", Status.WARNING, f"{gpus}: {why}; an operation ran on it",
            "a smoke test only: its records are kept apart and never count for a real GPU",
        )  # fmt: skip
    return CheckResult(
        SECTION, "Metal", Status.OK, f"{gpus}: an operation ran on it and gave the right value"
    )


def _macos(facts: MetalFacts) -> CheckResult:
    if facts.macos is None:
        return CheckResult(SECTION, "macOS", Status.NOT_KNOWN, "sw_vers does not say")
    detail = f"{facts.macos} ({facts.build or 'build unknown'})"
    major = _major(facts.macos)
    if major is not None and major < MACOS_MIN:
        return CheckResult(SECTION, "macOS", Status.MISSING, detail, f"update to macOS {MACOS_MIN} or newer")
    return CheckResult(SECTION, "macOS", Status.OK, detail)


def _chip(facts: MetalFacts) -> CheckResult:
    if facts.chip is None:
        return CheckResult(SECTION, "chip", Status.NOT_KNOWN, "sysctl does not say")
    if not facts.chip.startswith("Apple"):
        return CheckResult(
            SECTION,
            "chip",
            Status.WARNING,
            facts.chip,
            "results of Intel Macs say nothing about Apple silicon",
        )
    return CheckResult(SECTION, "chip", Status.OK, facts.chip)


def gpus_of(text: str | None) -> tuple[str, ...] | None:
    """Return the GPUs with Metal in what `system_profiler -json SPDisplaysDataType` prints; None for other text."""
    try:
        listed = json.loads(text or "")["SPDisplaysDataType"]
        return tuple(
            str(one.get("sppci_model") or one.get("_name"))
            for one in listed
            if any("metal" in str(key).lower() or "metal" in str(value).lower() for key, value in one.items())
        )
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None


def _major(version: str | None) -> int | None:
    head = (version or "").partition(".")[0]
    return int(head) if head.isascii() and head.isdigit() else None


def _flag(text: str | None) -> bool | None:
    return None if text is None else text == "1"


def _is_sandboxed() -> bool | None:
    """Return whether macOS restricts this process: the variable of app sandboxes, or libsystem_sandbox's own word."""
    if os.environ.get("APP_SANDBOX_CONTAINER_ID"):
        return True
    with contextlib.suppress(OSError, AttributeError):
        return bool(ctypes.CDLL(None).sandbox_check(os.getpid(), None, 0))
    return None
