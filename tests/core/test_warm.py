"""The fork servers that tests borrow: what a run starts itself and what it borrows end alike, or it borrows none."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests import warm
from tests.core.processes import pid_in
from tests.core.processes import wait_for
from tests.core.processes import wait_until_gone
from tests.core.processes import write_scenarios
from tests.core.test_orphans import HANGS

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="pidfd")


class Asked:
    """What `stress.isolate.fork_server` asks for, without asking."""

    def __init__(self, log: Path) -> None:
        self.ours, self.theirs = socket.socketpair()
        self.log = log.open("wb")

    def borrow(self) -> warm.Borrowed | None:
        number = self.theirs.fileno()
        return warm.borrow([str(number), "0", ""], [number], self.log.fileno())


@pytest.fixture
def asked(tmp_path: Path) -> Iterator[Asked]:
    one = Asked(tmp_path / "log")
    yield one
    for file in (one.ours, one.theirs, one.log):
        file.close()


class TestABorrowedServer:
    def test_ends_with_the_process_that_asked(self, tmp_path: Path) -> None:
        write_scenarios(tmp_path, HANGS)
        args = ["-p", "no:cacheprovider", "--mps-device=cpu", "--mps-threads=2", "--mps-attempts=1"]
        process = subprocess.Popen(
            warm.command("pytest", *args, "--mps-deadline=600"),
            cwd=tmp_path, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
        )  # fmt: skip
        try:
            wait_for("the hang", lambda: pid_in(tmp_path / "child") or process.poll() is not None)
            pids = [pid_in(tmp_path / name) or 0 for name in ("server", "child", "grandchild")]
            assert not {one.pid for one in psutil.Process(process.pid).children()} & set(pids), (
                "its own server"
            )
        finally:
            process.kill()
            process.wait()
        wait_until_gone(*pids)

    def test_ends_with_its_connection(self, asked: Asked) -> None:
        server = asked.borrow()
        assert server is not None
        assert b"ready" in asked.ours.recv(1000)
        assert server.poll() is None
        asked.theirs.close()
        asked.ours.close()
        assert server.wait(800) == 0

    @pytest.mark.parametrize("name", ["OMP_NUM_THREADS", "LD_PRELOAD", "PYTHONPATH", "TORCH_LOGS"])
    def test_is_none_for_an_environment_that_torch_reads(
        self, asked: Asked, monkeypatch: pytest.MonkeyPatch, name: str
    ) -> None:
        monkeypatch.setenv(name, "1")
        assert asked.borrow() is None
