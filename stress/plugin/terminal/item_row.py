"""A line of the closing table, as it crosses from pytest-xdist's workers to the controller: plain data only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from dataclasses import dataclass
from dataclasses import field
from typing import Any

from stress.model import stats
from stress.model.verdict import Verdict


def rate_text(row: ItemRow) -> str:
    """Return "11.2-46.9 %", or "below 13.9 %" without a failure; empty where no attempt counts."""
    if not row.counted:
        return ""
    if not row.failures:
        return f"below {100 * stats.failure_rate_bound(row.units):.1f} %"
    return stats.interval_text(row.failures, row.units)


@dataclass(frozen=True, kw_only=True)
class ItemRow:
    """What the progress, the table and the sentences below it need of an item that ran."""

    item: str
    word: str
    verdict: Verdict
    counted: int
    failures: int
    processes: int | None = None
    """In which the attempts that count ran; None for one each."""
    headline: str
    simulated: bool
    is_core: bool = False
    """It ran on a PyTorch tree's own core; `simulated`, too."""
    canary: bool = False
    one_thread: bool = False
    """It is green, and no threads were tested."""
    controls: int = 0
    control_failures: int = 0
    recorded: int = 0
    recorded_failures: int = 0
    """Failures of earlier runs, run again: how many, and how many failed again."""
    was: str = ""
    """Its word in the last run on this device, where that was another one."""
    words: Mapping[str, int] = field(default_factory=dict)
    """Word -> attempts that failed so, the most severe first."""
    signature: str | None = None
    kind: str = ""
    """Of an item that is not green: the kind of its first failure. Failures of one kind share a block."""
    alike: int = 0
    """Attempts that failed in this kind."""
    notes: tuple[str, ...] = ()
    tsan: Mapping[str, Any] | None = None
    """What ThreadSanitizer said in all attempts; None without it."""
    order: Mapping[str, Any] | None = None
    """How many attempts checked the order of accesses, and how often each suppression hid a finding; None without any."""
    hand_overs: tuple[int, int, int] = (0, 0, 0)
    """Attempts, hand-overs between threads in them, and those that one attempt alone had."""
    canaries: Mapping[str, Any] | None = None
    """Of a native program: `report_text.canaries`. Its canaries are no items."""
    sentence: str = ""
    """Of a native case: what it is worth, below the table."""

    @property
    def units(self) -> int:
        """Return what may be claimed from: attempts that count, those of one process once."""
        return self.counted if self.processes is None else self.processes

    @property
    def is_clean(self) -> bool:
        """Whether nothing failed in attempts of which some count; acceptable failures are green, too."""
        return self.verdict.is_green and bool(self.counted) and not self.failures and not self.one_thread

    def to_data(self) -> dict[str, Any]:
        """Return what `from_data` takes, also after a way through JSON."""
        return {**asdict(self), "verdict": str(self.verdict)}

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> ItemRow:
        tuples = {name: tuple(data[name]) for name in ("notes", "hand_overs") if name in data}
        return cls(**{**data, "verdict": Verdict(data["verdict"]), **tuples})
