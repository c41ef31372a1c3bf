"""The coverage table: which scenarios stand for a row of the suite, where they have run, and what they find.

Rows and origins are declared by the scenario classes, what a device lacks follows from what they require, and where
they ran and what they killed comes from `results/coverage.toml` (`stress.commands.coverage.history`) and the power allocation.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stress.commands.coverage.history import Ran
from stress.commands.coverage.history import Run
from stress.commands.power.allocation import DEFAULT_PATH
from stress.commands.power.allocation import load as load_allocation
from stress.device.sim.zoo import BY_NAME
from stress.device.sim.zoo import DESIGNS
from stress.model.spec import ScenarioRef
from stress.scenario.capabilities import CAPABILITIES
from stress.scenario.file import import_module
from stress.scenario.scenario import combinations
from stress.scenario.scenario import environments
from stress.scenario.variants import is_scenario_class

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
COMMANDS: dict[int, str] = {26: "throughput", 29: "sweep"}
"""Rows that a command of `mps-stress` covers in place of scenarios."""
NATIVE = (
    "| - | native harness under ThreadSanitizer | `pytest tsan`, `mps-stress tsan` | simulated Metal, in its own records; "
    "not run on Metal | its own, by `mps-stress tsan --faults` |"
)
"""The row of what is no scenario and needs no torch device."""

_PLACES: tuple[tuple[str, str, tuple[str, ...]], ...] = (
    ("CPU", "cpu", ("",)),
    ("CUDA", "cuda", ("",)),
    ("MPS", "mps", ("",)),
    ("sim", "sim", tuple(DESIGNS)),
)
"""(Name, device, designs)."""
_GREEN, _NOT_RUN = "green", "not run"


@dataclass(frozen=True)
class Covered:
    """One scenario class."""

    name: str
    """`file.py::Class`."""
    cls: type[Any]
    faults: tuple[str, ...]

    @property
    def short(self) -> str:
        return self.cls.__name__

    @property
    def items(self) -> int:
        return len(list(combinations(self.cls))) * len(environments(self.cls))


def scenarios(folder: Path, ran: Ran) -> list[Covered]:
    """Import all scenario files of a folder; return their classes, with the faults that records say they kill."""
    by_allocation: dict[str, set[str]] = defaultdict(set)
    for entry in load_allocation(DEFAULT_PATH):
        by_allocation[entry.scenario].update(entry.faults)
    found = []
    for path in sorted(folder.glob("*.py")):
        module = import_module(ScenarioRef(str(path), path.stem, "", ()))
        for name, cls in vars(module).items():
            if is_scenario_class(cls, module):
                key = f"{path.name}::{name}"
                killed = {*ran.killed(key), *by_allocation[key]}
                found.append(Covered(key, cls, tuple(fault for fault in BY_NAME if fault in killed)))
    return found


def by_row(covered: Iterable[Covered]) -> dict[int, list[Covered]]:
    """Return the scenarios of each row; those of row 0 are canaries of no row."""
    rows: dict[int, list[Covered]] = {row: [] for row in SUBJECTS}
    for one in covered:
        for row in one.cls.rows or (0,):
            rows.setdefault(row, []).append(one)
    return rows


class Places:
    """Where a scenario has run, as words."""

    def __init__(self, ran: Ran) -> None:
        self.ran = ran
        told = {run.device for run in ran.runs}
        self._places = [one for one in _PLACES if one[1] in told or one[1] != "mps"]

    def of(self, one: Covered) -> str:
        """Return, for example, "CPU, sim; CUDA fails (race)" or "sim; CPU n/a: no events; not run on CUDA"."""
        ran, rest, not_run = [], [], []
        for name, device, designs in self._places:
            words = {design: self._seen(one, device, design) for design in designs}
            differing: dict[str, list[str]] = defaultdict(list)
            for design, word in words.items():
                if word != _GREEN:
                    differing[word].append(design)
            if not differing:
                ran.append(name)
            elif _GREEN in words.values():
                told = "; ".join(f"{', '.join(who)} {word}" for word, who in differing.items())
                ran.append(f"{name} ({told})")
            elif set(differing) == {_NOT_RUN}:
                not_run.append(name)
            else:
                rest.append(f"{name} {' / '.join(differing)}")
        return "; ".join(
            [
                *([", ".join(ran)] if ran else []),
                *rest,
                *([f"not run on {', '.join(not_run)}"] if not_run else []),
            ]
        )

    def _seen(self, one: Covered, device: str, design: str) -> str:
        status = self.ran.status(one.name, device, design)
        if status is not None:
            return _GREEN if status[0] == "green" else f"fails ({status[0]})"
        able = self.ran.capabilities(device, design)
        missing = [] if able is None else [need for need in one.cls.requires if need not in able]
        return f"n/a: no {', '.join(_readable(need) for need in missing)}" if missing else _NOT_RUN


def _readable(capability: str) -> str:
    assert capability in CAPABILITIES, "the collector refuses others"
    return capability.replace("_", " ")


def table(covered: Sequence[Covered], ran: Ran, commands: Sequence[str]) -> str:
    """Return the README's table, as Markdown: a line per row, then one for the canaries of no row."""
    places, rows = Places(ran), by_row(covered)
    lines = [
        "| row | subject | scenarios | ran on | seeded faults killed |",
        "| --- | --- | --- | --- | --- |",
    ]
    for row, subject in SUBJECTS.items():
        lines.append(_line(str(row), subject, rows[row], places, _command(row, commands)))
    lines.append(
        _line("-", "canaries (planted faults that every run must find)", rows.get(0, []), places, "")
    )
    if "tsan" in commands:
        lines.append(NATIVE)
    return "\n".join(lines)


