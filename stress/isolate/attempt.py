"""An attempt: one child process, its result, and the fields of its record."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from dataclasses import field
from typing import Any

from stress.isolate.judgement import Judged
from stress.isolate.supervisor import ChildRun
from stress.model.shared_write import SharedWrite
from stress.model.text import count


@dataclass
class Attempt:
    """One child and its result."""

    role: str
    number: int
    judged: Judged
    seed: int
    seconds: float
    serial: int = 0
    """Names the attempt within its run: RUN/17."""
    before: tuple[int, ...] = ()
    """Serials of the attempts that its process had served before, in order."""
    files: dict[str, str] = field(default_factory=dict)
    stderr: str = ""
    stacks: str = ""
    signature: str | None = None
    perturbation: str = "none"
    readback: str = ""
    completion: str = ""
    """Of the simulated Metal below a core; "" elsewhere."""
    order: str = ""
    """Level at which it checked the order of accesses; empty where it did not."""
    suppressed: dict[str, int] = field(default_factory=dict)
    """Suppression of order findings -> how many it hid."""
    device_order: str = ""
    """The simulated device's order, where it repeats by seed."""
    hand_overs: str = ""
    """Which thread's step began after which, as a set (`stress.model.hand_overs`); empty where one thread ran alone."""
    slots: int = 0
    """Of a reference: how many answers it has, one for each thread and iteration."""
    shared_writes: tuple[SharedWrite, ...] = ()
    """Of a reference: what its steps wrote of that which all threads share."""
    tsan: dict[str, Any] | None = None
    """ThreadSanitizer's reports, as `Outcome.to_data`; None without it."""

    @property
    def process(self) -> int:
        """Return what names its process within the run: the serial of the first attempt there."""
        return self.before[0] if self.before else self.serial

    @property
    def conditions(self) -> str:
        """Return the axes of this attempt, for the failure block."""
        if self.role != "crew":
            return self.role
        completion = f", completion {self.completion}" if self.completion else ""
        order = f", order checked at level {self.order}" if self.order else ""
        aged = f", in a process that had served {count(len(self.before), 'attempt')}" if self.before else ""
        return f"perturbation {self.perturbation}, read back {self.readback}{completion}{order}{aged}"


def end_fields(fields: Mapping[str, object], attempt: Attempt, run: ChildRun) -> dict[str, Any]:
    judged, data = attempt.judged, run.result or {}
    memory = data.get("device_memory") or {}
    return {
        **fields,
        "verdict": str(judged.verdict),
        "seconds": run.seconds,
        "headline": judged.headline,
        "exit_status": run.exit.code if run.exit is not None else None,
        "signal": judged.diagnosis.signal_name if judged.diagnosis is not None else None,
        "signature": attempt.signature,
        "tainted": bool(judged.diagnosis and judged.diagnosis.taints),
        "notes": judged.notes,
        "findings": [one.to_data() for one in judged.findings],
        "stamps": [] if judged.verdict.is_green else [vars(one) for one in judged.stamps],
        "iterations_done": int(data.get("iterations_done", 0)),
        "stderr": attempt.files.get("stderr"),
        "stacks": attempt.files.get("stacks"),
        "memory_bytes_max": run.exit.peak_rss_bytes if run.exit is not None else None,
        "device_memory_bytes_max": max(memory.values(), default=None),
        "os_threads_max": run.threads or data.get("threads_peak"),
        "cpu_s": run.exit.cpu_s if run.exit is not None else None,
        "times": data.get("times", {}),
        "pid": run.pid,
        "process": attempt.process,
        "age": len(attempt.before),
        **({"before": list(attempt.before)} if attempt.before and not judged.verdict.is_green else {}),
        **({"tsan": attempt.tsan, "tsan_log": attempt.files.get("tsan")} if attempt.tsan else {}),
        **({"shared_writes": data["shared_writes"]} if "shared_writes" in data else {}),
        **({"order": data["order"]} if "order" in data else {}),
        **({"unkept": data["unkept"]} if "unkept" in data else {}),
        **({"device_order": data["device_order"]} if "device_order" in data else {}),
        **({"hand_overs": data["hand_overs"]} if data.get("hand_overs") else {}),
        **({"strikes": _strikes(data["device_statistics"])} if "device_statistics" in data else {}),
    }


def _strikes(device_statistics: Mapping[str, int]) -> dict[str, int]:
    """Return fault -> how often it struck, of the simulated device's counters."""
    prefix = "faults_"
    return {
        name.removeprefix(prefix): count
        for name, count in device_statistics.items()
        if name.startswith(prefix) and count
    }
