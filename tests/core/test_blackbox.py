"""The black box: what a dead process had stamped last can be read, and nothing else is taken for one."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from stress.model import blackbox
from stress.model.blackbox import FLAG_BODY_FINISHED
from stress.model.blackbox import FLAG_FINALISATION_ENTERED
from stress.model.blackbox import PHASES
from stress.model.blackbox import STAGES
from stress.model.blackbox import BlackBox

STEP = PHASES.index("step")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    BlackBox.create(tmp_path / "box", 3)
    return tmp_path / "box"


class TestANewBox:
    def test_has_a_slot_for_each_worker_and_the_main_thread(self, path: Path) -> None:
        snapshot = blackbox.read(path)
        assert snapshot.stage == "start"
        assert [one.worker for one in snapshot.stamps] == [0, 1, 2, None]
        assert {one.status for one in snapshot.stamps} == {"unused"}
        assert not snapshot.body_finished
        assert not snapshot.finalisation_entered

    def test_has_no_holes_that_a_full_disk_could_turn_into_a_bus_error(self, path: Path) -> None:
        status = path.stat()
        assert status.st_blocks * 512 >= status.st_size > 512 * 64

    def test_may_be_for_no_worker_or_for_very_many(self, tmp_path: Path) -> None:
        for workers in (0, 1024):
            BlackBox.create(tmp_path / "box", workers)
            box = BlackBox(tmp_path / "box", workers)
            box.writer(workers - 1 if workers else None).iteration(0, 7)
            stamps = blackbox.read(tmp_path / "box").stamps
            assert len(stamps) == workers + 1
            assert stamps[max(0, workers - 1)].iteration == 7


class TestAStamp:
    def test_is_read_as_it_was_written(self, path: Path) -> None:
        box = BlackBox(path, 3)
        box.stage("crew")
        writer = box.writer(1)
        writer.status("running")
        writer.iteration(2, 41)
        writer.phase(STEP)
        writer.op("aten.mm.default")
        snapshot = blackbox.read(path)
        assert snapshot.stage == "crew"
        assert snapshot.stamps[1] == blackbox.Stamp(1, "running", 2, 41, "step", "aten.mm.default")
        assert str(snapshot.stamps[1]) == "thread 1: running, iteration 41, step, op aten.mm.default"
        assert snapshot.stamps[0].status == snapshot.stamps[2].status == "unused"

    def test_of_the_main_thread_has_a_slot_of_its_own(self, path: Path) -> None:
        box = BlackBox(path, 3)
        writer = box.writer(None)
        writer.status("running")
        writer.phase(PHASES.index("main_step"))
        last = blackbox.read(path).stamps[-1]
        assert (last.worker, last.phase) == (None, "main_step")
        assert str(last).startswith("main thread: running")

    def test_of_a_new_phase_has_no_op_yet(self, path: Path) -> None:
        writer = BlackBox(path, 3).writer(0)
        writer.op("aten.add.Tensor")
        writer.phase(STEP)
        assert blackbox.read(path).stamps[0].op == ""
        writer.op("aten.add.Tensor")
        writer.op("")
        assert blackbox.read(path).stamps[0].op == ""

    def test_of_every_stage_has_its_name(self, path: Path) -> None:
        box = BlackBox(path, 3)
        for name in STAGES:
            box.stage(name)
            assert blackbox.read(path).stage == name

    def test_of_the_end_of_a_program_are_two_marks(self, path: Path) -> None:
        box = BlackBox(path, 3)
        box.flag(FLAG_BODY_FINISHED)
        assert (blackbox.read(path).body_finished, blackbox.read(path).finalisation_entered) == (True, False)
        box.flag(FLAG_FINALISATION_ENTERED)
        assert (blackbox.read(path).body_finished, blackbox.read(path).finalisation_entered) == (True, True)


class TestTheTableOfOps:
    def test_names_are_numbered_once(self, path: Path) -> None:
        box = BlackBox(path, 3)
        first = box.op_id("aten.mm.default")
        assert first > 0
        assert box.op_id("aten.add.Tensor") != first
        assert box.op_id("aten.mm.default") == first

    def test_that_is_full_reads_unknown_and_harms_nothing(self, path: Path) -> None:
        box = BlackBox(path, 3)
        writer = box.writer(0)
        for number in range(2000):
            writer.op(f"op number {number}")
        stamps = blackbox.read(path).stamps
        assert stamps[0].op == ""
        assert [one.status for one in stamps] == ["unused"] * 4
        writer.op("op number 0")
        assert blackbox.read(path).stamps[0].op == "op number 0"

    @pytest.mark.parametrize(
        ("name", "shown"), [("x" * 200, "x" * 64), ("größe", "größe"), ("x" * 63 + "ß", "x" * 63 + "\ufffd")]
    )
    def test_names_are_cut_to_what_fits(self, path: Path, name: str, shown: str) -> None:
        box = BlackBox(path, 3)
        writer = box.writer(0)
        writer.op(name)
        box.writer(1).op("next")
        stamps = blackbox.read(path).stamps
        assert (stamps[0].op, stamps[1].op) == (shown, "next")


class TestAKilledWriter:
    def test_leaves_a_box_that_can_be_read(self, path: Path) -> None:
        script = """
