"""Whose turn it is: half of the time for all alike, half for what fails. Pure arithmetic."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

FLOOR = 0.5
"""Share of the time that all items get alike: what has not failed yet may do so in its next attempt."""
SETTLED_FAILURES = 50
"""This many failures fix a rate within about 30 %; another one teaches less than a first one elsewhere."""
_SECONDS_MIN = 1.0


@dataclass(frozen=True, slots=True)
class Standing:
    """What an item has cost and brought so far."""

    seconds: float
    turns: int
    failures: int


def shares(standings: Sequence[Standing]) -> list[float]:
    """Return the share of the time that each item gets from now on; they add up to 1.

    Beyond the floor it is proportional to failures per second. An item with `SETTLED_FAILURES` keeps its floor.
    """
    if not standings:
        return []
    gains = [
        one.failures / max(one.seconds, _SECONDS_MIN) if one.failures < SETTLED_FAILURES else 0.0
        for one in standings
    ]
    total = sum(gains)
    equal = 1.0 / len(standings)
    if not total:
        return [equal] * len(standings)
    return [FLOOR * equal + (1.0 - FLOOR) * gain / total for gain in gains]


def chances(standings: Sequence[Standing]) -> list[float]:
    """Return how likely each item's turn is next: its share of the time over what a turn of it takes."""
    return [
        share / max(one.seconds / max(one.turns, 1), 1e-3)
        for share, one in zip(shares(standings), standings, strict=True)
    ]
