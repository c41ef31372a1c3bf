"""A peer session's job and its report: plain data in two files. Imports no torch."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stress.model.spec import ScenarioRef
from stress.model.spec import SimSpec

JOB_VARIABLE = "MPS_STRESS_PEER_JOB"
"""Environment variable with the path of the job file."""


@dataclass(frozen=True)
class Case:
    """One scenario with its parameters, as a test."""

    name: str
    ref: ScenarioRef
    compares: bool = True


@dataclass(frozen=True)
class Job:
    """One pytest session."""

    cases: tuple[Case, ...]
    threads: int
    seed: int
    sim: SimSpec | None
    report: str
    """File that gets one JSON line per test."""

    def dump(self, path: Path) -> None:
        path.write_text(json.dumps(asdict(self)))


def load(path: Path) -> Job:
    data: dict[str, Any] = json.loads(path.read_text())
    cases = tuple(Case(one["name"], _ref(one["ref"]), one["compares"]) for one in data["cases"])
    sim = SimSpec(**data["sim"]) if data["sim"] is not None else None
    return Job(cases, data["threads"], data["seed"], sim, data["report"])


def _ref(data: Mapping[str, Any]) -> ScenarioRef:
    return ScenarioRef(**{**data, "indices": tuple(data["indices"])})
