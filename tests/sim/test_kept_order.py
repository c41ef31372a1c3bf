"""Promised against kept order on the simulated device: what each fault breaks, that twins and racy programs break nothing."""

from __future__ import annotations

import functools
import sys
from typing import Any

import pytest

from stress.commands.power.outcome import Kind
from stress.commands.power.outcome import classify
from stress.device.sim.build import default_builder
from stress.device.sim.zoo import BY_NAME
from stress.device.sim.zoo import FAULTS
from stress.order.broken_promise import PROMISES
from stress.order.broken_promise import BrokenPromise
from stress.order.broken_promise import most_telling_first
from tests.sim.kept_order_program import CLEAR
from tests.sim.kept_order_program import DESIGNS
from tests.sim.programs import answer

on_linux = pytest.mark.skipif(sys.platform != "linux", reason="the simulated device is for Linux")
OF_ORDER = [one for one in FAULTS if one.unkept]
LINE = "reuse\tWAR\taten::fill_\tstream 2, thread 1, iteration 0\taten::mm\tstream 3\tbytes 0-3 of 4 allocated bytes\tp\tk\t2"


@functools.cache
def outcomes() -> dict[str, Any]:
    build = default_builder().ensure(print)
    return answer("tests.sim.kept_order_program", str(build.library), build.key)


@on_linux
@pytest.mark.parametrize("fault", CLEAR)
def test_a_missing_order_is_found_whatever_the_values_are(fault: str) -> None:
    assert CLEAR[fault] in outcomes()[fault]
    assert CLEAR[fault] in BY_NAME[fault].unkept


@on_linux
@pytest.mark.parametrize("fault", [one.name for one in OF_ORDER])
def test_a_twin_keeps_what_it_promises(fault: str) -> None:
    assert outcomes()[f"{fault} twin"] == []


@on_linux
@pytest.mark.parametrize("kind", ["", " replayable", " racy"])
@pytest.mark.parametrize("design", DESIGNS)
def test_a_sound_device_keeps_what_it_promises(design: str, kind: str) -> None:
    """A racy program too: what it never ordered is its own affair."""
    assert outcomes()[f"{design}{kind}"] == []


@on_linux
def test_without_the_check_nothing_is_found() -> None:
    assert outcomes()["unchecked"] == []


def test_faults_name_promises_that_exist() -> None:
    assert {name for one in OF_ORDER for name in one.unkept} <= set(PROMISES)
    assert len(OF_ORDER) >= 18


def test_a_line_becomes_a_report_with_its_owner() -> None:
    one = BrokenPromise.from_line(LINE)
    assert (one.name, one.count) == ("unkept/reuse", 2)
    assert one.signature == "promise=reuse hazard=WAR op=aten::fill_ prior=aten::mm"
    assert (
        one.text.splitlines()[0] == "memory that is given out again: bytes 0-3 of 4 allocated bytes, 2 times"
    )
    assert "owner         the device" in one.text
    assert BrokenPromise.from_data(one.to_data()) == one
    other = BrokenPromise.from_line(
        LINE.replace("bytes 0-3 of 4 allocated bytes", "").replace("reuse", "wait")
    )
    assert most_telling_first([other, one]) == [one, other]


@pytest.mark.parametrize(
    "line", ["", "reuse", LINE.replace("reuse", "x"), LINE.replace("WAR", "RAR"), LINE + "x", LINE + "\t1"]
)
def test_any_other_line_is_refused(line: str) -> None:
    with pytest.raises(ValueError, match="no broken promise"):
        BrokenPromise.from_line(line)


@pytest.mark.parametrize(
    "data", [{}, {"promise": "none"}, {**BrokenPromise.from_line(LINE).to_data(), "promise": "x"}]
)
def test_any_other_data_is_refused(data: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="no broken promise"):
        BrokenPromise.from_data(data)


def test_power_counts_it_as_a_kill_where_the_bug_is_a_missing_order() -> None:
    end = {"verdict": "unkept", "signature": "unkept/wait", "findings": []}
    killed = classify(BY_NAME["event_wait_missing"], end, {})
    assert (killed.kind, killed.right_name) == (Kind.KILL, True)
    misnamed = classify(BY_NAME["copy_source_freed"], end, {})
    assert (misnamed.kind, misnamed.right_name) == (Kind.KILL, False)
    assert classify(BY_NAME["generator_unlocked"], end, {}).kind == Kind.WRONG_VERDICT
    assert classify(None, end, {}).kind == Kind.WRONG_VERDICT
