"""The controls: planted races that a child must report before silence means anything. The child's side imports torch.

They run in one child, under the options and suppressions of the attempts. All go through torch's dispatcher, from
Python threads without the GIL, because a suppression that matches a frame there silences everything that a scenario does.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING
from typing import Any

from stress.diagnose.tsan.report import Parsed
from stress.diagnose.tsan.report import Report
from stress.model.finding import Finding
from stress.sanitizer.python.findings import operation_of

if TYPE_CHECKING:
    import torch

    from stress.model.spec import ChildSpec

VARIABLE = "mps_race_canary"
VARIABLE_BYTES = 4
HISTORY_VARIABLE = "mps_race_canary_history"
KERNEL = "mps_race_canary_kernel"
_NAMES = {
    VARIABLE: "canary",
    HISTORY_VARIABLE: "history canary",
    KERNEL: "kernel canary",
}


def problem_of(parsed: Parsed) -> str:
    """Return why the silence of other children proves nothing; empty where exactly the planted races were reported."""
    seen = Counter(map(_planted, parsed.reports))
    missing = [text for name, text in _NAMES.items() if not seen[name]]
    others = [
        name for name, one in zip(parsed.signatures, parsed.reports, strict=True) if _planted(one) is None
    ]
    if missing:
        return f"{', '.join(missing)} not found"
    if others:
        return f"the controls reported a race where there is none: {others[0]}"
    return ""


def _planted(report: Report) -> str | None:
    """Return which planted race a report is of; None for any other."""
    place = report.location
    if place is not None and place.kind == "global" and place.size == VARIABLE_BYTES:
        return place.name if place.name in (VARIABLE, HISTORY_VARIABLE) else None
    sides = report.accesses
    return KERNEL if len(sides) == 2 and {operation_of(one) for one in sides} == {KERNEL} else None


def run(spec: ChildSpec, result: dict[str, Any]) -> list[Finding]:
    """Race where it is planted, and work where nothing may be reported."""
    import torch

    from stress.device.devices import open_device
    from stress.device.sim import loading

    torch.set_num_threads(1)
    device, ops = open_device(spec.device), loading.ops()
    memory = torch.zeros(16, device=device.torch_device)
    device.synchronize()
    _both(lambda first: ops.tsan_canary(memory, 1 if first else 2))
    _both(lambda first: ops.tsan_canary_history(memory, first))
    device.synchronize()
    _both(lambda first: ops.tsan_guarded(memory, 1 if first else 2))
    if spec.core is None:
        _hand_over(memory, ops)
    else:
        _take_turns(memory)
    device.synchronize()
    result["control"] = True
    return []


def _both(step: Callable[[bool], object]) -> None:
    """Run `step` in two threads; one is the first."""
    threads = [threading.Thread(target=step, args=(first,)) for first in (True, False)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()


def _take_turns(memory: torch.Tensor) -> None:
    """Use one tensor from two threads, one after the other, on the one stream, which ThreadSanitizer must see."""
    first_is_done = threading.Event()

    def take(first: bool) -> None:
        if first:
            memory.add_(1)
            first_is_done.set()
        else:
            first_is_done.wait()
            memory.cpu()

    _both(take)


def _hand_over(memory: torch.Tensor, ops: Any) -> None:
    """Use one tensor on two streams, ordered by an event, which ThreadSanitizer must see."""
    event = ops.event_acquire(False)
    recorded = threading.Event()

    def produce() -> None:
        ops.exchange_current_stream(1)
        memory.add_(1)
        ops.event_record(event, 1)
        recorded.set()

    def consume() -> None:
        ops.exchange_current_stream(2)
        recorded.wait()
        ops.event_wait(event, 2)
        memory.add_(1)

    _both(lambda first: produce() if first else consume())
    ops.event_release(event)
