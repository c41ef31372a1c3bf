"""Where scenarios have run and what they have found: `results/coverage.toml`, made from records and from nothing else.

`mps-stress coverage --add RUN` boils a run's records down to what stays when they are gone: which scenarios were green
on which device, and, where seeded faults were armed, which of them each scenario killed.
"""

from __future__ import annotations

import json
import tomllib
from collections import defaultdict
from collections.abc import Iterable
from collections.abc import Mapping
from collections.abc import Sequence
from collections.abc import Set
from dataclasses import dataclass
from dataclasses import field
from dataclasses import replace
from datetime import UTC
from datetime import datetime
from pathlib import Path
from typing import Any

from stress.device.sim.zoo import BY_NAME
from stress.device.sim.zoo import PROBABILITY_DEFAULT
from stress.model.verdict import Verdict
from stress.model.verdict import worst
from stress.record import RecordError
from stress.record import read_run

HEAD = """\
# Where scenarios have run, and which seeded faults they have killed. Made from records by
# `mps-stress coverage --add RUN`; nothing in here was typed by hand.
"""
_TEXTS = ("run", "device", "design", "date", "machine", "torch", "source")


class RanError(Exception):
    """The file, or a run, cannot be used: one sentence."""


@dataclass(frozen=True)
class Run:
    """One run without seeded faults."""

    run: str
    device: str
    date: str
    machine: str
    torch: str
    threads: tuple[int, ...]
    design: str = ""
    """Of the simulated device; empty for others."""
    capabilities: tuple[str, ...] = ()
    """What the device was found to be able to do; empty where the record does not say."""
    source: str = "records"
    green: tuple[str, ...] = ()
    """Scenarios (`file.py::Class`) all of whose items were green."""
    other: Mapping[str, str] = field(default_factory=dict)
    """Scenario -> its worst verdict, where that is not green."""

    def without(self, scenarios: Set[str]) -> Run:
        """Return the run less what it says of these scenarios."""
        return replace(
            self,
            green=tuple(name for name in self.green if name not in scenarios),
            other={name: word for name, word in self.other.items() if name not in scenarios},
        )

    @property
    def place(self) -> tuple[str, str, tuple[int, ...]]:
        return self.device, self.design, self.threads


@dataclass
class Ran:
    """Everything that the file says."""

    runs: list[Run] = field(default_factory=list)
    kills: dict[str, dict[str, tuple[int, int]]] = field(default_factory=dict)
    """Scenario -> fault -> (kills, attempts), at the probability that the fault declares."""
    counted: list[str] = field(default_factory=list)
    """Runs whose kills are in these numbers."""

    def status(self, scenario: str, device: str, design: str = "") -> tuple[str, Run] | None:
        """Return (verdict, run) of the newest run in which the scenario took part there; "green" for a good one."""
        for run in reversed(self.runs):
            if (run.device, run.design) == (device, design):
                if scenario in run.green:
                    return "green", run
                if scenario in run.other:
                    return run.other[scenario], run
        return None

    def capabilities(self, device: str, design: str = "") -> frozenset[str] | None:
        """Return what the device was found to be able to do; None where no record says it."""
        for run in reversed(self.runs):
            if (run.device, run.design) == (device, design) and run.capabilities:
                return frozenset(run.capabilities)
        return None

    def killed(self, scenario: str) -> list[str]:
        """Return the faults that the scenario has killed, in the zoo's order: without a fault nothing fails."""
        seen = self.kills.get(scenario, {})
        return [name for name in BY_NAME if seen.get(name, (0, 0))[0]]

    def add(self, folder: Path, machine: str = "") -> str:
        """Add what the records of one run say; return one sentence about it. Raise `RanError` where it says nothing."""
        try:
            records = [dict(one) for one in read_run(folder)]
        except RecordError as error:
            raise RanError(f"{folder}: {error}") from None
        kills = _kills_of(records)
        if kills:
            if folder.name in self.counted:
                raise RanError(f"{folder}: its kills are counted already")
            self.counted.append(folder.name)
            self._add_kills(kills)
            count = sum(bool(won) for by_fault in kills.values() for won, _ in by_fault.values())
            return f"{folder.name}: {count} pairs of a scenario and a fault that it killed"
        run = _run_of(records, machine)
        if run is None or not (run.green or run.other):
            raise RanError(f"{folder}: no scenario ran to its end there")
        self._add_run(run)
        return f"{folder.name}: {len(run.green)} scenarios green on {run.device}, {len(run.other)} not"

    def _add_run(self, run: Run) -> None:
        """Put a run behind the others; what it repeats goes from older ones, so that the file stays small."""
        told = {*run.green, *run.other}
        older = [
            one.without(told) if one.place == run.place else one for one in self.runs if one.run != run.run
        ]
        kept = [one for one in older if one.green or one.other]
        self.runs = sorted([*kept, run], key=lambda one: (one.date, one.run))

    def _add_kills(self, kills: Mapping[str, Mapping[str, tuple[int, int]]]) -> None:
        for scenario, by_fault in kills.items():
            own = self.kills.setdefault(scenario, {})
            for fault, (won, attempts) in by_fault.items():
                before = own.get(fault, (0, 0))
                own[fault] = (before[0] + won, before[1] + attempts)

    def dump(self) -> str:
        """Return the file's text."""
        parts = [HEAD, f"counted = {_list(self.counted)}", ""]
        for run in self.runs:
            parts.append("[[run]]")
            parts += [f"{name} = {_text(getattr(run, name))}" for name in _TEXTS]
            parts.append(f"threads = {list(run.threads)}")
            parts.append(f"capabilities = {_list(run.capabilities)}")
            parts.append(f"green = {_list(sorted(run.green))}")
            parts += [f"other.{_text(name)} = {_text(word)}" for name, word in sorted(run.other.items())]
            parts.append("")
        for scenario, by_fault in sorted(self.kills.items()):
            parts.append(f"[kills.{_text(scenario)}]")
            # Misses alone are no news: most pairs have nothing to do with each other.
            parts += [
                f"{fault} = {list(by_fault[fault])}" for fault in BY_NAME if by_fault.get(fault, (0, 0))[0]
            ]
            parts.append("")
        return "\n".join(parts)


