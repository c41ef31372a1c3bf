"""Choose the device that a run tests, build it if need be, and probe it in a child. Parent side, without torch."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from dataclasses import field
from pathlib import Path
from typing import Any
from typing import Protocol

from stress.device import operator_patch
from stress.device.core.build import CoreBuild
from stress.device.core.build import core_builder
from stress.device.core.build import said_once
from stress.device.core.tree import PytorchTree
from stress.device.core.tree import device_text
from stress.device.operator_patch import Operator
from stress.device.sim.build import SimBuild
from stress.device.sim.build import default_builder
from stress.device.sim.settings import SimSettings
from stress.device.sim.zoo import DESIGN_DEFAULT
from stress.isolate import same_torch
from stress.isolate.backend import IsolationError
from stress.isolate.supervisor import Supervisor
from stress.model.errors import BuildError
from stress.model.errors import OptionError
from stress.model.spec import ChildSpec
from stress.model.spec import CoreSpec
from stress.model.spec import SimSpec

PROBE_DEADLINE_S = 180.0
_NO_MPS_HERE = "auto: no MPS off macOS"

Say = Callable[[str], None]
Make = Callable[..., SimBuild]
"""(say, again=False): returns the build of the simulated device, made now if need be."""
OpenSupervisor = Callable[[str], Supervisor]
"""Given the library of the simulated device, or "": the supervisor whose children have it loaded."""


class Wanted(Protocol):
    """The user's request: the plugin's settings, or a command's options."""

    @property
    def device(self) -> str: ...
    @property
    def sim(self) -> SimSettings: ...
    @property
    def pytorch(self) -> str | None: ...
    @property
    def core_operators(self) -> str: ...
    @property
    def operators(self) -> tuple[Operator, ...]: ...


@dataclass(frozen=True)
class WantedDevice:
    """A device that was recorded, or that a benchmark names."""

    device: str
    sim: SimSettings = field(default_factory=SimSettings)
    pytorch: str | None = None
    core_operators: str = "cpu"
    operators: tuple[Operator, ...] = ()


@dataclass(frozen=True)
class SimDevice:
    """The simulated device of a run: how it behaves, and the build that is used."""

    settings: SimSettings
    build: SimBuild

    @property
    def spec(self) -> SimSpec:
        return self.build.spec(self.settings)

    def to_data(self) -> dict[str, object]:
        """Return its fields for a record."""
        return {**self.settings.to_data(), **self.build.to_data()}


@dataclass(frozen=True)
class CoreDevice:
    """A PyTorch tree's own core of a run: the tree, and the build that is used."""

    tree: PytorchTree
    build: CoreBuild

    @property
    def spec(self) -> CoreSpec:
        return CoreSpec(str(self.build.python_module), tree_operators=self.tree.operators == "tree")

    @property
    def cpu_families_briefly(self) -> tuple[str, ...]:
        """Return the families of operators that are not the tree's, which the header names, as one text."""
        count = len(self.build.cpu_families)
        return (f"{count} families of the header",) if count > 1 else self.build.cpu_families

    def to_data(self) -> dict[str, object]:
        """Return its fields for a record."""
        return {
            **self.tree.to_data(),
            "cpu_families": list(self.build.cpu_families),
            "library": self.spec.library,
        }


@dataclass(frozen=True)
class DeviceInfo:
    """The facts that the probe child found out about the device and the torch build."""

    name: str
    reason: str
    torch: dict[str, Any]
    capabilities: frozenset[str]
    sim: SimDevice | None = None
    core: CoreDevice | None = None

    @property
    def is_simulated(self) -> bool:
        """Whether Metal, at least, is a model of ours: nothing of it enters a rate of a real device."""
        return self.sim is not None or self.core is not None

    @property
    def sim_spec(self) -> SimSpec | None:
        return self.sim.spec if self.sim is not None else None

    @property
    def core_spec(self) -> CoreSpec | None:
        return self.core.spec if self.core is not None else None

    @property
    def torch_text(self) -> str:
        version = self.torch.get("version", "?")
        commit = str(self.torch.get("git") or "")[:10]
        return f"torch {version}" + (f" ({commit})" if commit else "")

    @property
    def header_lines(self) -> list[str]:
        """Return its lines for the header."""
        name = f"{self.name} ({self.reason})"
        if self.sim is not None:
            name = f"{self.name} (simulated, not Metal; design {self.sim.settings.design}; {self.reason})"
        if self.core is not None:
            name = device_text(self.core.tree, self.core.build.cpu_families)
        lines = [f"mps: device {name}, {self.torch_text}, {self.torch.get('file', '')}"]
        if self.sim is not None and self.sim.settings.faults:
            told = ", ".join(one.told for one in self.sim.settings.faults)
            design = self.sim.settings.design
            whose = f"; design {design} has the bug" if design != DESIGN_DEFAULT else ""
            lines.append(f"mps: faults armed on the simulated device: {told}{whose}")
        if self.sim is not None and self.sim.settings.schedule != "free":
            lines.append(
                f"mps: the simulated device's order is repeatable (schedule {self.sim.settings.schedule_text})"
            )
        return lines


