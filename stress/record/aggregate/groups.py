"""Groups of attempts that may be added: one kind of device, machine class, torch build and configuration each.

Everything here comes from a `run` record that a stranger may have written: texts are cut, types are checked, and
missing values are reported as not recorded.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from collections.abc import Mapping
from datetime import UTC
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple

TEXT_CHARS_MAX = 120
SWITCHES_MAX = 30

# A build from somebody's tree: its commit does not show what was changed since. A wheel from an index has a
# plain version, one with the date of a nightly, or a local label such as +cpu.
_LOCAL_BUILD = re.compile(r"\+git|a0\+|(?:^|[^.\d])a0$|\.post\d+\+g")
UNDER_TSAN = "under ThreadSanitizer"
_DEFAULTS = {"streams": "auto", "perturb": "low", "iterations": None}


class DeviceKind(StrEnum):
    """The kind of device: numbers of two kinds are never added."""

    REAL = "real"
    VIRTUAL = "virtual"
    UNTOLD = "virtual or not: not recorded"
    CUDA = "cuda"
    CPU = "cpu"
    SIMULATED = "simulated"
    CORE = "core"
    NONE = "no device"

    @property
    def is_metal_evidence(self) -> bool:
        """Whether its rates say anything about MPS on a Mac."""
        return self is DeviceKind.REAL

    @property
    def is_simulated(self) -> bool:
        """Whether Metal, at least, is a model of ours."""
        return self in (DeviceKind.SIMULATED, DeviceKind.CORE)


KIND_TEXTS = {
    DeviceKind.REAL: "real Apple GPU",
    DeviceKind.VIRTUAL: "virtual Apple GPU: a smoke test, no evidence",
    DeviceKind.UNTOLD: "Apple GPU, but the record does not say whether it is a virtual one",
    DeviceKind.CUDA: "CUDA: says nothing about MPS",
    DeviceKind.CPU: "CPU: says nothing about MPS",
    DeviceKind.SIMULATED: "simulated device: proves the detector, and says nothing about Metal or a real MPS backend",
    DeviceKind.CORE: "core: a PyTorch tree's own host code on simulated Metal, with the CPU's kernels; says nothing about "
    "operators, Metal or how often something happens on a Mac",
    DeviceKind.NONE: "ordinary tests only: no device was opened",
}


KIND_NAMES = {
    DeviceKind.REAL: "real Apple GPU",
    DeviceKind.VIRTUAL: "virtual Apple GPU (no evidence)",
    DeviceKind.UNTOLD: "Apple GPU (virtual or not: not recorded)",
    DeviceKind.CUDA: "CUDA (not MPS)",
    DeviceKind.CPU: "CPU (not MPS)",
    DeviceKind.SIMULATED: "simulated device (not Metal)",
    DeviceKind.CORE: "core (a PyTorch tree on simulated Metal)",
    DeviceKind.NONE: "no device",
}


class TorchBuild(NamedTuple):
    """A torch build, distinguished from every other one as far as a record allows."""

    version: str
    commit: str
    file_key: str
    """Size and time of the extension module, for builds out of a tree: one commit may have been built twice."""

    @property
    def label(self) -> str:
        commit = f" ({self.commit[:10]})" if self.commit else " (commit not recorded)"
        return f"torch {self.version}{commit}" + (f" built {self.file_key}" if self.file_key else "")


class Group(NamedTuple):
    """Attempts that may be added."""

    kind: DeviceKind
    machine: str
    """Class of the machine: chip, system, cores; not its name."""
    build: TorchBuild
    configuration: tuple[str, ...]
    """Settings and switches other than the defaults, as NAME=VALUE."""

    @property
    def base(self) -> tuple[str, str, tuple[str, ...]]:
        """Return all but the build: what two builds are compared on."""
        return str(self.kind), self.machine, self.configuration

    @property
    def is_under_tsan(self) -> bool:
        return any(one.startswith(UNDER_TSAN) for one in self.configuration)

    @property
    def configuration_text(self) -> str:
        return ", ".join(self.configuration) or "default settings"


def group_of(record: Mapping[str, object]) -> Group:
    """Return the group of the attempts of this `run` record."""
    environment = _mapping(record.get("environment"))
    return Group(
        kind_of(record),
        machine_of(environment),
        _with_core(build_of(record.get("torch")), _mapping(record.get("core"))),
        tuple(_configuration(record, _mapping(environment.get("env")))),
    )


def _with_core(build: TorchBuild, core: Mapping[str, object]) -> TorchBuild:
    """Return the build that was tested where a tree's core stood in for torch's own backend: the tree is what differs."""
    if not core:
        return build
    dirty = ", modified" if core.get("dirty") else ""
    commit = text(core.get("commit"))[:10]
    tree = f"core {commit or 'without a commit'}{dirty}, content {text(core.get('content'))[:12]}"
    return build._replace(file_key=f"{build.file_key}, {tree}" if build.file_key else tree)


def kind_of(record: Mapping[str, object]) -> DeviceKind:
    """Return the kind of device; any sign of simulation makes it simulated."""
    device = record.get("device")
    if device == "core":
        return DeviceKind.CORE
    if record.get("simulated") is True or device == "sim":
        return DeviceKind.SIMULATED
    if device == "mps":
        is_virtual = _mapping(record.get("environment")).get("paravirtual")
        return (
            DeviceKind.VIRTUAL
            if is_virtual is True
            else DeviceKind.REAL
            if is_virtual is False
            else DeviceKind.UNTOLD
        )
    return {"cuda": DeviceKind.CUDA, "cpu": DeviceKind.CPU}.get(str(device), DeviceKind.NONE)


def machine_of(environment: Mapping[str, object]) -> str:
    """Return the class of the machine: chip, system with its version, usable cores."""
    macos = _mapping(environment.get("macos"))
    system = f"macOS {text(macos.get('version')) or '?'}" if macos else text(environment.get("system")) or "?"
    cores = environment.get("cpu_count_usable") or environment.get("cpu_count")
    told = f", {cores} cores" if isinstance(cores, int) and not isinstance(cores, bool) else ""
    return f"{text(environment.get('chip')) or 'chip not recorded'}, {system}{told}"


def build_of(torch: object) -> TorchBuild:
    """Return the build that a fingerprint names."""
    fingerprint = _mapping(torch)
    version, commit = text(fingerprint.get("version")), text(fingerprint.get("git"))
    if not version:
        return TorchBuild("not recorded", "", "")
    file_key = ""
    if _LOCAL_BUILD.search(version) or not commit or commit == "Unknown":
        extension = _mapping(fingerprint.get("extension"))
        file_key = f"{_date(extension.get('modified'))}, {text(extension.get('bytes'))} bytes"
    return TorchBuild(version + (" debug" if fingerprint.get("debug") is True else ""), commit, file_key)


def _configuration(record: Mapping[str, object], env: Mapping[str, object]) -> Iterator[str]:
    settings = _mapping(record.get("settings"))
    for name, default in _DEFAULTS.items():
        if settings.get(name, default) != default:
            yield f"{name}={text(settings[name])}"
    if settings.get("isolation") is False:
        yield "no isolation"
    sim = _mapping(record.get("sim"))
    for name in ("design", "schedule"):
        if name in sim and sim[name] != "free":
            yield f"{name}={text(sim[name])}"
    faults = sim.get("faults")
    if isinstance(faults, list) and faults:
        yield f"faults={text(', '.join(map(fault_text, faults[:SWITCHES_MAX])))}"
    tsan = _mapping(record.get("tsan"))
    if tsan and not record.get("command"):
        problem = text(tsan.get("problem"))
        yield f"{UNDER_TSAN}, where silence proves nothing: {problem}" if problem else UNDER_TSAN
    if record.get("torch_mismatches"):
        yield "torch is not a build of the requested tree"
    switches = [
        (text(name), text(value)) for name, value in env.items() if not name.startswith("MPS_STRESS_")
    ]
    yield from (f"{name}={value}" for name, value in sorted(switches)[:SWITCHES_MAX])


def _date(time_s: object) -> str:
    """Return a file's time to the millisecond, which distinguishes one build from the next."""
    if not isinstance(time_s, int | float):
        return "time not recorded"
    try:
        return f"{datetime.fromtimestamp(time_s, UTC):%Y-%m-%d %H:%M:%S.%f}"[:-3]
    except (OverflowError, OSError, ValueError):
        return text(time_s)


def fault_text(fault: object) -> str:
    """Return the name of a seeded fault as a record has it, with its probability."""
    data = _mapping(fault)
    if not data:
        return text(fault)
    twin = "/twin" if data.get("twin") is True else ""
    return f"{text(data.get('name'))}{twin}:{text(data.get('probability'))}"


def text(value: object) -> str:
    """Return a short text of a scalar out of a record, "" for anything else."""
    if isinstance(value, str):
        return value if len(value) <= TEXT_CHARS_MAX else f"{value[:TEXT_CHARS_MAX]}..."
    return str(value) if isinstance(value, int | float) else ""


def _mapping(value: object) -> Mapping[str, object]:
    return value if isinstance(value, dict) else {}
