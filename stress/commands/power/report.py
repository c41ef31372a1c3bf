"""The result of a power run, as a table and as JSON. Every line of it says or implies: simulated."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from io import StringIO
from typing import Any

from rich.console import Console
from rich.table import Table

from stress.commands.power import estimate
from stress.commands.power.estimate import KillRate
from stress.commands.power.measurement import PowerMeasurement
from stress.commands.power.subject import Subject
from stress.commands.power.tally import Tally
from stress.device.sim.zoo import Fault
from stress.model import stats

_WIDTH = 220


@dataclass(frozen=True)
class Score:
    """Killed faults of all, by one set of rates."""

    killed: int
    undecided: int
    faults: int

    @classmethod
    def of(cls, rates: Sequence[KillRate | None], reproducibility: float = estimate.REPRODUCIBILITY) -> Score:
        """Count; a fault without a rate was not measured, so it is not killed and undecided."""
        killed = sum(one is not None and one.is_killed(reproducibility) for one in rates)
        excluded = sum(one is not None and one.is_excluded(reproducibility) for one in rates)
        return cls(killed, len(rates) - killed - excluded, len(rates))

    @property
    def share(self) -> float:
        return self.killed / self.faults if self.faults else 0.0

    @property
    def interval(self) -> tuple[float, float]:
        """Return Wilson's 95 % interval: what the zoo says of faults like its own, as if they were drawn."""
        return stats.wilson(self.killed, self.faults)

    def to_data(self) -> dict[str, object]:
        return {
            "score": self.share,
            "interval": list(self.interval),
            "killed": self.killed,
            "undecided": self.undecided,
            "faults": self.faults,
        }

    def __str__(self) -> str:
        low, high = self.interval
        undecided = f", {self.undecided} undecided" if self.undecided else ""
        return (
            f"{self.killed} of {self.faults} = {100 * self.share:.0f} % "
            f"(95 % interval over such faults {100 * low:.0f}-{100 * high:.0f} %{undecided})"
        )


def score(
    measured: PowerMeasurement, probability: float, reproducibility: float = estimate.REPRODUCIBILITY
) -> Score:
    """Return the score at one probability."""
    found = [_tally(measured, fault, probability) for fault in measured.options.faults]
    return Score.of([None if one is None else one.rate for one in found], reproducibility)


def subject(
    measured: PowerMeasurement, fault: Fault, probability: float | None = None, *, twin: bool = False
) -> Subject:
    first = measured.options.probabilities[0]
    return Subject(fault.design, fault, twin, first if probability is None else probability)


def _tally(measured: PowerMeasurement, fault: Fault, probability: float | None = None) -> Tally | None:
    return measured.tally(subject(measured, fault, probability))


# JSON


def json_text(measured: PowerMeasurement) -> str:
    """Return the result as JSON."""
    first, *others = measured.options.probabilities
    main = score(measured, first)
    data: dict[str, Any] = {
        "simulated": True,
        **main.to_data(),
        "score_95": score(measured, first, estimate.REPRODUCIBILITY_WEAK).share,
        "blind": measured.options.blind,
        "workers": measured.options.workers,
        "reproducibility": estimate.REPRODUCIBILITY,
        "budget_s": estimate.BUDGET_S,
        "scores": {f"{one:g}": score(measured, one).to_data() for one in (first, *others)},
        **_twin_data(measured),
        "faults": [_fault_data(measured, fault) for fault in measured.options.faults],
        "notes": [*measured.notes, *_tally_notes(measured)],
        "seed": measured.options.seed,
        "seconds": round(measured.seconds, 1),
        "interrupted": measured.interrupted,
        "torch": measured.torch,
        "run": measured.folder,
    }
    return json.dumps(data, indent=1, allow_nan=False)