def load(path: Path) -> Ran:
    """Read the file; an absent one is empty. Raise `RanError` for one that cannot be read."""
    if not path.is_file():
        return Ran()
    try:
        data = tomllib.loads(path.read_text())
        runs = [Run(**{**one, **_tuples(one)}) for one in data.get("run", ())]
        kills = {
            scenario: {fault: (int(won), int(attempts)) for fault, (won, attempts) in by_fault.items()}
            for scenario, by_fault in data.get("kills", {}).items()
        }
    except (tomllib.TOMLDecodeError, TypeError, ValueError, AttributeError) as error:
        raise RanError(f"{path} is damaged: {error}") from None
    return Ran(runs, kills, [str(one) for one in data.get("counted", ())])


def _tuples(one: Mapping[str, Any]) -> dict[str, tuple[Any, ...]]:
    return {name: tuple(one[name]) for name in ("threads", "capabilities", "green") if name in one}


def _run_of(records: Iterable[Mapping[str, Any]], machine: str) -> Run | None:
    """Return what a pytest run without faults says about scenarios; None for any other run."""
    run: Run | None = None
    verdicts: dict[str, set[str]] = defaultdict(set)
    for one in records:
        if one["kind"] == "run" and run is None:
            run = _head(one, machine)
        elif one["kind"] == "item":
            verdicts[scenario_of(one["item"])].add(one["verdict"])
    if run is None:
        return None
    bad = {name: worst(map(Verdict, found)) for name, found in verdicts.items()}
    green = {name for name, found in verdicts.items() if all(Verdict(word).is_green for word in found)}
    return replace(
        run,
        green=tuple(sorted(green)),
        other={name: str(word) for name, word in bad.items() if name not in green},
    )


def _head(record: Mapping[str, Any], machine: str) -> Run:
    environment, sim = record["environment"], record.get("sim") or {}
    return Run(
        run=record["run"],
        device=record["device"],
        date=datetime.fromtimestamp(record["time"], UTC).date().isoformat(),
        machine=machine or f"{environment.get('system')}, {environment.get('chip')}",
        torch=str((record.get("torch") or {}).get("version", "?")),
        threads=tuple(record["settings"].get("threads") or ()),
        design=str(sim.get("design", "")),
        capabilities=tuple(record.get("capabilities") or ()),
    )


def _kills_of(records: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, tuple[int, int]]]:
    """Return scenario -> fault -> (kills, attempts): of a power run, or of a run with one armed fault."""
    armed = next((_armed(one) for one in records if one["kind"] == "run"), None)
    found: dict[str, dict[str, tuple[int, int]]] = defaultdict(dict)
    for one in records:
        if one["kind"] != "attempt_end" or one["role"] != "crew":
            continue
        name, scenario = armed, scenario_of(one["item"])
        if "entry" in one:
            usual = not one.get("twin") and one.get("probability") == PROBABILITY_DEFAULT
            name = one.get("fault") if usual else None
            scenario = str(one["entry"]).partition("[")[0].replace("::", ".py::", 1)
        if name not in BY_NAME:
            continue
        won, attempts = found[scenario].get(name, (0, 0))
        found[scenario][name] = (won + (one["verdict"] == BY_NAME[name].verdict), attempts + 1)
    return dict(found)


def _armed(record: Mapping[str, Any]) -> str | None:
    """Return the one fault that is armed as it was declared; None for none, several, a twin, or other numbers."""
    faults = (record.get("sim") or {}).get("faults") or []
    if len(faults) != 1 or faults[0]["twin"]:
        return None
    known = BY_NAME.get(faults[0]["name"])
    return known.name if known is not None and faults[0]["probability"] == known.probability else None


def scenario_of(item: str) -> str:
    """Return `file.py::Class` of a node id."""
    path, _, name = item.partition("::")
    return f"{Path(path).name}::{name.partition('[')[0]}"


def _text(value: str) -> str:
    return json.dumps(value, ensure_ascii=False)  # TOML's basic strings are JSON's


def _list(values: Sequence[str]) -> str:
    inner = "".join(f"    {_text(one)},\n" for one in values)
    return f"[\n{inner}]" if values else "[]"
