"""What a child has collected, as data: enough to name, to select and to order the tests of a file without importing it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from dataclasses import dataclass
from dataclasses import field
from typing import Any


@dataclass
class ListedTest:
    """One test."""

    nodeid: str
    chain: list[str]
    """Names of the collectors between file and test: its class, as a rule."""
    name: str
    line: int | None
    keywords: list[str] = field(default_factory=list)
    markers: list[list[Any]] = field(default_factory=list)
    """[name, positional arguments, keyword arguments], the closest first."""
    fixtures: list[str] = field(default_factory=list)
    is_marked: bool = False
    """It is marked `mps_stress`."""
    threads: int | None = None
    """The marker's."""
    iterations: int | None = None
    """The marker's."""
    why_once: str = ""
    """Why it cannot run from threads; empty where it can."""


@dataclass
class CollectedFile:
    """A file's tests, or why there are none."""

    tests: list[ListedTest] = field(default_factory=list)
    problem: str = ""
    """Why the file cannot be collected, as pytest says it."""
    skipped: str = ""
    """Why the file skips itself as a whole."""

    def to_data(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> CollectedFile:
        return cls([ListedTest(**one) for one in data["tests"]], data["problem"], data["skipped"])
