"""Ordinary tests with `--mps-order`: what their threads do to tensors without an order fails them."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.ordinary.running import Ran
from tests.ordinary.running import run

SOURCE = """
import torch
import stress

shared = torch.ones(8)
handed = torch.ones(8)

def test_shares_a_tensor():
    shared.add_(1)

def test_has_its_own():
    torch.ones(8).add_(1)

def test_takes_turns(thread_index, iteration_index):
    if thread_index == iteration_index:
        handed.add_(1)

def test_checks_by_itself():
    with stress.order.check():
        pass
"""
KNOWN = "hazard=WAW kind=host-host op=aten::add_.Tensor(self) prior=* device=cpu -- a count that may be off"


@pytest.fixture(scope="module")
def strict(tmp_path_factory: pytest.TempPathFactory) -> Ran:
    options = (
        "--mps-threads=3",
        "--mps-iterations=3",
        "--mps-all-tests",
        "--mps-no-isolation",
        "--mps-order=strict",
    )
    return run(tmp_path_factory.mktemp("strict"), SOURCE, *options)


def test_what_nothing_orders_fails_the_test_with_both_sides(strict: Ran) -> None:
    assert strict.outcome("test_shares_a_tensor") == "FAILED"
    block = strict.block("test_shares_a_tensor")
    assert "UNORDERED  write after write" in block
    assert "would do      hand over by a lock, queue or join" in block
    assert "kind=host-host op=aten::add_.Tensor(self)" in block
    assert "test_it.py:9" in block


@pytest.mark.parametrize("name", ["test_has_its_own", "test_takes_turns"])
def test_what_is_ordered_passes(strict: Ran, name: str) -> None:
    """The threads meet before each call, which orders the calls of one iteration after those before."""
    assert strict.outcome(name) == "PASSED"


def test_a_check_within_the_test_says_that_one_runs(strict: Ran) -> None:
    assert strict.outcome("test_checks_by_itself") == "FAILED"
    assert "running already, in this process or by --mps-order" in strict.block("test_checks_by_itself")


def test_suppressions_hold_here_too(tmp_path: Path) -> None:
    options = (
        "--mps-threads=3",
        "--mps-all-tests",
        "--mps-no-isolation",
        "--mps-order=strict",
        "-k",
        "shares",
        "-o",
    )
    ran = run(tmp_path, SOURCE, *options, f"mps_order_suppressions={KNOWN}")
    assert ran.outcome("test_shares_a_tensor") == "PASSED"


def test_level_device_takes_threads_as_ordered(tmp_path: Path) -> None:
    ran = run(
        tmp_path,
        SOURCE,
        "--mps-threads=3",
        "--mps-all-tests",
        "--mps-no-isolation",
        "--mps-order=all",
        "-k",
        "shares",
    )
    assert ran.outcome("test_shares_a_tensor") == "PASSED"