def _command(row: int, commands: Sequence[str]) -> str:
    name = COMMANDS.get(row, "")
    return f"`mps-stress {name}`" if name in commands else ""


def _line(row: str, subject: str, of_row: Sequence[Covered], places: Places, command: str) -> str:
    names = ", ".join([*([command] if command else []), *(f"`{one.short}`" for one in of_row)])
    grouped: dict[str, list[str]] = defaultdict(list)
    for one in of_row:
        grouped[places.of(one)].append(f"`{one.short}`")
    most = max(grouped, key=lambda text: len(grouped[text]), default="")
    rest = [f"{', '.join(who)}: {text}" for text, who in grouped.items() if text != most]
    where = ". ".join([most, *rest]) or ("its own records" if command else "open")
    faults = [fault for fault in BY_NAME if any(fault in one.faults for one in of_row)]
    killed = ", ".join(f"`{one}`" for one in faults)
    return f"| {row} | {subject} | {names or 'open'} | {where} | {killed} |"


def runs_told(ran: Ran) -> Iterator[str]:
    """Yield a Markdown line for each run that the table draws on."""
    for run in ran.runs:
        yield f"- {_run_text(run)}"


def _run_text(run: Run) -> str:
    names = {device: name for name, device, _ in _PLACES}
    design = f", design {run.design}" if run.design else ""
    simulated = " (simulated, not Metal)" if run.device == "sim" else ""
    threads = ", ".join(map(str, run.threads))
    where = f"`{run.run}`" if run.source == "records" else run.source
    return (
        f"{names[run.device]}{simulated}{design}: {run.date}, {run.machine}, torch {run.torch}, {threads} threads, "
        f"{len(run.green)} scenarios green ({where})"
    )


def section(covered: Sequence[Covered], ran: Ran, commands: Sequence[str]) -> str:
    """Return the README's section below its heading."""
    on_mac = any(run.device == "mps" for run in ran.runs)
    return "\n".join(
        [
            "Printed by `mps-stress coverage --write` from the scenario classes, which name their rows of the project's suite",
            'list, and from `results/coverage.toml`, which `mps-stress coverage --add RUN` makes from records. "Ran on"',
            "says where a scenario has run and was green in its fault-free form; `sim` is the simulated device, not",
            "Metal, in its three designs. `n/a` is what a device cannot carry, and why."
            + ("" if on_mac else " Nothing here has run on a Mac."),
            "",
            table(covered, ran, commands),
            "",
            "Runs behind it:",
            "",
            *runs_told(ran),
        ]
    )


def text(covered: Sequence[Covered], ran: Ran, commands: Sequence[str]) -> str:
    """Return the table for a terminal: each scenario with its items, origins, places and faults."""
    places, rows, lines = Places(ran), by_row(covered), []
    titles: Mapping[int, str] = {**SUBJECTS, 0: "canaries"}
    for row, title in titles.items():
        lines.append(f"{row or '-':>2}  {title}")
        command = _command(row, commands)
        if command or not rows.get(row):
            lines.append(f"      {command.strip('`') or 'open'}")
        for one in rows.get(row, []):
            lines += _block(one, places)
    lines += ["", "runs behind it:", *(f"  {_run_text(run)}" for run in ran.runs)]
    return "\n".join(lines)


def _block(one: Covered, places: Places) -> Iterator[str]:
    items = "1 item" if one.items == 1 else f"{one.items} items"
    profile = ", full profile" if one.cls.attempts_quick == 0 else ""
    canary = ", canary" if one.cls.canary else ""
    yield f"      {one.name} ({items}{profile}{canary})"
    yield f"          ran on: {places.of(one)}"
    yield f"          kills:  {', '.join(one.faults) or '-'}"
    for origin in one.cls.origin:
        yield f"          from:   {origin}"


def data(covered: Sequence[Covered], ran: Ran) -> list[dict[str, object]]:
    """Return the table as JSON data, a mapping per scenario."""
    places = Places(ran)
    return [
        {
            "scenario": one.name,
            "rows": list(one.cls.rows),
            "items": one.items,
            "origin": list(one.cls.origin),
            "requires": list(one.cls.requires),
            "canary": one.cls.canary,
            "ran_on": places.of(one),
            "faults": list(one.faults),
        }
        for one in covered
    ]