@dataclass(frozen=True)
class _Choice:
    name: str
    reason: str
    build: SimBuild | None = None


class DeviceError(OptionError):
    """The device cannot be used; options are named without the prefix that pytest's have."""


class Unusable(Exception):
    """A child could not use torch, or the device's library."""


_CPU_INSTEAD = "{device}=cpu runs the scenarios on the CPU"


def default_build(say: Say, *, again: bool = False) -> SimBuild:
    """Return the build of the simulated device as scenarios use it; raise `BuildError`."""
    if sys.platform != "linux":
        raise BuildError(f"it runs on Linux only, and this is {sys.platform}")
    return default_builder().ensure(say, again=again)


def open_device(
    settings: Wanted,
    open_supervisor: OpenSupervisor,
    say: Say,
    given: list[str] | None,
    make: Make = default_build,
    *,
    foreign: bool = False,
    sanitizer: str | None = None,
) -> DeviceInfo:
    """Choose the device and look at it in a child; raise `DeviceError` when it cannot be used.

    `given` is what the xdist controller chose for its workers: (device, why). `make` builds the simulated device.
    `foreign`: children run in another interpreter, whose torch is meant to be another one. `sanitizer` is that of a core.
    """
    require_tree(settings)
    if settings.device == "core":
        return _open_core(settings, open_supervisor, say, foreign=foreign, sanitizer=sanitizer)
    choice = _choose(settings, say, make) if given is None else _as_given(given, say, make)
    try:
        result = _probe(choice, settings, open_supervisor)
    except Unusable as error:
        if choice.build is None:
            raise DeviceError(f"torch cannot be used in a child process: {error}") from error
        choice, result = _second_try(settings, open_supervisor, say, str(error), make)
    if result["unavailable"]:
        way_out = "" if settings.device == "cpu" else f"; {_CPU_INSTEAD}"
        raise DeviceError(result["unavailable"], option=f"device={settings.device}", way_out=way_out)
    _require_same_torch(result, foreign=foreign)
    capabilities = frozenset(result["capabilities"])
    sim = SimDevice(settings.sim, choice.build) if choice.build is not None else None
    return DeviceInfo(choice.name, choice.reason, result["fingerprint"], capabilities, sim)


def require_tree(settings: Wanted) -> None:
    """Refuse a core without a tree, and a tree for another device; raise `DeviceError`."""
    if settings.device == "core" and settings.pytorch is None:
        raise DeviceError(
            "the core of which PyTorch?", option="device=core", way_out=": name its source tree, as in {pytorch}=../pytorch"
        )  # fmt: skip
    if settings.device != "core" and settings.pytorch is not None:
        raise DeviceError(
            f"the tree is for its own device alone, not for {settings.device}", option=f"pytorch={settings.pytorch}",
            way_out=": add {device}=core",
        )  # fmt: skip
    if settings.device != "core" and settings.core_operators != "cpu":
        raise DeviceError(
            f"they are those of a PyTorch tree's core, and the device is {settings.device}",
            option=f"core-operators={settings.core_operators}",
            way_out=": add {device}=core and {pytorch}=../pytorch",
        )


def _open_core(
    settings: Wanted, open_supervisor: OpenSupervisor, say: Say, *, foreign: bool, sanitizer: str | None
) -> DeviceInfo:
    """Build the tree's core if need be, and look at it in a child."""
    assert settings.pytorch is not None, "refused otherwise"
    device = core_device(settings.pytorch, say, sanitizer, settings.core_operators)
    try:
        supervisor = open_supervisor(device.spec.library)
        result = probe(supervisor, "core", None, settings.operators, core=device.spec)
    except (IsolationError, Unusable) as error:
        raise DeviceError(f"{error}", option=f"pytorch={settings.pytorch}") from error
    _require_same_torch(result, foreign=foreign)
    capabilities = frozenset(result["capabilities"])
    return DeviceInfo("core", "as asked", result["fingerprint"], capabilities, core=device)


def core_device(tree: str, say: Say, sanitizer: str | None = None, operators: str = "cpu") -> CoreDevice:
    """Return the core of a tree, built now if need be; raise `OptionError` where there is none."""
    try:
        builder = core_builder(tree, sanitizer, operators)
        build = builder.ensure(say, said_once(say))
    except BuildError as error:
        raise DeviceError(f"{error}", option=f"pytorch={tree}") from error
    if build.python_module is None:
        reason = "torch/csrc/mps is missing in it, so Python cannot reach its core"
        raise DeviceError(reason, option=f"pytorch={tree}", way_out=": restore the folder")
    return CoreDevice(builder.tree, build)


def _require_same_torch(result: dict[str, Any], *, foreign: bool) -> None:
    """Refuse a child's torch that is another one than this process's, unless it is meant to be."""
    if not foreign and (text := same_torch.difference(result["fingerprint"])) is not None:
        raise DeviceError(text)


