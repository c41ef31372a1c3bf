"""mps-stress: stress and race-detection tests for PyTorch's MPS backend.

This package is imported by pytest in every run of the environment (entry point `stress.plugin`): the
public names are loaded on first use, and nothing here imports torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from stress.context import Step
    from stress.context import current
    from stress.scenario import ProcessScenario
    from stress.scenario import Scenario
    from stress.verdict import Verdict

__all__ = ["ProcessScenario", "Scenario", "Step", "Verdict", "current"]
__version__ = "0.1.0"

_HOME = {
    "ProcessScenario": "stress.scenario",
    "Scenario": "stress.scenario",
    "Step": "stress.context",
    "Verdict": "stress.verdict",
    "current": "stress.context",
}


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(f"module 'stress' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOME])
