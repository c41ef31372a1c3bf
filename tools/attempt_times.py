"""Where the time of a run went: the seconds of its attempts, by role and by what they did.

    python tools/attempt_times.py results/runs/RUN

`other` is what is in no part: starting the process, or giving it the next attempt, writing the result, and putting the
process back to what it was. Roles are apart for first attempts of a process and for later ones.
"""

from __future__ import annotations

import argparse
import statistics
from collections import Counter
from collections import defaultdict
from collections.abc import Iterable
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from stress.record import RunReader


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run", type=Path, help="the folder of a run")
    for line in lines(RunReader(parser.parse_args().run)):
        print(line)


def lines(records: Iterable[Mapping[str, Any]]) -> list[str]:
    """Return a line for each role and kind of process, and one of how many items had how many attempts."""
    kinds: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
    attempts: Counter[str] = Counter()
    for one in records:
        # A native case has no parts: its attempt is one process of its own program.
        if one["kind"] == "attempt_end" and "times" in one and not one.get("amends"):
            kinds[f"{one['role']}, {'older' if one.get('age') else 'fresh'} process"].append(one)
            attempts[one["item"]] += one["role"] == "crew"
    made = [_line(name, ends) for name, ends in sorted(kinds.items())]
    numbers = Counter(attempts.values())
    told = ", ".join(
        f"{items} items with {number}" for number, items in sorted(numbers.items(), reverse=True)
    )
    return [*made, f"attempts of crews: {told}"]


def _line(name: str, ends: list[Mapping[str, Any]]) -> str:
    seconds = [float(one["seconds"]) for one in ends]
    parts: Counter[str] = Counter()
    for one in ends:
        parts.update(one["times"])
    parts["other"] = sum(seconds) - sum(parts.values())  # type: ignore[assignment]
    shares = ", ".join(f"{part.removesuffix('_s')} {took:.1f}" for part, took in parts.most_common())
    return f"{name}: {len(ends)}, {sum(seconds):.1f} s, median {statistics.median(seconds):.3f}, most {max(seconds):.1f}: {shares}"


if __name__ == "__main__":
    main()
