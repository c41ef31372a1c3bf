"""The subject of an export: a scenario with its values, thread counts and device, free of anything recorded."""

from __future__ import annotations

import json
from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import dataclass
from dataclasses import field
from typing import Any

from stress.commands import CommandError
from stress.scenario.scenario import ProcessScenario
from stress.scenario.scenario import overrides
from stress.scenario.scenario import waves_of
from stress.scenario.variants import value_id

SEED = 1
HALF_TYPES = ("float16", "bfloat16")
RTOL, RTOL_HALF = 1e-3, 3e-2
"""A value that a race spoiled is another number altogether; what a GPU rounds differently is far below these."""


@dataclass(frozen=True)
class SimBlock:
    """The simulated device of an exported file: the library to load, and the text that configures it."""

    library: str
    key: str
    design: str
    configure: str
    pool_wait: str = ""


@dataclass(frozen=True)
class CoreBlock:
    """A PyTorch tree's own core in an exported file: the library to load, and what its simulated Metal is told."""

    library: str
    tree: str
    """Which code it is, as the header of a run says it."""
    completion: str


@dataclass(frozen=True)
class ExportSpec:
    """Everything that the text of an exported file depends on."""

    scenario: Any
    """The bound scenario: its declarations are read, none of its methods is called."""
    threads: int
    iterations: int | None
    device: str
    sim: SimBlock | None = None
    core: CoreBlock | None = None
    readback: str = "end"
    perturb: str = "none"
    overrides: Mapping[str, Any] = field(default_factory=dict)
    env: Mapping[str, str] = field(default_factory=dict)

    @property
    def cls(self) -> type[Any]:
        return type(self.scenario)

    @property
    def is_process(self) -> bool:
        return isinstance(self.scenario, ProcessScenario)

    @property
    def torch_device(self) -> str:
        """Return what the file calls the device."""
        if self.core is not None:
            return "mps"
        if self.sim is None:
            return self.device
        return "mps" if self.sim.key == "mps" else "sim"

    @property
    def waves(self) -> Sequence[tuple[int, int]]:
        """Return [(threads, iterations), ...]; one entry but for scenarios that start crews one after another."""
        return [(1, 1)] if self.is_process else waves_of(self.scenario, self.iterations)

    @property
    def per_thread(self) -> bool:
        return not self.is_process and self.scenario.sharing == "per-thread"

    @property
    def compares(self) -> bool:
        """Whether the author replaced the comparison; such values are expected from the same device."""
        return self.has("compare")

    def has(self, name: str) -> bool:
        """Whether the author wrote this method."""
        return not self.is_process and overrides(self.scenario, name)

    @property
    def rtol(self) -> float:
        texts = [value_id(getattr(self.scenario, name), name) for name in self.cls.params]
        return RTOL_HALF if any(one in HALF_TYPES for one in texts) else RTOL

    def values(self) -> dict[str, str]:
        """Return attribute -> Python expression: parameters, what the framework sets, and what was made smaller."""
        found = {name: expression(getattr(self.scenario, name), name) for name in self.cls.params}
        found["threads"] = str(self.threads)
        found["device_type"] = repr(self.device)
        for name, value in self.overrides.items():
            if name not in ("waves", "iterations"):
                found[name] = repr(json.loads(json.dumps(value)))
        return found


def expression(value: Any, name: str) -> str:
    """Return Python for a parameter's value; raise `CommandError` where it has none that is short."""
    if value is None or isinstance(value, str | bool | int | float):
        return repr(value)
    text = str(value)
    if text.startswith("torch.") and text.replace(".", "").replace("_", "").isalnum():
        return text
    if isinstance(value, list | tuple | dict):
        return repr(value)
    raise CommandError(f"parameter {name} is {text[:60]}, which has no short Python text to export")
