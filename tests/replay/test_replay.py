"""`mps-stress replay` on real runs: of the CPU, whose races are in the scenarios, and of the simulated device."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests import warm
from tests.acceptance import Ran
from tests.acceptance import run_in

SOURCE = """
class Shared(Scenario):
    iterations = 6

    def setup(self, device):
        return {"x": torch.zeros(8)}

    def make_input(self, generator):
        return torch.randn(8, generator=generator)

    def step(self, state, x):
        state["x"] = x
        time.sleep(0.002)
        return state["x"] * 2

class Right(Shared):
    def step(self, state, x):
        return x * 2
"""


def cli(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        warm.command("stress.commands.cli", *arguments),
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=800,
        check=False,
    )
    print(done.stdout, done.stderr, sep="\n")
    return done


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Ran:
    """Return one run with an item that fails and one that passes."""
    return run_in(tmp_path_factory.mktemp("replay"), SOURCE, "--mps-attempts=2", "--mps-perturb=off")


def serial(ran: Ran, name: str) -> int:
    return int(ran.ends(name)[0]["serial"])


class TestReplay:
    def test_the_failure_block_says_how(self, ran: Ran) -> None:
        assert ran.folder is not None
        told = re.search(r"^  attempt (\d) \(", ran.text, re.M)
        assert told is not None
        shown = ran.ends("Shared[t4]")[
            int(told[1])
        ]  # the attempt with the most telling finding, whichever that is
        assert f"  replay: mps-stress replay {ran.folder.name}/{shown['serial']}\n" in ran.text

    def test_a_failure_comes_again(self, ran: Ran) -> None:
        assert ran.folder is not None
        root = ran.folder.parent.parent.parent
        done = cli(root, "replay", f"latest/{serial(ran, 'Shared[t4]')}", "--attempts=4")
        assert done.returncode == 0
        assert "fails 4 of 4 (100.0 %, 95 % interval 34.2-100.0 %)" in done.stdout
        assert "4  MISMATCH" in done.stdout
        assert "as recorded" in done.stdout
        assert "fidelity: same inputs and perturbation; thread scheduling may differ" in done.stdout

    def test_a_pass_comes_again(self, ran: Ran) -> None:
        assert ran.folder is not None
        root = ran.folder.parent.parent.parent
        done = cli(root, "replay", f"{ran.folder.name}/{serial(ran, 'Right[t4]')}", "--attempts=2")
        assert done.returncode == 0
        assert "fails 0 of 2" in done.stdout

    def test_another_result_is_told_and_is_status_1(self, ran: Ran, tmp_path: Path) -> None:
        """The record says crash, and another torch and a variable: what runs here is not that."""
        assert ran.folder is not None
        results = tmp_path / "runs"
        other = results / ran.folder.name
        other.mkdir(parents=True)
        for path in ran.folder.glob("*.jsonl"):
            lines = [json.loads(line) for line in path.read_text().splitlines()]
            for one in lines:
                if one["kind"] == "run":
                    one["environment"]["env"] |= {"LD_PRELOAD": "/evil.so", "MallocScribble": "1"}
                    one["torch"] |= {"version": "9.1", "git": "feed"}
                elif one.get("verdict") == "mismatch":
                    one["verdict"] = "crash"
            (other / path.name).write_text("".join(json.dumps(one) + "\n" for one in lines))
        root = ran.folder.parent.parent.parent
        number = serial(ran, "Shared[t4]")
        done = cli(root, "replay", str(number), "--attempts=2", f"--results={results}")
        assert done.returncode == 1
        assert "ANOTHER TORCH BUILD: version 9.1 was recorded" in " ".join(done.stdout.split())
        assert "set as recorded: MallocScribble=1" in done.stdout
        assert "LD_PRELOAD" in done.stdout
        assert "0  CRASH   as recorded" in done.stdout

    def test_an_attempt_that_is_not_there_is_one_sentence(self, ran: Ran) -> None:
        assert ran.folder is not None
        done = cli(ran.folder.parent.parent.parent, "replay", "999")
        assert done.returncode == 2
        assert done.stdout == ""
        assert done.stderr.startswith("mps-stress replay: run ")
        assert done.stderr.count("\n") == 1


@pytest.mark.skipif(sys.platform != "linux", reason="the simulated device is for Linux only")
def test_a_repeatable_schedule_is_exact(tmp_path: Path) -> None:
    source = """
    class Chain(Scenario):
        iterations = 3

        def make_input(self, generator):
            return torch.randn(8, generator=generator)

        def step(self, state, x):
            return (x * 2 + 1).tanh()
    """
    ran = run_in(
        tmp_path, source, "--mps-attempts=1", "--mps-device=sim", "--mps-sim-schedule=random", "--mps-seed=5"
    )
    order = ran.ends("Chain[t4]")[0]["device_order"]
    done = cli(tmp_path, "replay", f"latest/{serial(ran, 'Chain[t4]')}", "--attempts=3")
    assert done.returncode == 0
    assert f"fidelity: exact: device order {order} in all 3, as recorded" in done.stdout
    assert "simulated, not Metal" in done.stdout
