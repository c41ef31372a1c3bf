"""`--mps-failed-first`: recorded failures run before new attempts, with their seeds and schedules, and enter no rate."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from stress.isolate.device_choice import DeviceInfo
from stress.plugin.failed_first import PER_ITEM_MAX
from stress.plugin.failed_first import RecordedFailure
from stress.plugin.failed_first import recorded_failures
from stress.record import read_run
from tests.made_records import Made

CPU = DeviceInfo("cpu", "as the test says", {}, frozenset())
ITEM = "a.py::A[t8]"


def _run(folder: Path, *verdicts: str, device: str = "cpu", **more: Any) -> None:
    made = Made(folder, device=device, **more)
    for number, verdict in enumerate(verdicts):
        named = made.start(ITEM, serial=number + 1)
        made.write("attempt_end", **named, serial=number + 1, verdict=verdict, seconds=0.1, headline="")


class TestWhatIsRead:
    def test_failures_with_what_it_takes_to_run_them_again_the_newest_first(self, tmp_path: Path) -> None:
        _run(tmp_path / "2026-11-01T0000Z-a-1", "pass", "crash")
        _run(tmp_path / "2026-11-02T0000Z-a-2", "mismatch", "pass")
        assert recorded_failures(tmp_path, [ITEM], CPU) == {
            ITEM: [
                RecordedFailure("2026-11-02T0000Z-a-2/1", 11, 0, "op", "low", "every", "in_order"),
                RecordedFailure("2026-11-01T0000Z-a-1/2", 11, 1, "op", "low", "every", "in_order"),
            ]
        }

    def test_not_too_many_of_an_item(self, tmp_path: Path) -> None:
        _run(tmp_path / "run", *["crash"] * 9)
        assert len(recorded_failures(tmp_path, [ITEM], CPU)[ITEM]) == PER_ITEM_MAX

    @pytest.mark.parametrize(
        "more",
        [
            {"device": "mps"},
            {"command": "power"},
            {"sim": {"design": "fork", "faults": [], "schedule": "free"}},
            {"settings": {"perturb": "mad"}},
        ],
    )
    def test_nothing_of_another_device_command_or_setting(self, tmp_path: Path, more: dict[str, Any]) -> None:
        _run(tmp_path / "run", "crash", **more)
        assert recorded_failures(tmp_path, [ITEM], CPU) == {}

    def test_nothing_of_this_run_of_other_items_or_of_what_was_amended(self, tmp_path: Path) -> None:
        _run(tmp_path / "run", "crash")
        assert recorded_failures(tmp_path, [ITEM], CPU, but="run") == {}
        assert recorded_failures(tmp_path, ["b.py::B[t8]"], CPU) == {}
        made = Made(tmp_path / "other", device="cpu")
        named = made.start(ITEM, serial=1)
        for more in ({"verdict": "crash"}, {"verdict": "aged", "amends": True}):
            made.write("attempt_end", **named, serial=1, seconds=0.1, headline="", **more)
        assert len(recorded_failures(tmp_path, [ITEM], CPU)[ITEM]) == 1

    def test_no_folder_is_no_failure(self, tmp_path: Path) -> None:
        assert recorded_failures(tmp_path / "none", [ITEM], CPU) == {}


SCENARIOS = '''
import os
import threading
import torch
from stress import Scenario


class Always(Scenario):
    requires = ()

    def setup(self, device):
        return set()

    def make_input(self, generator):
        return torch.rand(4, generator=generator)

    def step(self, state, x):
        return x + 1


class Once(Always):
    """The second thread kills the process while the file `broken` is there: one thread alone has no second."""

    def step(self, state, x):
        state.add(threading.get_ident())
        if len(state) > 1 and os.path.exists("broken"):
            os.abort()
        return x + 1
'''


def _pytest(folder: Path, *args: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pytest", "test_it.py", "--mps-threads=2", "--mps-device=cpu", "--mps-attempts=2",
               "-p", "no:cacheprovider", "-v", *args]  # fmt: skip
    env = {**os.environ, "COLUMNS": "140"}
    return subprocess.run(command, capture_output=True, text=True, cwd=folder, env=env, check=False)


def _records(folder: Path, kind: str) -> list[dict[str, Any]]:
    newest = max((folder / "results" / "runs").iterdir(), key=lambda one: one.stat().st_mtime_ns)
    return [dict(one) for one in read_run(newest) if one["kind"] == kind]


def test_a_run_with_it(tmp_path: Path) -> None:
    """A scenario fails in one run; the next runs its failures first, with the same seeds, and counts them apart."""
    (tmp_path / "test_it.py").write_text(SCENARIOS)
    (tmp_path / "broken").touch()
    first = _pytest(tmp_path, "--mps-seed=5")
    assert first.returncode == 1, first.stdout
    failed = [
        one for one in _records(tmp_path, "attempt_start") if one["role"] == "crew" and "Once" in one["item"]
    ]
    again = _pytest(tmp_path, "--mps-failed-first", "--mps-seed=6")
    assert "mps: failed first: 2 recorded failures of 1 item" in again.stdout
    assert "recorded failures: 2 of 2 failed again" in again.stdout
    starts = _records(tmp_path, "attempt_start")
    assert "Once" in starts[0]["item"]
    repeated = [one for one in starts if "repeats" in one]
    axes = ("seed", "perturb", "readback", "threads", "iterations")
    assert [[one[name] for name in axes] for one in repeated] == [
        [one[name] for name in axes] for one in reversed(failed)
    ]
    assert [one["like"] for one in repeated] == [1, 0]
    (item,) = [one for one in _records(tmp_path, "item") if "Once" in one["item"]]
    assert (item["attempts"], item["recorded_attempts"], item["recorded_failures"]) == (2, 2, 2)

    (tmp_path / "broken").unlink()
    mended = _pytest(tmp_path, "--mps-failed-first")
    assert mended.returncode == 0, mended.stdout
    (item,) = [one for one in _records(tmp_path, "item") if "Once" in one["item"]]
    assert (item["counted"], item["failures"], item["recorded_failures"]) == (2, 0, 0)
    assert item["recorded_attempts"] == PER_ITEM_MAX
