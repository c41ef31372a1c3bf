"""The real command on the real simulated device: a fault that every entry sees, its twin, and the records."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from stress.device.sim.toolchain import find_compiler
from stress.model.errors import BuildError
from stress.record import RunReader
from tests import warm

FAULT, OTHER = "pool_binding_lost", "scalar_buffer_reused"


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Return what `mps-stress power --json` printed."""
    if sys.platform != "linux":
        pytest.skip("the simulated device is for Linux only")
    try:
        find_compiler()
    except BuildError as error:
        pytest.skip(str(error))
    folder = tmp_path_factory.mktemp("power")
    command = warm.command("stress.commands.cli", "power", f"--faults={FAULT},{OTHER}", "--workers=2", "--seconds=30", "--json")  # fmt: skip
    # The first use builds the device; a busy machine takes minutes for that.
    done = subprocess.run(
        [*command, f"--results={folder}"], capture_output=True, text=True, timeout=800, check=False
    )
    print(done.stdout, done.stderr, sep="\n")
    assert done.returncode == 0
    data: dict[str, Any] = json.loads(done.stdout)
    return data


class TestPower:
    def test_a_fault_that_everything_sees_is_killed_under_its_name(self, measured: dict[str, Any]) -> None:
        assert [one["name"] for one in measured["faults"]] == [FAULT, OTHER]
        for fault in measured["faults"]:
            assert fault["kills"] > 0
            assert fault["kill_rate_per_s"] > 0
            assert fault["strikes_per_s"] > 0
            assert fault["right_name_share"] >= 0.9
        assert measured["score"] in (0.0, 0.5, 1.0)

    def test_no_twin_is_killed(self, measured: dict[str, Any]) -> None:
        assert measured["twins_killed"] == 0
        assert measured["twin_attempts"] > 0
        assert measured["fault_free_alarms"] == 0

    def test_the_records_tell_the_same(self, measured: dict[str, Any]) -> None:
        reader = RunReader(Path(measured["run"]))
        records: list[dict[str, Any]] = [dict(one) for one in reader]
        assert reader.problems == []
        (run,) = [one for one in records if one["kind"] == "run"]
        assert (run["command"], run["simulated"], run["seed"]) == ("power", True, measured["seed"])
        assert all(one["simulated"] for one in records)
        for fault in measured["faults"]:
            name = fault["name"]
            attempts = [
                one
                for one in records
                if one["kind"] == "attempt_end"
                and one["role"] == "crew"
                and (one["fault"], one["twin"], one["probability"]) == (name, False, 0.01)
            ]
            assert len(attempts) == fault["attempts"]
            assert sum(one["verdict"] == fault["verdict"] for one in attempts) == fault["kills"]
            assert sum(one.get("strikes", {}).get(name, 0) for one in attempts) > 0
