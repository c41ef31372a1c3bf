"""A process that a scenario's step spawns, as user code does, and that computes on the same device. Child processes only.

`multiprocessing`'s own spawn: a fresh interpreter that imports torch again. The function that it runs has to be
importable there, which a scenario file need not be.
"""

from __future__ import annotations

import multiprocessing
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING

from stress.model.spec import ChildSpec

if TYPE_CHECKING:
    import torch

ANSWER_S_MAX = 40.0
_ROUNDS = 8


@dataclass(frozen=True)
class Answer:
    """The spawned process's answer."""

    wrong: int
    """Wrong elements of its own computation; -1 where it did not answer."""
    status: int
    """Its exit status; negative for a signal."""


def compute(device: torch.device) -> Answer:
    """Spawn a process that computes on `device`, and wait for its answer and its end."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=_child, args=(theirs, device.type, _loaded(device)), daemon=True)
    process.start()
    theirs.close()
    wrong = -1
    try:
        if ours.poll(ANSWER_S_MAX):
            wrong = ours.recv()
    except EOFError:  # it died
        pass
    finally:
        ours.close()
        process.join(ANSWER_S_MAX)
        if process.is_alive():
            process.kill()
            process.join()
    return Answer(wrong, process.exitcode or 0)


def _loaded(device: torch.device) -> ChildSpec:
    """Return what a spawned process has to load by itself to have the same device."""
    from stress.device import preparation

    return ChildSpec("crew") if device.type == "cpu" else preparation.loaded()


def _child(connection: Connection, device_type: str, loaded: ChildSpec) -> None:
    """Compute what has one right value, and send how many elements differ from it."""
    import torch

    from stress.device import preparation
    from stress.scenario.exact import climb
    from stress.scenario.exact import count_wrong
    from stress.scenario.exact import shift_matrix

    torch.set_num_threads(1)
    preparation.prepare(loaded)
    shift = shift_matrix(64).to(device_type)
    wrong = sum(
        int(count_wrong(climb(float(turn), shift, rows=32, steps=4), turn + 4)) for turn in range(_ROUNDS)
    )
    connection.send(wrong)
    connection.close()
