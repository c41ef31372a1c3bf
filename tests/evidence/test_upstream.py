"""Upstream's own tests with two builds, from the records of `mps-stress upstream`: what passes on the stock one only."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from stress.commands.evidence.document import document_of
from stress.commands.evidence.options import EvidenceOptions
from tests.made_records import FORK
from tests.made_records import TORCH
from tests.made_records import Made

PASSES: dict[str, Any] = {"alone": "passed", "verdict": "pass"}
STOCK = {
    "test_a": PASSES,
    "test_b": PASSES,
    "test_c": {"alone": "failed", "verdict": "error", "headline": "1 != 2"},
    "test_d": {"alone": "skipped", "verdict": "pass"},
    "test_e": PASSES,
    "test_f": {"alone": "xfailed", "verdict": "pass"},
    "test_g": PASSES,
}


def upstream_run(folder: Path, tests: dict[str, dict[str, Any]], **fields: Any) -> Path:
    """Write what `mps-stress upstream` records of these tests: alone, and from threads where they pass."""
    made = Made(folder, command="upstream", upstream={"tree": "2.15.0", "files": ["test_mps.py"]}, **fields)
    for name, one in tests.items():
        ran = int(one["alone"] == "passed")
        fails = int(one["verdict"] not in ("pass", "error"))
        made.write(
            "item", item=f"test_mps.py::TestMPS::{name}", seconds=1.0, attempts=ran, counted=ran,
            failures=fails * ran, verdicts={one["verdict"]: 1}, **{"headline": "", **one},
        )  # fmt: skip
    made.end()
    return folder


def document(tmp_path: Path, patched: dict[str, dict[str, Any]], **fields: Any) -> str:
    base = upstream_run(tmp_path / "base", STOCK, torch=TORCH, **fields)
    new = upstream_run(tmp_path / "new", patched, torch=FORK, **fields)
    return document_of(EvidenceOptions((new,), base=(base,)), "made now")


def test_what_is_lost_is_named_alone_and_from_threads(tmp_path: Path) -> None:
    patched = {
        **STOCK,
        "test_b": {"alone": "crash", "verdict": "crash", "headline": "SIGABRT"},
        "test_e": {"alone": "passed", "verdict": "race", "headline": "exception: always fails"},
    }
    del patched["test_g"]  # died half way: what did not run has not passed
    text = document(tmp_path, patched)
    assert "3 tests with a different outcome; 3 tests pass on stock torch only." in text
    assert "| `test_mps.py::TestMPS::test_b` | passed | crash | `SIGABRT` |" in text
    assert (
        "| `test_mps.py::TestMPS::test_e` | passed | race from threads | `exception: always fails` |" in text
    )
    assert "| `test_mps.py::TestMPS::test_g` | passed | not run |  |" in text
    assert (
        "| 5 | 1 | 0 | 0 | 1 | 0 |" in text
    )  # stock: passed, failed, crashed, hung, skipped, from threads only
    assert "| upstream's own tests pass as before | not met | 3 tests pass on stock torch only |" in text


def test_as_before_is_shown(tmp_path: Path) -> None:
    text = document(tmp_path, STOCK)
    assert "| upstream's own tests pass as before | shown | 7 tests ran on both builds, once each |" in text


def test_the_simulated_device_shows_nothing_of_it(tmp_path: Path) -> None:
    text = document(tmp_path, STOCK, device="sim", simulated=True)
    assert "| upstream's own tests pass as before | not shown |" in text
    assert "on the simulated device only" in text


@pytest.mark.parametrize("with_base", [False, True])
def test_one_build_is_not_compared(tmp_path: Path, with_base: bool) -> None:
    new = upstream_run(tmp_path / "new", STOCK)
    other = Made(tmp_path / "base")
    other.item("a.py::S[t8]", "pass", 5, 0)
    other.end()
    text = document_of(EvidenceOptions((new,), base=(tmp_path / "base",) if with_base else ()), "made now")
    assert "run mps-stress upstream with both builds" in text
    assert "before and after</summary>" not in text


def test_the_newest_run_of_each_build_counts(tmp_path: Path) -> None:
    upstream_run(tmp_path / "base" / "1", {"test_a": {"alone": "failed", "verdict": "error"}}, time=1.0)
    upstream_run(tmp_path / "base" / "2", {"test_a": PASSES}, time=2_000.0)
    new = upstream_run(tmp_path / "new", {"test_a": {"alone": "failed", "verdict": "error"}}, torch=FORK)
    text = document_of(EvidenceOptions((new,), base=(tmp_path / "base",)), "made now")
    assert "1 test pass on stock torch only" in text
