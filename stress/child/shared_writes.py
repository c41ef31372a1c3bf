"""Find out what of the author's a step writes: compare all that threads share before and after single steps.

This runs in the reference child, within its first sequential run: a cache that only the first step of a process fills
is filled there, and nowhere later. Only what lies between two snapshots around a step counts, so what `setup` writes
does not.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterable
from collections.abc import Iterator
from collections.abc import Sequence
from typing import Any

from stress.child.authors_modules import AuthorsModules
from stress.child.shared_objects import SharedObjects
from stress.child.shared_objects import SharedPath
from stress.child.shared_objects import SharedPlace
from stress.model.plan import Slot
from stress.model.shared_write import FIRST_STEP
from stress.model.shared_write import STEP
from stress.model.shared_write import SharedWrite

STEPS_WATCHED, _WORKERS_MAX = 2, 8
_ROW_MAX = 3
"""More parameters of one model than this are counted, not listed."""
_NUMBERED = re.compile(r"\[(\d|\.\.\.)")
_LAST = {"parameter": 1, "gradient": 2}
"""Kinds that are shown last: of a training step they are many, and known."""


class SharedWrites:
    """Watches the first steps of the first threads of a sequential run."""

    def __init__(self, scenario: Any, roles: int, modules: AuthorsModules) -> None:
        self._scenario, self._modules = scenario, modules
        self.problem = ""
        """Why nothing more is known, in words; empty if all was compared."""
        self._workers = min(2 * roles, _WORKERS_MAX)
        self._writers: dict[SharedPlace, set[tuple[int, int]]] = {}
        self._before: SharedObjects | None = None
        self._first: tuple[int, int] | None = None
        self._main_steps = 0
        self._by_main_step: dict[SharedPlace, None] = {}

    def before(self, slot: Slot, states: Sequence[Any]) -> None:
        """Call it before a step."""
        if not self._watches(slot):
            self._before = None
        elif self._before is None:
            self._before = self._snapshot(states)

    def after(self, slot: Slot, states: Sequence[Any]) -> None:
        """Call it after the step, before anything else runs."""
        if self._before is None or not self._watches(slot):
            return
        self._first = self._first or (slot.worker, slot.iteration)
        now = self._snapshot(states)
        for place in self._before.changes(now) if now is not None else ():
            self._writers.setdefault(place, set()).add((slot.worker, slot.iteration))
        self._before = now

    @contextlib.contextmanager
    def around_main_step(self, states: Sequence[Any]) -> Iterator[None]:
        """Run one `main_step` in it: what that writes is no step's."""
        watches = self._main_steps < STEPS_WATCHED and not self.problem
        self._main_steps += 1
        before = self._snapshot(states) if watches else None
        yield
        self._before = None
        after = self._snapshot(states) if before is not None else None
        if before is not None and after is not None:
            self._by_main_step.update(dict.fromkeys(before.changes(after)))

    def found(self) -> list[SharedWrite]:
        """Return what was written: models' own tensors and attributes first, then parameters, then gradients."""
        made: dict[str, SharedWrite] = {}
        for place, slots in self._writers.items():
            workers = {worker for worker, _ in slots}
            if len(workers) > 1:
                writer = STEP
            elif _NUMBERED.search(place.path.text):
                continue  # it may be one of several that threads have of their own: caches[thread]
            elif slots == {self._first}:
                writer = FIRST_STEP
            else:
                writer = f"the step of thread {min(workers)}"
            known = made.get(str(place.path))
            if known is None or (known.writer != STEP and writer == STEP):
                kind = known.kind if known is not None else place.kind
                made[str(place.path)] = SharedWrite(str(place.path), kind, writer)
        for place in self._by_main_step:
            made.setdefault(str(place.path), SharedWrite(str(place.path), place.kind, "main_step"))
        return sorted(_counted(made.values()), key=lambda one: _LAST.get(one.kind, 0))

    def _watches(self, slot: Slot) -> bool:
        return not self.problem and slot.worker < self._workers and slot.iteration < STEPS_WATCHED

    def _snapshot(self, states: Sequence[Any]) -> SharedObjects | None:
        try:
            return self._of_all(states)
        except Exception as error:  # the author's objects, which may answer a look with anything
            self.problem = f"what a step writes is not known: {type(error).__name__}: {error}"
            return None

    def _of_all(self, states: Sequence[Any]) -> SharedObjects:
        scenario = (self._scenario, SharedPath(type(self._scenario).__name__))
        modules = [(module, SharedPath("", module.__name__)) for module in self._modules.loaded()]
        if len(states) == 1:
            return SharedObjects([(states[0], SharedPath("state")), scenario, *modules], self._modules)
        # Each thread has a state of its own: shared is what two of them reach.
        snapshot, other = (
            SharedObjects([(state, SharedPath("state"))], self._modules) for state in states[:2]
        )
        shared = SharedObjects([scenario, *modules], self._modules)
        shared.marks.update({key: mark for key, mark in snapshot.marks.items() if key in other.marks})
        return shared


def _counted(writes: Iterable[SharedWrite]) -> list[SharedWrite]:
    """Replace many parameters, or gradients, of one model by their number."""
    kept: list[SharedWrite] = []
    rows: dict[tuple[str, str, str], list[SharedWrite]] = {}
    for one in writes:
        if one.kind in ("parameter", "gradient") and not one.name.startswith("`"):
            rows.setdefault((one.kind, one.writer, one.name.partition(".")[0]), []).append(one)
        else:
            kept.append(one)
    for (kind, writer, root), row in rows.items():
        if len(row) <= _ROW_MAX:
            kept += row
            continue
        what = f"{len(row)} parameters" if kind == "parameter" else f"the gradients of {len(row)} parameters"
        kept.append(SharedWrite(f"{what} of {root}", kind, writer))
    return kept