import os, signal, sys, threading
from pathlib import Path
from stress.model.blackbox import BlackBox
box = BlackBox(Path(sys.argv[1]), 3)
box.stage("crew")
started = threading.Barrier(4)
def work(worker):
    writer = box.writer(worker)
    writer.status("running")
    started.wait()
    iteration = 0
    while True:
        iteration += 1
        writer.iteration(worker, iteration)
        writer.phase(3)
        writer.op(f"op {worker}")
for worker in range(3):
    threading.Thread(target=work, args=(worker,), daemon=True).start()
started.wait()
for _ in range(200):
    os.sched_yield()
os.kill(os.getpid(), signal.SIGKILL)
"""
        done = subprocess.run([sys.executable, "-c", script, str(path)], timeout=800, check=False)
        assert done.returncode == -signal.SIGKILL
        snapshot = blackbox.read(path)
        assert snapshot.stage == "crew"
        for worker, stamp in enumerate(snapshot.stamps[:3]):
            assert stamp.status == "running"
            assert stamp.phase in ("none", "step")
            assert stamp.op in ("", f"op {worker}")
            assert stamp.wave in (0, worker)
        assert "torch" not in script


class TestWhatIsNoBox:
    @pytest.mark.parametrize(
        "data", [b"", b"x", b"\0" * 64, b"\0" * 40_000, bytes(range(256)) * 160, b"{}\n" * 8]
    )
    def test_is_refused(self, tmp_path: Path, data: bytes) -> None:
        (tmp_path / "box").write_bytes(data)
        with pytest.raises(ValueError, match="not a black box"):
            blackbox.read(tmp_path / "box")

    def test_is_one_that_was_cut(self, path: Path) -> None:
        path.write_bytes(path.read_bytes()[:-8])
        with pytest.raises(ValueError, match="not a black box"):
            blackbox.read(path)

    def test_is_one_with_an_absurd_number_of_slots(self, path: Path) -> None:
        data = bytearray(path.read_bytes())
        data[8:16] = b"\xff" * 8
        path.write_bytes(data)
        with pytest.raises(ValueError, match="not a black box"):
            blackbox.read(path)

    def test_numbers_out_of_range_are_shown_as_such(self, path: Path) -> None:
        """A process that writes through a wild pointer may hit the box too."""
        data = bytearray(path.read_bytes())
        data[16:24] = b"\xff" * 8
        for word in range(8, 8 + 4 * 8):
            data[word * 8 : word * 8 + 8] = b"\xee" * 8
        path.write_bytes(data)
        snapshot = blackbox.read(path)
        assert snapshot.stage.startswith("?")
        assert snapshot.stamps[0].status.startswith("?")
        assert snapshot.stamps[0].op == ""
        assert "thread 0" in str(snapshot.stamps[0])