def _choose(settings: Wanted, say: Say, make: Make) -> _Choice:
    """Return the device; an explicit one never falls back, and neither does `auto` on macOS."""
    wanted = settings.device
    if wanted == "sim":
        return _Choice("sim", "as asked", _explicit_build(say, make))
    if wanted != "auto":
        return _Choice(wanted, "as asked")
    if sys.platform == "darwin":
        return _without_sim(settings, _Choice("mps", "auto: this is macOS"))
    try:
        return _Choice("sim", _NO_MPS_HERE, make(say))
    except BuildError as error:
        return _without_sim(settings, _fall_back("built", error, say))


def _as_given(given: list[str], say: Say, make: Make) -> _Choice:
    name, reason = given
    return _Choice(name, reason, _explicit_build(say, make) if name == "sim" else None)


def _explicit_build(say: Say, make: Make, *, again: bool = False) -> SimBuild:
    if sys.platform == "darwin":
        raise DeviceError(
            "the simulated device is for Linux only. On macOS the real device has torch's MPS key, and nothing is "
            "known about running the simulated one there",
            option="device=sim",
            way_out=": use {device}=mps or {device}=cpu",
        )
    try:
        return make(say, again=again)
    except BuildError as error:
        reason = f"the simulated device cannot be built: {error}"
        raise DeviceError(reason, option="device=sim", way_out=f"\n{_CPU_INSTEAD}") from error


def _fall_back(what: str, error: object, say: Say) -> _Choice:
    first, _, rest = str(error).partition("\n")
    if rest:
        say(f"the simulated device cannot be {what}: {error}")
    return _Choice("cpu", f"{_NO_MPS_HERE}; the simulated device cannot be {what}: {first}")


def _without_sim(settings: Wanted, choice: _Choice) -> _Choice:
    """Refuse to continue without the simulated device if the user set an option that only it has."""
    sim = settings.sim
    if sim.faults or sim.schedule != "free":
        raise DeviceError(
            f"this is for the simulated device alone, not for {choice.name} ({choice.reason})",
            option="sim-faults" if sim.faults else "sim-schedule",
        )
    return choice


def _second_try(
    settings: Wanted, open_supervisor: OpenSupervisor, say: Say, why: str, make: Make
) -> tuple[_Choice, dict[str, Any]]:
    """Build the library again, once: it may belong to a torch that was replaced in its place."""
    say(f"the simulated device cannot be used: {why}")
    explicit = settings.device == "sim"
    reason = "as asked" if explicit else _NO_MPS_HERE
    try:
        build = _explicit_build(say, make, again=True) if explicit else make(say, again=True)
        choice = _Choice("sim", reason, build)
        return choice, _probe(choice, settings, open_supervisor)
    except (BuildError, Unusable) as error:
        if explicit:
            raise DeviceError(
                f"the simulated device cannot be loaded, even after a rebuild: {error}",
                option="device=sim",
                way_out=f"; {_CPU_INSTEAD}",
            ) from error
        choice = _without_sim(settings, _fall_back("loaded", error, say))
    try:
        return choice, _probe(choice, settings, open_supervisor)
    except Unusable as error:
        raise DeviceError(f"torch cannot be used in a child process: {error}") from error


def _probe(choice: _Choice, settings: Wanted, open_supervisor: OpenSupervisor) -> dict[str, Any]:
    build = choice.build
    try:
        supervisor = open_supervisor(str(build.library) if build is not None else "")
    except IsolationError as error:
        raise Unusable(str(error)) from error
    sim = build.spec(settings.sim) if build is not None else None
    return probe(supervisor, choice.name, sim, settings.operators)


def probe(
    supervisor: Supervisor,
    device: str,
    sim: SimSpec | None,
    operators: tuple[Operator, ...] = (),
    core: CoreSpec | None = None,
) -> dict[str, Any]:
    """Return what a child says about torch and the device; raise `Unusable` when it cannot say anything."""
    folder = Path(tempfile.mkdtemp(prefix="mps-stress-probe-"))
    spec = ChildSpec(
        "probe", str(folder), "probe", device, deadline_s=PROBE_DEADLINE_S, sys_path=tuple(sys.path),
        cwd=os.getcwd(), operators=operator_patch.texts(operators), sim=sim, core=core,
    )  # fmt: skip
    try:
        run = supervisor.run(spec, 0)
    except IsolationError as error:
        raise Unusable(str(error)) from error
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    if run.result is None:
        raise Unusable(run.stderr.strip()[-2000:] or f"it ended with {run.exit}")
    first = next(iter(run.result["findings"]), None)
    if first is not None and first["name"] == operator_patch.FINDING:
        name, _, reason = str(first["text"]).partition(": ")  # `OperatorError` begins with the replacement
        raise DeviceError(reason, option=f"operator={name}")
    if first is not None:
        raise Unusable(first["text"])
    return run.result
