"""The report of a replay."""

from __future__ import annotations

import textwrap
from collections import Counter
from collections.abc import Sequence

from stress.commands.replay.failure_kind import FailureKind
from stress.commands.replay.find import shown
from stress.commands.replay.recorded import Recorded
from stress.commands.replay.repetition import Repeated
from stress.model import stats
from stress.model.verdict import Verdict


def heading(recorded: Recorded, device_lines: Sequence[str], notes: Sequence[str], attempts: int) -> str:
    """Return what is about to run, before it does."""
    lines = [f"{recorded.name}: {recorded.item}, {recorded.role} attempt {recorded.attempt}"]
    lines.append(f"  recorded: {_recorded_end(recorded)}")
    lines += [f"  {line.removeprefix('mps: ')}" for line in device_lines]
    lines += (
        textwrap.wrap("; ".join(notes), 116, initial_indent="  ", subsequent_indent="  ") if notes else []
    )
    level = f".{recorded.perturb_level}" if recorded.perturb != "none" else ""
    completion = f", completion {recorded.completion}" if recorded.pytorch is not None else ""
    lines.append(
        f"  {attempts} times: {recorded.threads} threads, seed {recorded.seed:#x}, perturbation "
        f"{recorded.perturb}{level}, read back {recorded.readback}{completion}"
        + (f", order checked at level {recorded.order}" if recorded.order else "")
    )
    return "\n".join(lines)


def _recorded_end(recorded: Recorded) -> str:
    if recorded.end is None:
        return "no end record: the machine went down or pytest was killed (or it still runs)"
    headline = shown(recorded.end["headline"], 200)
    return f"{shown(FailureKind.of(recorded.end), 100)}{': ' if headline else ''}{headline}"


def status(recorded: Recorded, attempts: Sequence[Repeated]) -> int:
    """Return 0 where the recorded result came again, else 1."""
    wanted = FailureKind.of(recorded.end) if recorded.end is not None else None
    again = [one.kind == wanted if wanted is not None else one.kind.is_failure for one in attempts]
    return 0 if any(again) else 1


def result(recorded: Recorded, attempts: Sequence[Repeated]) -> str:
    """Return how often it failed, how, and how faithful the repetition was."""
    counted = [one for one in attempts if Verdict(one.end["verdict"]).enters_rate]
    failed = sum(one.kind.is_failure for one in counted)
    lines = [rate_sentence(failed, len(counted), "fails")]
    wanted = FailureKind.of(recorded.end) if recorded.end is not None else None
    kinds = Counter(one.kind for one in attempts)
    for kind, count in kinds.most_common():
        same = "   as recorded" if kind == wanted else ""
        lines.append(f"  {count:4}  {shown(kind, 80)}{_names(attempts, kind)}{same}")
    if wanted is not None and wanted not in kinds:
        lines.append(f"     0  {shown(wanted, 80)}   as recorded")
    uncounted = len(attempts) - len(counted)
    if uncounted:
        lines.append(f"  {uncounted} attempts do not count for a rate: they say nothing about the device")
    return "\n".join([*lines, *fidelity(recorded, attempts)])


def rate_sentence(failed: int, n: int, verb: str) -> str:
    """Return "fails 17 of 20 (85.0 %, 95 % interval 64.0-94.8 %)"."""
    if not n:
        return f"{verb} 0 of 0: no attempt counts"
    return (
        f"{verb} {failed} of {n} ({100 * failed / n:.1f} %, 95 % interval {stats.interval_text(failed, n)})"
    )


def _names(attempts: Sequence[Repeated], kind: FailureKind) -> str:
    """Return how wrong values were wrong: it differs from attempt to attempt."""
    if kind.verdict != Verdict.MISMATCH:
        return ""
    names = Counter(
        str(one.end["findings"][0]["name"])
        for one in attempts
        if one.kind == kind and one.end.get("findings")
    )
    return f" ({', '.join(f'{name} {count}' for name, count in names.most_common())})" if names else ""


def fidelity(recorded: Recorded, attempts: Sequence[Repeated]) -> list[str]:
    """Return what the repetitions had in common with the record, as far as it was measured."""
    if recorded.sim is None or recorded.sim.schedule == "free":
        return ["fidelity: same inputs and perturbation; thread scheduling may differ"]
    orders = [str(one.end.get("device_order", "")) for one in attempts]
    counts = Counter(order for order in orders if order)
    wanted = str((recorded.end or {}).get("device_order", ""))
    notes = sorted(
        {note for one in attempts for note in one.end.get("notes", []) if "not replayable" in note}
    )
    lines = []
    if wanted and counts[wanted] == len(orders):
        lines.append(f"fidelity: exact: device order {shown(wanted, 20)} in all {len(orders)}, as recorded")
    elif wanted:
        others = ", ".join(f"{order} {count}" for order, count in counts.most_common(3) if order != wanted)
        silent = orders.count("")
        lines.append(
            f"fidelity: NOT EXACT: device order {shown(wanted, 20)} in {counts[wanted]} of {len(orders)}"
            + (f"; others: {others}" if others else "")
            + (f"; {silent} died before reporting one" if silent else "")
        )
    else:
        same = counts.most_common(1)[0] if counts else ("", 0)
        lines.append(
            "fidelity: exact by schedule, but no order was recorded to compare with (the attempt died before); "
            f"{same[1]} of {len(orders)} have the order {same[0] or 'unknown'}"
        )
    return lines + [f"  {shown(note)}" for note in notes]
