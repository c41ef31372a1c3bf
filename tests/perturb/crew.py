"""A minimal crew for these tests, also run as a program under Pythons that have no torch.

    python crew.py FUNCTION MODE LEVEL ATTEMPTS

prints one JSON object: in how many attempts the race showed, and what the threads' perturbations did.
"""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(__file__).resolve().parent
if __name__ == "__main__":
    sys.path.insert(0, str(FOLDER.parent.parent))

from stress.child.perturb import Perturbation  # noqa: E402
from stress.child.perturb import TraceScope  # noqa: E402
from tests.perturb import subject  # noqa: E402

THREADS = 8
ITERATIONS = 50
SCOPE = TraceScope((str(FOLDER),))


@dataclass
class Attempt:
    box: subject.Box
    perturbations: list[Perturbation]

    @property
    def is_wrong(self) -> bool:
        made = len(self.box.made)
        return made > 1 or (made == 0 and self.box.n != THREADS * ITERATIONS)


def attempt(
    function: Callable[[subject.Box], None], mode: str, level: str, seed: int, iterations: int = ITERATIONS
) -> Attempt:
    box = subject.Box()
    barrier = threading.Barrier(THREADS)
    perturbations: list[Perturbation] = []

    def work(index: int) -> None:
        barrier.wait()
        with Perturbation(mode, level, seed=seed, thread_index=index, scope=SCOPE) as perturbation:
            for _ in range(iterations):
                function(box)
        perturbations.append(perturbation)

    interval_s = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        threads = [threading.Thread(target=work, args=(index,)) for index in range(THREADS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(interval_s)
    return Attempt(box, perturbations)


def main() -> None:
    name, mode, level, attempts = sys.argv[1:]
    done = [attempt(getattr(subject, name), mode, level, seed) for seed in range(int(attempts))]
    monitoring = getattr(sys, "monitoring", None)
    print(
        json.dumps(
            {
                "wrong": sum(one.is_wrong for one in done),
                "points": sum(p.points for one in done for p in one.perturbations),
                "blocked": [p.blocked for one in done for p in one.perturbations if p.blocked],
                "tools_left": [monitoring.get_tool(tool) for tool in range(6)] if monitoring else None,
            }
        )
    )


if __name__ == "__main__":
    main()
