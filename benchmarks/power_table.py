"""The score and the table of `docs/power.md`, from what `mps-stress power --json` printed: one run, or shards of the faults.

    mps-stress power --blind --no-twins --probability=0.01 --faults=A,B --seconds=200 --json > a.json    # and so on for the others
    python -m benchmarks.power_table a.json b.json ...

Shards must be of one kind (`--blind` or not) and name each fault once; a fault of the zoo that none of them names is listed as not
measured, and counts as not killed.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from stress.commands.power.estimate import budget_text
from stress.device.sim.zoo import FAULTS
from stress.model import stats


class ShardError(ValueError):
    """Outputs that cannot be put together; the text says why."""


def merged(shards: Sequence[Mapping[str, Any]]) -> dict[str, Mapping[str, Any]]:
    """Return fault -> what its shard says; raise `ShardError` for shards that are not of one measurement."""
    kinds = {
        (one["blind"], one["reproducibility"], one["budget_s"], one["torch"], one["workers"])
        for one in shards
    }
    if len(kinds) > 1:
        raise ShardError(f"not of one measurement: {sorted(map(str, kinds))}")
    rows: dict[str, Mapping[str, Any]] = {}
    for shard in shards:
        for fault in shard["faults"]:
            if fault["name"] in rows:
                raise ShardError(f"{fault['name']} was measured twice: which one is to count?")
            if fault["measured"]:
                rows[fault["name"]] = fault
    return rows


def score(rows: Mapping[str, Mapping[str, Any]], key: str) -> str:
    """Return how many faults of the zoo are killed, with Wilson's interval."""
    killed = sum(bool(one[key]) for one in rows.values())
    low, high = stats.wilson(killed, len(FAULTS))
    return (
        f"{killed} of {len(FAULTS)} ({100 * killed / len(FAULTS):.0f} %, 95 % interval over such faults "
        f"{100 * low:.0f}-{100 * high:.0f} %)"
    )


def text(shards: Sequence[Mapping[str, Any]]) -> str:
    """Return both scores, what was seen of each fault, and by what."""
    rows = merged(shards)
    budget = budget_text(shards[0]["workers"])
    lines = [
        f"{'blind' if shards[0]['blind'] else 'aimed'}, torch {shards[0]['torch']}, {sum(one['seconds'] for one in shards):.0f} s",
        f"killed at 99.999 % {budget}: {score(rows, 'killed')}",
        f"killed at 95 % {budget}: {score(rows, 'killed_95')}",
        *(f"note: {note}" for note in dict.fromkeys(note for one in shards for note in one["notes"])),
        "",
        "| area | fault | kills/s (95 %) | kills/attempts | struck unseen | killed | at 95 % | by |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    return "\n".join([*lines, *(_row(one.area, one.name, rows.get(one.name)) for one in FAULTS)])


def _row(area: str, name: str, row: Mapping[str, Any] | None) -> str:
    if row is None:
        return f"| {area} | `{name}` | not measured | | | no | no | |"
    high = row["kill_rate_high_per_s"]
    interval = f"{row['kill_rate_low_per_s']:.2f}-{high:.2f}" if high is not None else "-"
    best = (row["best_entry"] or "").partition("[")[0]
    words = ["yes" if row[key] else "no" for key in ("killed", "killed_95")]
    return (
        f"| {area} | `{name}` | {row['kill_rate_per_s']:.2f} ({interval}) | {row['kills']}/{row['attempts']} | "
        f"{row['struck_unseen']} | {words[0]} | {words[1]} | {best} |"
    )


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "shards", nargs="+", metavar="SHARD.json", help="what mps-stress power --json printed"
    )
    paths = parser.parse_args().shards
    try:
        print(text([json.loads(Path(path).read_text()) for path in paths]))
    except (OSError, ValueError) as error:
        print(f"power_table: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
