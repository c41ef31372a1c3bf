"""What the user may ask of `mps-stress tsan`, checked as far as it can be without the program."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stress import command_options

THREADS_DEFAULT = 8
RUNS_DEFAULT = 5
DEADLINE_S_DEFAULT = 60
THREADS_MAX = 1024
COUNT_MAX = 10**9


@dataclass(frozen=True)
class TsanCommandOptions:
    """Validated options."""

    cases: tuple[str, ...]
    """Empty: all."""
    threads: tuple[int, ...]
    iterations: int
    runs: int
    fault: str | None
    faults: bool
    deadline_s: float
    seed: int
    list_only: bool
    recipe: Path | None
    results: Path
    json: bool

    @classmethod
    def parse(cls, given: Mapping[str, Any]) -> TsanCommandOptions:
        """Return the options; raise `ValueError` with a sentence that names the option and the way out."""
        if given["faults"] and (given["fault"] or given["case"]):
            raise ValueError("--faults runs all of them: leave out --fault and --case")
        recipe = Path(given["recipe"]).resolve() if given["recipe"] else None
        if recipe is not None and not recipe.is_file():
            raise ValueError(f"--recipe={given['recipe']}: there is no such file")
        return cls(
            cases=_names(given["case"]),
            threads=_threads(given["threads"]),
            iterations=_count(given["iterations"], "--iterations", COUNT_MAX),
            runs=_count(given["runs"], "--runs", COUNT_MAX),
            fault=given["fault"],
            faults=given["faults"],
            deadline_s=command_options.seconds(given["deadline"], "--deadline"),
            seed=command_options.seed(given["seed"]),
            list_only=given["list"],
            recipe=recipe,
            results=Path(given["results"]).resolve(),
            json=given["json"],
        )

    def to_data(self) -> dict[str, object]:
        """Return what the run record says of them."""
        return {
            "cases": list(self.cases),
            "threads": list(self.threads),
            "iterations": self.iterations,
            "runs": self.runs,
            "fault": self.fault,
            "faults": self.faults,
            "deadline_s": self.deadline_s,
        }


def _names(text: str | None) -> tuple[str, ...]:
    names = tuple(part.strip() for part in text.split(",")) if text is not None else ()
    if not all(names):
        raise ValueError(f"--case={text}: expected names, as in --case=stream_pool,event_pool")
    return tuple(dict.fromkeys(names))


def _threads(text: str) -> tuple[int, ...]:
    return tuple(dict.fromkeys(_count(part.strip(), "--threads", THREADS_MAX) for part in text.split(",")))


def _count(text: str, name: str, most: int) -> int:
    value = command_options.count(text, name, most)
    assert value is not None, "there is a default"
    return value
