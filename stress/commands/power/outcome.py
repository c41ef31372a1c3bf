"""The outcome of one attempt for its fault: a kill, a wrong verdict, nothing, or nothing that counts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from stress.device.sim.zoo import Fault
from stress.model.verdict import Verdict


class Kind(StrEnum):
    """How an attempt counts."""

    KILL = "kill"
    WRONG_VERDICT = "wrong verdict"
    CLEAN = "clean"
    UNUSABLE = "unusable"
    """Inconclusive, broken, an error or out of memory: it cost its time and says nothing."""


@dataclass(frozen=True)
class Outcome:
    """One attempt, judged against what the fault declares."""

    kind: Kind
    verdict: str
    name: str
    """What the failure was called: signature, finding or signal; empty where nothing failed."""
    right_name: bool = False


def classify(fault: Fault | None, end: Mapping[str, Any], acceptable: Mapping[str, str]) -> Outcome:
    """Return the outcome for the fields of an `attempt_end` record; any failure without a fault is wrong."""
    verdict = Verdict(end["verdict"])
    if verdict.is_green or verdict in acceptable:
        return Outcome(Kind.CLEAN, str(verdict), "")
    names = names_of(end)
    if not verdict.is_failure:
        return Outcome(Kind.UNUSABLE, str(verdict), names[0])
    if fault is not None and verdict == Verdict.UNKEPT and fault.unkept:
        return Outcome(
            Kind.KILL, str(verdict), names[0], names[0] in {f"unkept/{one}" for one in fault.unkept}
        )
    if fault is None or verdict != fault.verdict:
        return Outcome(Kind.WRONG_VERDICT, str(verdict), names[0])
    return Outcome(Kind.KILL, str(verdict), names[0], not set(names).isdisjoint(fault.names))


def names_of(end: Mapping[str, Any]) -> list[str]:
    """Return what a failed attempt was called, the most telling first: at least one name."""
    verdict = str(end["verdict"])
    finding = next((one["name"] for one in end.get("findings", ()) if one["verdict"] == verdict), None)
    # A process that died leaves findings only by chance: how it died is what it is called.
    own = [end.get("signature"), end.get("signal"), finding]
    if verdict not in (Verdict.CRASH, Verdict.HANG):
        own = [end.get("signature"), finding]
    return [*(str(one) for one in own if one), verdict]