def _twin_data(measured: PowerMeasurement) -> dict[str, object]:
    twins = [one for one in measured.tallies.values() if one.subject.twin]
    plain = [one for one in measured.tallies.values() if one.subject.fault is None]
    return {
        "twins_killed": sum(bool(one.alarms) for one in twins),
        "twin_attempts": sum(one.total.counted for one in twins),
        "twin_alarms": sum(len(one.alarms) for one in twins),
        "fault_free_attempts": sum(one.total.counted for one in plain),
        "fault_free_alarms": sum(len(one.alarms) for one in plain),
    }


def _fault_data(measured: PowerMeasurement, fault: Fault) -> dict[str, object]:
    data: dict[str, object] = {
        "name": fault.name,
        "area": fault.area,
        "design": fault.design,
        "verdict": fault.verdict,
        "probability": fault.probability,
        **_tally_data(_tally(measured, fault)),
        "scales": {
            f"{one:g}": _tally_data(_tally(measured, fault, one))
            for one in measured.options.probabilities[1:]
        },
    }
    twin = measured.tally(subject(measured, fault, twin=True))
    data["twin"] = {"attempts": twin.total.counted, "alarms": len(twin.alarms)} if twin is not None else None
    return data


def rate_data(rate: KillRate) -> dict[str, object]:
    low, high = rate.bounds_per_s
    return {
        "kill_rate_per_s": rate.per_s,
        "kill_rate_low_per_s": low,
        "kill_rate_high_per_s": high if rate.attempt_s > 0 else None,
        "killed": rate.is_killed(),
        "killed_95": rate.is_killed(estimate.REPRODUCIBILITY_WEAK),
        "seconds": round(rate.attempt_s, 3),
    }


def _tally_data(tally: Tally | None) -> dict[str, object]:
    if tally is None:
        return {"kill_rate_per_s": 0.0, "killed": False, "measured": False}
    total = tally.total
    return {
        "measured": True,
        **rate_data(tally.rate),
        "reference_seconds": round(tally.rate.reference_s, 3),
        "attempts": total.attempts,
        "kills": total.kills,
        "wrong_verdicts": total.wrong_verdicts,
        "right_verdict_share": total.kills / total.failures if total.failures else None,
        "right_name_share": total.right_names / total.kills if total.kills else None,
        "names": dict(total.names.most_common()),
        "strikes_per_s": total.strikes / tally.rate.attempt_s if total.seconds else 0.0,
        "attempts_that_told_strikes": total.reported,
        "struck_unseen": total.struck_unseen,
        "best_entry": tally.best_entry,
        "undecided": not (tally.rate.is_killed() or tally.rate.is_excluded()),
        "entries": {
            name: {"attempts": one.attempts, "seconds": round(one.seconds, 3), "kills": one.kills,
                   "wrong_verdicts": one.wrong_verdicts, "strikes": one.strikes}
            for name, one in tally.entries.items()
        },
    }  # fmt: skip


# the table


def text(measured: PowerMeasurement) -> str:
    """Return the table with everything that belongs to it."""
    parts = [
        _table(measured),
        "",
        *_score_lines(measured),
        *_decision_lines(measured),
        *_alarm_lines(measured),
    ]
    parts += [f"note: {one}" for one in (*measured.notes, *_tally_notes(measured))]
    if measured.interrupted:
        parts.append("INTERRUPTED: results measured until then")
    parts.append(
        f"simulated device, torch {measured.torch}, seed {measured.options.seed:#x}, {measured.seconds:.0f} s"
    )
    parts.append(f"records: {measured.folder}")
    return "\n".join(parts)


def _table(measured: PowerMeasurement) -> str:
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    for heading in ("fault", "kills/s (95 %)", "killed", "95 %", "verdict", "right", "named", "kills"):
        table.add_column(heading, no_wrap=True)
    table.add_column("twin", no_wrap=True)
    table.add_column("best entry", no_wrap=True)
    area = ""
    for fault in measured.options.faults:
        if fault.area != area:
            area = fault.area
            table.add_row(area)
        table.add_row(*_row(measured, fault))
    buffer = StringIO()
    Console(file=buffer, width=_WIDTH, force_terminal=False, color_system=None, highlight=False).print(table)
    return "\n".join(line.rstrip() for line in buffer.getvalue().splitlines())


