"""mps-stress: stress and race-detection tests for PyTorch's MPS backend.

`__all__` is the whole API for authors of scenarios and of scripts. pytest imports this package in every run of the
environment (entry point `mps-stress`): each name is loaded on first use, and nothing here imports torch.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from stress import order
    from stress.commands.check import check
    from stress.device import spawned_process
    from stress.model.verdict import Verdict
    from stress.scenario import exact
    from stress.scenario import growth
    from stress.scenario import handover
    from stress.scenario import memory
    from stress.scenario import sequences
    from stress.scenario import shaders
    from stress.scenario import streams
    from stress.scenario.current import Step
    from stress.scenario.current import current
    from stress.scenario.scenario import ProcessScenario
    from stress.scenario.scenario import Scenario

__all__ = [
    "ProcessScenario",
    "Scenario",
    "Step",
    "Verdict",
    "check",
    "current",
    "exact",
    "growth",
    "handover",
    "memory",
    "order",
    "sequences",
    "shaders",
    "spawned_process",
    "streams",
]
__version__ = "0.1.0"

_CLASSES = {
    "ProcessScenario": "stress.scenario.scenario",
    "Scenario": "stress.scenario.scenario",
    "Step": "stress.scenario.current",
    "Verdict": "stress.model.verdict",
    "check": "stress.commands.check",
    "current": "stress.scenario.current",
}
_MODULES = {
    name: f"stress.scenario.{name}"
    for name in ("exact", "growth", "handover", "memory", "sequences", "shaders", "streams")
} | {"order": "stress.order", "spawned_process": "stress.device.spawned_process"}

# `import stress.exact` and `import stress.streams` were in the README of 0.1: they are found here, for one release.
__path__.append(str(Path(__file__).parent / "scenario" / "old_paths"))


def __getattr__(name: str) -> object:
    from importlib import import_module

    if name in _MODULES:
        return import_module(_MODULES[name])
    if name not in _CLASSES:
        raise AttributeError(f"module 'stress' has no attribute {name!r}")
    return getattr(import_module(_CLASSES[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
