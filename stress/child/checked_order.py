"""The order check of an attempt: what it finds, and whose a wrong value is."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from collections.abc import Sequence
from typing import Any
from typing import Self

from stress.model.finding import Finding
from stress.model.verdict import Verdict
from stress.order import suppressions
from stress.order.broken_promise import BrokenPromise
from stress.order.broken_promise import most_telling_first

_TOLD_MAX = 20
"""Pairs that become findings of their own; all are counted."""


class NoOrder:
    """An attempt without the check."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def start(self) -> None:
        return None

    def stop(self, result: dict[str, Any]) -> list[Finding]:
        return []

    def blame(self, findings: Iterable[Finding]) -> None:
        return None


class CheckedOrder(NoOrder):
    """An attempt with it: from `start`, before the crew, to `stop`, after the scenario's arbiter."""

    def __init__(self, level: str, known: Sequence[str] = ()) -> None:
        # Not above: it is fifteen files, and most attempts, each in a process that was just forked, have no check.
        from stress.order.session import OrderSession

        self._level, self._known = level, known
        self._session = OrderSession(level)

    def start(self) -> None:
        self._session.start()

    def __exit__(self, *_: object) -> None:
        if type(self._session).active is self._session:  # the attempt ended before its check did
            self._session.stop()

    def stop(self, result: dict[str, Any]) -> list[Finding]:
        """End the check, and return a finding for each unordered pair that is not suppressed; `result` gets the figures."""
        self._session.stop()
        found = self._session.check
        suppressed: Counter[str] = Counter()
        news = []
        for pair in found.findings:
            pattern = suppressions.matching(pair.signature, self._known)
            if pattern is None:
                news.append(pair)
            else:
                suppressed[pattern] += 1
        result["order"] = {
            "level": self._level,
            "accesses": found.accesses,
            "unordered": found.unordered,
            "not_seen": found.not_seen,
            "pairs": [one.to_data() for one in news[:_TOLD_MAX]],
            **({"suppressed": dict(suppressed)} if suppressed else {}),
        }
        result["notes"] += [f"order: {one}" for one in dict.fromkeys(found.problems)]
        return [Finding(Verdict.UNORDERED, one.kind, one.text) for one in news[:_TOLD_MAX]]

    def blame(self, findings: Iterable[Finding]) -> None:
        """Say at the first wrong value whose it is, as far as the order shows it."""
        found = self._session.check
        wrong = next((one for one in findings if one.verdict == Verdict.MISMATCH), None)
        if wrong is None:
            return
        if found.unordered:
            said = f"the scenario itself has {found.unordered} unordered pairs ({found.summary})"
        elif not found.accesses:
            said = f"level {self._level} has seen no access of a stream, so that it says nothing"
        elif self._level == "device":
            # Two threads on one stream may still be in any order: that is no matter of this level.
            said = (
                f"streams, host memory and reuse are in order ({found.summary}); whether the threads are, "
                "--mps-order=strict looks at"
            )
        else:
            said = (
                f"the scenario orders all its accesses to tensors ({found.summary}): the value is the backend's, unless "
                "it comes from state that is no tensor"
            )
        wrong.text += f"\n  order: {said}"


def unkept(lines: Iterable[str], result: dict[str, Any]) -> list[Finding]:
    """Return a finding for each promise that the device did not keep; `result` gets them as data."""
    broken = most_telling_first([BrokenPromise.from_line(one) for one in lines])
    if broken:
        result["unkept"] = [one.to_data() for one in broken[:_TOLD_MAX]]
    return [Finding(Verdict.UNKEPT, one.promise, one.text) for one in broken[:_TOLD_MAX]]


def blame_device(findings: Iterable[Finding]) -> None:
    """Say at the first wrong value that the device broke a promise, if it did: then the value is its own."""
    findings = list(findings)
    broken = [one.name for one in findings if one.verdict == Verdict.UNKEPT]
    wrong = next((one for one in findings if one.verdict == Verdict.MISMATCH), None)
    if broken and wrong is not None:
        names = ", ".join(dict.fromkeys(broken))
        wrong.text += f"\n  order: the device did not keep {len(broken)} orders that it promised ({names}): the value is its own"


def checked_order(level: str, known: Sequence[str] = ()) -> NoOrder:
    """Return the check of an attempt: an empty level is none. `known` are patterns of findings that are no news."""
    return CheckedOrder(level, known) if level else NoOrder()
