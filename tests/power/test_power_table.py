"""Shards of a power measurement put together: counted over the whole zoo, and refused where they do not belong together."""

from __future__ import annotations

from typing import Any

import pytest

from benchmarks.power_table import ShardError
from benchmarks.power_table import text
from stress.device.sim.zoo import FAULTS


def shard(*names: str, killed: bool = True, **changes: Any) -> dict[str, Any]:
    faults = [
        {"name": name, "measured": True, "kill_rate_per_s": 0.5, "kill_rate_low_per_s": 0.3, "kill_rate_high_per_s": 0.8,
         "kills": 12, "attempts": 30, "struck_unseen": 4, "killed": killed, "killed_95": True, "best_entry": "native::a[t8]"}
        for name in names
    ]  # fmt: skip
    return {"blind": True, "reproducibility": 0.99999, "budget_s": 64.0, "torch": "2.13.0", "workers": 1, "seconds": 10.0,
            "notes": ["no compiler"], "faults": faults, **changes}  # fmt: skip


def test_the_score_is_over_the_whole_zoo() -> None:
    told = text([shard("commit_twice"), shard("copy_torn", killed=False)])
    assert f"killed at 99.999 % in 64 s: 1 of {len(FAULTS)} (2 %" in told
    assert f"killed at 95 % in 64 s: 2 of {len(FAULTS)} (4 %" in told
    assert "| numerics | `copy_torn` | 0.50 (0.30-0.80) | 12/30 | 4 | no | yes | native::a |" in told
    assert told.count("not measured") == len(FAULTS) - 2
    assert told.count("note: no compiler") == 1


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (shard("copy_torn", blind=False), "not of one measurement"),
        (shard("copy_torn", torch="2.14.0"), "not of one measurement"),
        (shard("copy_torn", workers=2), "not of one measurement"),
        (shard("commit_twice"), "commit_twice was measured twice"),
    ],
)
def test_shards_that_do_not_belong_together_are_refused(other: dict[str, Any], message: str) -> None:
    with pytest.raises(ShardError, match=message):
        text([shard("commit_twice"), other])
