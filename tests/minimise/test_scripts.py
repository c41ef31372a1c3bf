"""How a script's run is judged, by its exit status and its own words."""

from __future__ import annotations

import pytest

from stress.commands.minimise.scripts import verdict_of


@pytest.mark.parametrize(
    ("status", "output", "verdict"),
    [
        (0, "\n0 problems\n", "pass"),
        (-6, "assertion failed", "crash"),
        (1, "wrong value: Tensor-likes are not close! (thread 0, iteration 3)\n1 problems\n", "mismatch"),
        (1, "wrong value: 1\nexception: RuntimeError('x')\n2 problems\n", "race"),
        (1, "Timeout (0:00:10)!\nThread 0x1 (most recent call first):", "hang"),
        (1, "Traceback (most recent call last):\nImportError: no torch", "error"),
        (1, "Traceback (most recent call last):\n  File\nAssertionError: no", "mismatch"),
        (3, "", "crash"),
    ],
)
def test_verdicts(status: int, output: str, verdict: str) -> None:
    assert verdict_of(status, output) == verdict
