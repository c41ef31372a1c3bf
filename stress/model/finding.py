"""Findings: everything that is wrong with an attempt, as plain data that the child sends to the parent."""

from __future__ import annotations

from dataclasses import asdict
from dataclasses import dataclass
from typing import Any

from stress.model.verdict import Verdict


@dataclass
class Finding:
    """One thing that is wrong, and where. ``name`` is the class: a wrong value's name, "exception", ..."""

    verdict: str
    name: str
    text: str
    wave: int | None = None
    thread: int | None = None
    iteration: int | None = None
    output: int | None = None
    """Which leaf of the output, counted in the order of the nested value."""
    index: list[int] | None = None
    """Index of the first wrong element."""
    wrong_elements: int | None = None
    elements: int | None = None
    error_max: float | None = None
    error_allowed: float | None = None
    whose: str | None = None
    """The iteration whose right value it is, for cross-talk and stale values."""
    trace: str | None = None

    def to_data(self) -> dict[str, Any]:
        return {name: value for name, value in asdict(self).items() if value is not None}

    @classmethod
    def from_data(cls, data: dict[str, Any]) -> Finding:
        return cls(**data)

    @property
    def where(self) -> str:
        parts = [
            f"wave {self.wave}" if self.wave else "",
            f"thread {self.thread}" if self.thread is not None else "",
            f"iteration {self.iteration}" if self.iteration is not None else "",
        ]
        return " ".join(part for part in parts if part)


def broken(name: str, text: str, trace: str | None = None) -> Finding:
    """Return the finding that the scenario or the framework is at fault."""
    return Finding(Verdict.BROKEN, name, text, trace=trace)
