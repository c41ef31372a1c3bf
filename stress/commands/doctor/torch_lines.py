"""Torch: which build, from which tree, with which stream functions, beside which OpenMP runtimes."""

from __future__ import annotations

import sysconfig
from collections.abc import Mapping
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from stress.commands.doctor.check import CheckResult
from stress.commands.doctor.check import Status
from stress.commands.doctor.check import mac_only
from stress.commands.doctor.torch_probe import openmp_of
from stress.record.torch_build import check_source
from stress.scenario.capabilities import CAPABILITIES

SECTION = "torch"
FORK_FEATURES = ("torch.mps.release_current_thread_slot", "torch.mps.BatchQueue")
UPSTREAM_FEATURES = (
    "torch.mps.Stream",
    "torch.mps.stream",
    "torch.mps.current_stream",
    "torch.mps.default_stream",
    "torch.mps.set_stream",
)
_INSTALL = "install torch into this environment: pip install torch, or your own build"
_OPENMP_GLOBS = (
    "*/.dylibs/lib*omp*.dylib",
    "*/lib/lib*omp*.dylib",
    "*.libs/lib*omp*.so*",
    "*/lib/lib*omp*.so*",
)


def torch_lines(probe: Mapping[str, Any] | str, source: Path | None, system: str) -> list[CheckResult]:
    """Return the lines about the torch that children import."""
    if isinstance(probe, str):
        return [CheckResult(SECTION, "build", Status.MISSING, probe, _INSTALL)]
    fingerprint = probe["fingerprint"]
    return [
        _build(fingerprint),
        _source(fingerprint, source),
        *_features(fingerprint),
        _capabilities(probe.get("mps"), system),
        openmp_line(probe["openmp"], installed_openmp(Path(sysconfig.get_path("purelib")))),
    ]


def _build(fingerprint: Mapping[str, Any]) -> CheckResult:
    commit = fingerprint["git"]
    detail = f"{fingerprint['version']}, commit {str(commit)[:12]}, {fingerprint['file']}"
    if not commit or commit == "Unknown":
        return CheckResult(
            SECTION, "build", Status.WARNING, f"{detail}: it does not say which commit it was built from",
            "build it inside a git checkout: evidence must name a commit",
        )  # fmt: skip
    if fingerprint["debug"]:
        return CheckResult(SECTION, "build", Status.WARNING, f"{detail}; a debug build: its timing differs",
                    "measure rates with a release build")  # fmt: skip
    return CheckResult(SECTION, "build", Status.OK, detail)


def _source(fingerprint: Mapping[str, Any], source: Path | None) -> CheckResult:
    if source is None:
        return CheckResult(
            SECTION, "source tree", Status.NOT_KNOWN, "not compared, so a stale build would go unnoticed",
            "mps-stress doctor --torch-source=../pytorch",
        )  # fmt: skip
    mismatches = check_source(fingerprint, source)
    if mismatches:
        return CheckResult(
            SECTION, "source tree", Status.MISSING, "; ".join(mismatches),
            "commit, rebuild, and install the build into this environment",
        )  # fmt: skip
    return CheckResult(
        SECTION, "source tree", Status.OK, f"built from the commit at which {source} is, with no changes"
    )


def _features(fingerprint: Mapping[str, Any]) -> list[CheckResult]:
    """Return which of the fork's and of upstream's functions exist: found by name, never by version."""
    found: Mapping[str, bool] = fingerprint["features"]
    lines = []
    for name, wanted in (("fork-only functions", FORK_FEATURES), ("upstream's streams", UPSTREAM_FEATURES)):
        there = [one.removeprefix("torch.mps.") for one in wanted if found.get(one)]
        if len(there) == len(wanted):
            lines.append(CheckResult(SECTION, name, Status.OK, f"torch.mps has {', '.join(there)}"))
        elif there:
            lines.append(
                CheckResult(SECTION, name, Status.WARNING, f"torch.mps has only {', '.join(there)}",
                     "scenarios that need the others are skipped; is this build complete?")
            )  # fmt: skip
        else:
            lines.append(CheckResult(SECTION, name, Status.NOT_APPLICABLE, "not in this build"))
    return lines


def _capabilities(mps: Mapping[str, Any] | None, system: str) -> CheckResult:
    if mps is None:
        return mac_only(SECTION, "capabilities", system)
    if mps.get("unavailable"):
        return CheckResult(SECTION, "capabilities", Status.NOT_KNOWN, "no usable device to ask")
    able = set(mps["capabilities"])
    lacks = [name for name in CAPABILITIES if name not in able and name != "float64"]
    detail = ", ".join(sorted(able)) + (f"; not: {', '.join(lacks)}" if lacks else "")
    return CheckResult(SECTION, "capabilities", Status.OK, detail)


def openmp_line(loaded: Sequence[str], installed: Sequence[str]) -> CheckResult:
    """Return the line on OpenMP runtimes: two in one process hang in ways that look like a race of MPS."""
    if len(loaded) > 1:
        return CheckResult(
            SECTION, "OpenMP", Status.WARNING, f"{len(loaded)} runtimes in one process: {', '.join(loaded)}",
            "use builds that share one runtime; two of them deadlock (pytorch#193520)",
        )  # fmt: skip
    others = [one for one in installed if one not in loaded]
    here = f"torch loads {Path(loaded[0]).name}" if loaded else "torch loads none"
    if loaded and others:
        return CheckResult(
            SECTION, "OpenMP", Status.WARNING, f"{here}; {', '.join(others)} would load another one",
            "do not import that package in a scenario (pytorch#193520), or use builds that share one runtime",
        )  # fmt: skip
    return CheckResult(SECTION, "OpenMP", Status.OK, here)


def installed_openmp(packages: Path) -> list[str]:
    """Return the OpenMP runtimes that packages of this environment carry."""
    found = (str(path) for pattern in _OPENMP_GLOBS for path in packages.glob(pattern))
    return openmp_of(list(found))
