"""Cases of the native suite as entries of the benchmark: armed as the zoo has it, judged by what the suite declares."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from stress.commands.power.allocation import BLIND_PATH
from stress.commands.power.allocation import AllocationError
from stress.commands.power.allocation import Entry
from stress.commands.power.allocation import load
from stress.commands.power.native import NativeAttempts
from stress.commands.power.native import resolve_native
from stress.commands.power.outcome import Kind
from stress.commands.power.subject import Subject
from stress.device.sim.zoo import BY_NAME
from stress.record import RecordWriter
from stress.record import RunFolder
from stress.record import read_run
from stress.sanitizer.native.harness import Harness
from stress.sanitizer.native.harness import NoToolchainError
from stress.sanitizer.native.harness import default_recipe

pytestmark = pytest.mark.slow
SHARED = Entry("native::shared_stream", seconds=0.1)
LOST = BY_NAME["allocator_statistics_unlocked"]


@pytest.fixture(scope="module")
def harness() -> Harness:
    try:
        return Harness.open(default_recipe(), print)
    except NoToolchainError as error:
        pytest.skip(str(error))


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    return RunFolder.create(tmp_path, "2026-01-01T0000Z-vm-0000")


@pytest.fixture
def attempts(harness: Harness, folder: RunFolder) -> Iterator[NativeAttempts]:
    writer = RecordWriter(folder, on_lost=print)
    yield NativeAttempts(harness, writer, 7)
    writer.close()


def test_a_fault_is_killed_at_the_probability_that_the_zoo_gives_it(
    attempts: NativeAttempts, harness: Harness, folder: RunFolder
) -> None:
    case = resolve_native(SHARED, harness.listing)
    found = [attempts.attempt(Subject(LOST.design, LOST), case, number)[0] for number in range(10)]
    assert Kind.KILL in [one.kind for one in found]
    assert {one.kind for one in found} <= {Kind.KILL, Kind.CLEAN}
    starts = [one for one in read_run(folder.path) if one["kind"] == "attempt_start"]
    assert dict(starts[0])["fault"] == LOST.name
    assert starts[0]["command"].endswith(f"--fault={LOST.name}:{LOST.probability!r}:{LOST.window_us}")


def test_its_twin_and_no_fault_are_silent(attempts: NativeAttempts, harness: Harness) -> None:
    case = resolve_native(SHARED, harness.listing)
    for subject in (Subject(LOST.design, LOST, twin=True), Subject(LOST.design)):
        assert {attempts.attempt(subject, case, number)[0].kind for number in range(4)} == {Kind.CLEAN}


def test_a_fault_above_the_device_is_not_in_the_program_and_costs_its_time(
    attempts: NativeAttempts, harness: Harness
) -> None:
    fault = BY_NAME["generator_unlocked"]
    assert fault.name not in harness.listing.faults
    outcome, strikes, _ = attempts.attempt(
        Subject(fault.design, fault), resolve_native(SHARED, harness.listing), 0
    )
    assert (outcome.kind, strikes) == (Kind.CLEAN, None)


def test_the_controls_hold(attempts: NativeAttempts, harness: Harness) -> None:
    assert attempts.problem(resolve_native(SHARED, harness.listing)) == ""


def test_a_case_runs_on_the_design_that_it_is_written_for(harness: Harness) -> None:
    entries = [one for one in load(BLIND_PATH) if one.is_native]
    assert {one.scenario.removeprefix("native::") for one in entries} == {
        name for name, one in harness.listing.cases.items() if "simulated" in one.platforms
    }
    designs = {one.case: one.design for one in (resolve_native(entry, harness.listing) for entry in entries)}
    assert (designs["shared_stream"], designs["stream_pool"], designs["pool_churn"]) == (
        "upstream", "fork", "fork-free-list",
    )  # fmt: skip


def test_an_unknown_case_says_which_there_are(harness: Harness) -> None:
    with pytest.raises(AllocationError, match="the native cases are stream_pool"):
        resolve_native(Entry("native::nothing"), harness.listing)


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("commit_twice:0.5:many", "'many' is no window"),
        ("commit_twice:0.5:9999999", "at most 1000000"),
        ("commit_twice:2:5", "'2' is no probability"),
        ("handler_unlocked:0.5:5", "the fault handler_unlocked has no window"),
    ],
)
def test_the_program_refuses_a_fault_that_it_cannot_arm(harness: Harness, fault: str, message: str) -> None:
    done = subprocess.run(
        [harness.program.path, "--case=shared_stream", f"--fault={fault}"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert message in done.stderr
