"""The order checker's model against two others, on many more random programs than the tests run.

    python -m benchmarks.order_differential [PROGRAMS] [FIRST]

Programs of one thread against the event handler of `torch.cuda._sanitizer`, and programs of up to four threads, on both
levels, against a search for paths through the graph of what happened. Fails at the first program in which the model and
torch's sanitizer differ, or in which the model reports a pair that a path orders. Programs in which the model finds the
first race of a storage later than the search does are printed and counted.
"""

from __future__ import annotations

import itertools
import sys
import time
from types import SimpleNamespace

from torch.cuda import _sanitizer

from tests.order.oracle import Program
from tests.order.test_model import NoStacks
from tests.order.test_model import Replay
from tests.order.test_model import csan_and_ours
from tests.order.test_model import first_races

PROGRAMS = 100_000
SHAPES = tuple(itertools.product(("device", "strict"), ((1, 4), (3, 3), (4, 1), (2, 6))))


def against_sanitizer(programs: int) -> None:
    setattr(_sanitizer, "traceback", SimpleNamespace(StackSummary=NoStacks, walk_stack=lambda _: ()))  # noqa: B010
    started, racy = time.monotonic(), 0
    for seed in range(programs):
        csan, ours = csan_and_ours(seed, 4 + seed % 14)
        if csan != ours:
            raise SystemExit(f"program {seed}: torch's sanitizer {csan}, the model {ours}")
        racy += bool(csan)
    print(f"{programs:,} programs of one thread, {racy:,} racy: the same first error of each tensor in all "
          f"({time.monotonic() - started:.0f} s)")  # fmt: skip


def against_paths(programs: int, first: int) -> None:
    started, racy, later = time.monotonic(), 0, 0
    for number in range(first, first + programs):
        level, (threads, streams) = SHAPES[number % len(SHAPES)]
        seed = 1_000_000 + number
        program = Program(seed, threads=threads, streams=streams, length=4 + seed % 21, level=level)
        wanted, got = list(program.races()), Replay(program).run()
        if first_races(got) != first_races(wanted):
            later += 1
            print(
                f"program {seed} on level {level}: first races {first_races(wanted)}, the model {first_races(got)}",
                flush=True,
            )
        if not set(got) <= set(wanted):
            raise SystemExit(
                f"program {seed} on level {level}: by paths {wanted}, the model {got}: {program.steps}"
            )
        racy += bool(wanted)
    print(f"{programs:,} programs of up to 4 threads, {racy:,} racy: no pair reported that a path orders; the first race of a "
          f"storage missed in {later} "
          f"({time.monotonic() - started:.0f} s)")  # fmt: skip


def main() -> None:
    programs = int(sys.argv[1]) if len(sys.argv) > 1 else PROGRAMS
    first = int(sys.argv[2]) if len(sys.argv) > 2 else 0
    if not first:
        against_sanitizer(programs)
    against_paths(programs, first)


if __name__ == "__main__":
    main()