def _row(measured: PowerMeasurement, fault: Fault) -> list[str]:
    tally = _tally(measured, fault)
    if tally is None:
        cells = [f" {fault.name}", "not measured", "-", "-", fault.verdict, "-", "-", "-"]
    else:
        total, rate = tally.total, tally.rate
        low, high = rate.bounds_per_s
        cells = [
            f" {fault.name}",
            f"{rate.per_s:.2f} ({low:.2f}-{high:.2f})" if rate.attempt_s > 0 else "-",
            killed(rate, estimate.REPRODUCIBILITY),
            killed(rate, estimate.REPRODUCIBILITY_WEAK),
            fault.verdict,
            _percent(total.kills, total.failures),
            f"{_percent(total.right_names, total.kills)} {_top(total.names)}".strip(),
            f"{total.kills}/{total.attempts}",
        ]
    twin = measured.tally(subject(measured, fault, twin=True))
    cells.append("-" if twin is None else f"{len(twin.alarms)}/{twin.total.counted}")
    cells.append((tally.best_entry if tally is not None else None) or "-")
    return cells


def killed(rate: KillRate, reproducibility: float) -> str:
    if rate.is_killed(reproducibility):
        return "KILLED"
    return "no" if rate.is_excluded(reproducibility) else "undecided"


def _percent(part: int, whole: int) -> str:
    return f"{100 * part / whole:.0f} %" if whole else "-"


def _top(names: Counter[str]) -> str:
    return ", ".join(name for name, _ in names.most_common(1))


def _score_lines(measured: PowerMeasurement) -> list[str]:
    first, *others = measured.options.probabilities
    weak = score(measured, first, estimate.REPRODUCIBILITY_WEAK)
    how = (
        "the same allocation for every fault, as if it were unknown"
        if measured.options.blind
        else "each fault's seconds spent where earlier records say"
    )
    budget = estimate.budget_text(measured.options.workers)
    lines = [
        f"score, killed at 99.999 % {budget}: {score(measured, first)}; {how}",
        f"killed at 95 % {budget}:            {weak}",
    ]
    lines += [f"score at probability {one:g}: {score(measured, one)}" for one in others]
    if measured.options.twins:
        data = _twin_data(measured)
        lines.append(
            f"twins killed: {data['twins_killed']} ({data['twin_alarms']} of {data['twin_attempts']} attempts failed); "
            f"without any fault {data['fault_free_alarms']} of {data['fault_free_attempts']}"
        )
    return lines


def _decision_lines(measured: PowerMeasurement) -> list[str]:
    """Say where the seconds were too few: "undecided" is not a property of a fault."""
    main = score(measured, measured.options.probabilities[0])
    needed_s = estimate.seconds_to_decide(estimate.KILLS_MIN, 0.0)
    lines = [
        f"watching a fault ended at {estimate.KILLS_MIN} to {estimate.KILLS_MAX} kills, at the end of its seconds, or "
        "when even the upper bound was too low for 95 %"
    ]
    if main.undecided:
        lines.append(
            f"--seconds={measured.options.seconds:g} was too little to decide {main.undecided} of {main.faults} faults: "
            f"a fault near the limit needs at least {needed_s:.0f} s for itself"
        )
    return lines


def _alarm_lines(measured: PowerMeasurement) -> list[str]:
    """Print every failure where nothing was wrong, in full."""
    lines = []
    for tally in measured.tallies.values():
        for alarm in tally.alarms:
            lines.append(
                f"FALSE ALARM: {alarm.label}, {alarm.entry}: {alarm.outcome.verdict}: {alarm.end['headline']}"
            )
            lines += [f"  {line}" for line in json.dumps(alarm.end, indent=1).splitlines()]
    return lines


def _tally_notes(measured: PowerMeasurement) -> list[str]:
    return [f"{tally.subject.label}: {note}" for tally in measured.tallies.values() for note in tally.notes]
