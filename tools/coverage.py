"""Write the coverage table of docs/coverage.md: which scenarios stand for a row of the suite, and what they find.

    python -m tools.coverage --write     # after a change of a scenario's `rows` or `requires`, or of seeded_faults.toml
    python -m tools.coverage --check     # exit status 1 where the page is out of date

Rows and requirements are what the scenario classes declare; the seeded faults are in `tools/seeded_faults.toml`.
"""

from __future__ import annotations

import argparse
import sys
import tomllib
from collections import defaultdict
from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stress.device.sim.zoo import BY_NAME
from stress.model.spec import ScenarioRef
from stress.scenario.file import import_module
from stress.scenario.variants import is_scenario_class

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "coverage.md"
SCENARIOS = ROOT / "scenarios"
SEEDED_FAULTS = ROOT / "tools" / "seeded_faults.toml"
BEGIN = "<!-- table: written by python -m tools.coverage --write -->"
END = "<!-- /table -->"

SUBJECTS: dict[int, str] = {
    1: "simple parallel ops",
    2: "nn.Linear",
    3: "nn.LayerNorm",
    4: "graph compilation",
    5: "real models",
    6: "op pairs",
    7: "extended stress",
    8: "thread boundary, stream assignment",
    9: "pool limits",
    10: "synchronize-all in use",
    11: "cross-thread tensors",
    12: "record_stream",
    13: "events",
    14: "linalg",
    15: "SVD",
    16: "kernel cold start",
    17: "range factories",
    18: "implicit synchronisation",
    19: "copies",
    20: "error attribution",
    21: "out of memory",
    22: "fork",
    23: "interpreter exit",
    24: "BatchQueue",
    25: "memory over time",
    26: "throughput",
    27: "autograd",
    28: "random numbers",
    29: "op sweep",
    30: "torch.compile",
}
"""The rows of the suite's list."""
COMMANDS: dict[int, str] = {26: "mps-stress throughput", 29: "mps-stress sweep"}
"""Rows that a command covers in place of scenarios."""
CANARIES = "canaries (planted faults that every run must find)"
NATIVE = "| - | native harness under ThreadSanitizer | `pytest tsan`, `mps-stress tsan` |  | `mps-stress tsan --faults` |"
"""The row of what is not a scenario and needs no torch device."""


@dataclass(frozen=True)
class Covered:
    """One scenario class."""

    key: str
    """`file.py::Class`."""
    cls: type[Any]
    faults: tuple[str, ...]
    """Seeded faults that it was seen to find, in the zoo's order."""


def covered(folder: Path = SCENARIOS, faults: Path = SEEDED_FAULTS) -> list[Covered]:
    """Import all scenario files of a folder and return their classes. Raise `ValueError` for a line about nothing."""
    seen: dict[str, list[str]] = tomllib.loads(faults.read_text())
    found = []
    for path in sorted(folder.glob("*.py")):
        module = import_module(ScenarioRef(str(path), path.stem, "", ()))
        for name, cls in vars(module).items():
            if is_scenario_class(cls, module):
                key = f"{path.name}::{name}"
                own = seen.pop(key, [])
                unknown = [fault for fault in own if fault not in BY_NAME]
                if unknown:
                    raise ValueError(f"{faults.name}: {key}: the zoo has no fault {', '.join(unknown)}")
                found.append(Covered(key, cls, tuple(fault for fault in BY_NAME if fault in own)))
    if seen:
        raise ValueError(f"{faults.name}: no such scenario: {', '.join(seen)}")
    return found


def table(scenarios: Sequence[Covered]) -> str:
    """Return the Markdown table: a line per row, then the canaries of no row and the native harness."""
    lines = [
        "| row | subject | scenarios | what they require | seeded faults they find |",
        "| --- | --- | --- | --- | --- |",
    ]
    for row, subject in SUBJECTS.items():
        lines.append(
            _line(str(row), subject, [one for one in scenarios if row in one.cls.rows], COMMANDS.get(row))
        )
    lines.append(_line("-", CANARIES, [one for one in scenarios if not one.cls.rows], None))
    return "\n".join([*lines, NATIVE])


def _line(row: str, subject: str, of_row: Sequence[Covered], command: str | None) -> str:
    names = [*([f"`{command}`"] if command else []), *map(_name, of_row)]
    faults = {fault for one in of_row for fault in one.faults}
    found = ", ".join(f"`{fault}`" for fault in BY_NAME if fault in faults)
    return f"| {row} | {subject} | {', '.join(names) or 'open'} | {_requirements(of_row)} | {found} |"


def _requirements(of_row: Iterable[Covered]) -> str:
    """Return the requirements of a row, those of most scenarios first: "events; `MemoryLevel`: accelerator"."""
    grouped: dict[str, list[str]] = defaultdict(list)
    for one in of_row:
        grouped[", ".join(one.cls.requires).replace("_", " ") or "nothing"].append(_name(one))
    most = max(grouped, key=lambda text: len(grouped[text]), default="")
    return "; ".join([most, *(f"{', '.join(who)}: {text}" for text, who in grouped.items() if text != most)])


def _name(one: Covered) -> str:
    return f"`{one.cls.__name__}`"


def page_with(text: str, new: str) -> str:
    """Return the page's text with the table between its marks. Raise `ValueError` where the marks are missing."""
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"the page has no {BEGIN!r} ... {END!r}")
    return f"{before}{begin}\n{new}\n{end}{after}"


def main(argv: Sequence[str] | None = None, say: Callable[[str], None] = print) -> int:
    """Write the page, or check it; 0 for a page that is up to date."""
    parser = argparse.ArgumentParser(prog="python -m tools.coverage", description=__doc__.partition("\n")[0])
    either = parser.add_mutually_exclusive_group(required=True)
    either.add_argument("--write", action="store_true", help="write the table into the page")
    either.add_argument("--check", action="store_true", help="exit status 1 where it is out of date")
    parser.add_argument("--page", type=Path, default=PAGE, help="default: docs/coverage.md")
    options = parser.parse_args(argv)
    old = options.page.read_text()
    new = page_with(old, table(covered()))
    if options.write:
        options.page.write_text(new)
    elif new != old:
        say(f"{options.page} is out of date: python -m tools.coverage --write")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
