"""Objects that a step writes and that all threads share: how a child reports them, and how a person reads it."""

from __future__ import annotations

from collections.abc import Iterable
from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import asdict
from dataclasses import dataclass
from typing import Any

NAMES_MAX = 3
"""Names in one sentence; the record has all."""
STEP, FIRST_STEP = "step", "the first step"


@dataclass(frozen=True)
class SharedWrite:
    """One object, attribute or variable that a step wrote in the sequential run."""

    name: str
    """"TinyGPT.k_cache", or "`_MASK` in module mypkg.model"."""
    kind: str
    """"tensor", "parameter", "gradient", "attribute", "contents" (of a container), "generator" or "cache"."""
    writer: str
    """`STEP` where steps of several threads write it, `FIRST_STEP` where only the first one of all does, or the step
    of one thread ("the step of thread 0"), or "main_step"."""

    def to_data(self) -> dict[str, Any]:
        return asdict(self)


def from_data(data: Iterable[Mapping[str, Any]]) -> tuple[SharedWrite, ...]:
    """Return what `to_data` made; what a record adds to it is left out."""
    return tuple(SharedWrite(*(str(one.get(key, "")) for key in ("name", "kind", "writer"))) for one in data)


def sentence(writes: Sequence[SharedWrite]) -> str:
    """Return "step writes TinyGPT.k_cache, which all threads share"; an empty text for no writes."""
    writers = sorted({one.writer for one in writes}, key=lambda one: (one != STEP, one != FIRST_STEP, one))
    parts = [
        f"{one} writes {_listed([write.name for write in writes if write.writer == one])}" for one in writers
    ]
    return f"{'; '.join(parts)}, which all threads share" if parts else ""


def _listed(names: Sequence[str]) -> str:
    shown = list(names[:NAMES_MAX])
    if len(names) > NAMES_MAX:
        shown.append(f"{len(names) - NAMES_MAX} more (in the record)")
    return shown[0] if len(shown) == 1 else f"{', '.join(shown[:-1])} and {shown[-1]}"
