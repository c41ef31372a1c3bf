"""The order checker's model against two others, on many more random programs than the tests run.

    python -m benchmarks.order_differential [PROGRAMS]

Programs of one thread against the event handler of `torch.cuda._sanitizer`, and programs of up to four threads, on both
levels, against a search for paths through the graph of what happened. Fails at the first program that gets two answers.
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


def against_paths(programs: int) -> None:
    started, racy = time.monotonic(), 0
    for number in range(programs):
        level, (threads, streams) = SHAPES[number % len(SHAPES)]
        seed = 1_000_000 + number
        program = Program(seed, threads=threads, streams=streams, length=4 + seed % 21, level=level)
        wanted, got = list(program.races()), Replay(program).run()
        if first_races(got) != first_races(wanted) or not set(got) <= set(wanted):
            raise SystemExit(
                f"program {seed} on level {level}: by paths {wanted}, the model {got}: {program.steps}"
            )
        racy += bool(wanted)
    print(f"{programs:,} programs of up to 4 threads, {racy:,} racy: the same pairs in all "
          f"({time.monotonic() - started:.0f} s)")  # fmt: skip


def main() -> None:
    programs = int(sys.argv[1]) if len(sys.argv) > 1 else PROGRAMS
    against_sanitizer(programs)
    against_paths(programs)


if __name__ == "__main__":
    main()
