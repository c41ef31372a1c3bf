"""Runs on the simulated device: what they find, and that nothing in them can be taken for Metal.

They share one build, which is the only one of these tests that takes its time.
"""

from __future__ import annotations

import re
import subprocess
import sys
import xml.etree.ElementTree
from pathlib import Path

import psutil
import pytest

from stress.device.sim.build import default_builder
from stress.device.sim.settings import SimSettings
from stress.device.torch_installation import KEY_VARIABLE
from stress.isolate.supervisor import Supervisor
from stress.model.spec import ChildSpec
from tests import warm
from tests.acceptance import Ran
from tests.acceptance import RunStress
from tests.acceptance import run_in

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the simulated device is for Linux")

SIM = "--mps-device=sim"
SUBJECT = """
class Adds(Scenario):
    iterations = 10
    def setup(self, device):
        return torch.ones(64, device=device)
    def make_input(self, generator):
        return torch.randn(64, generator=generator)
    def step(self, state, x):
        return state + x

class Copies(Scenario):
    iterations = 20
    def make_input(self, generator):
        return torch.randn(4096, generator=generator)
    def step(self, state, x):
        y = torch.empty_like(x)
        y.copy_(x)
        return y

class Aborts(Adds):
    def step(self, state, x):
        if sum(one.name.startswith("crew") for one in threading.enumerate()) > 1:
            os.abort()
        return state + x

class RaisesOnTheDevice(Adds):
    def step(self, state, x):
        if x.device.type != "cpu":
            raise ValueError("not on this device")
        return state + x

class RaisesAtTimes(Adds):
    def step(self, state, x):
        if x.device.type != "cpu":
            self.calls = getattr(self, "calls", 0) + 1
            if self.calls % 7 == 0:
                raise ValueError("not this time")
        return state + x

class Slots(Scenario):
    requires = ["release_slot", "batch_queue", "per_thread_streams"]
    def step(self, state, x):
        ones = torch.full((2,), float(stress.current().thread_index), device="mps").cpu()
        torch.mps.release_current_thread_slot()
        return ones

class Doubles(Scenario):
    requires = ["float64"]
    def step(self, state, x):
        return torch.ones(2, dtype=torch.float64, device="mps")
"""

UPSTREAM = """
class Streams(Scenario):
    def step(self, state, x):
        with torch.mps.stream(torch.mps.Stream()) as stream:
            ones = torch.full((2,), float(stress.current().thread_index), device="mps")
            stream.synchronize()
        return ones.cpu()
"""


@pytest.fixture(scope="module", autouse=True)
def build(build_cache: Path) -> None:
    """Build the device before any run that may wait for it only so long."""
    default_builder().ensure(print)


@pytest.fixture(scope="module")
def faultless(tmp_path_factory: pytest.TempPathFactory) -> Ran:
    given = ["--mps-attempts=2", "-v", "-rs", "--junitxml=junit.xml", SIM, "--mps-sim-design=fork"]
    return run_in(tmp_path_factory.mktemp("sim"), SUBJECT, *given)


@pytest.fixture(scope="module")
def faulty(tmp_path_factory: pytest.TempPathFactory) -> Ran:
    given = ["-k", "Copies", "--mps-attempts=2", "--mps-sim-faults=copy_torn:1", SIM]
    return run_in(tmp_path_factory.mktemp("sim"), SUBJECT, *given)


class TestARunWithoutFaults:
    def test_says_in_the_header_what_it_is(self, faultless: Ran) -> None:
        faultless.result.stdout.fnmatch_lines(
            ["mps: device sim (simulated, not Metal; design fork; as asked), torch *"]
        )
        assert "faults armed" not in faultless.text

    def test_passes_what_is_right(self, faultless: Ran) -> None:
        verdicts = {name: one["verdict"] for name, one in faultless.items.items()}
        assert verdicts == {
            "Adds[t4]": "pass",
            "Copies[t4]": "pass",
            "Aborts[t4]": "crash",
            "RaisesOnTheDevice[t4]": "error",
            "RaisesAtTimes[t4]": "error",
            "Slots[t4]": "pass",
        }
        assert "one thread alone raises ValueError: not on this device" in faultless.text

    def test_skips_what_the_design_has_not(self, faultless: Ran) -> None:
        assert "sim here has no float64" in faultless.text

    def test_isolates_its_attempts(self, faultless: Ran) -> None:
        ends = faultless.ends("Aborts[t4]")
        assert [one["signal"] for one in ends] == ["SIGABRT", "SIGABRT"]
        assert len({one["pid"] for one in ends}) == 2

    def test_says_simulated_in_every_record(self, faultless: Ran) -> None:
        assert {one["simulated"] for one in faultless.records} == {True}
        run = faultless.records[0]
        assert run["device"] == "sim"
        sim = run["sim"]
        assert (sim["design"], sim["faults"], sim["schedule"]) == ("fork", [], "free")
        assert sim["key"] in ("mps", "privateuseone")
        assert len(sim["library_sha256"]) == 64
        torch = run["torch"]  # of the build, which has no MPS
        assert not torch["mps_built"]
        assert not torch["mps_available"]
        assert not torch["features"]["torch.mps.BatchQueue"]

    def test_says_simulated_where_a_failure_is_shown(self, faultless: Ran) -> None:
        block = faultless.text.partition("= FAILURES =")[2].partition("= mps-stress")[0]
        assert "on the simulated device, not on Metal (design fork; no fault armed)" in block
        assert "a lock in Python does not order them: --mps-sim-design=upstream is PyTorch's" in block
        assert re.search(r"repeat: pytest .* --mps-device=sim .*--mps-sim-design=fork", block)

    def test_closes_with_what_it_is_worth(self, faultless: Ran) -> None:
        closing = faultless.text.partition("= mps-stress (simulated device) =")[2]
        assert "simulated device: this proves the detector, and says nothing about Metal" in closing

    def test_says_simulated_in_the_junit_report(self, faultless: Ran) -> None:
        assert faultless.folder is not None
        report = xml.etree.ElementTree.parse(faultless.folder.parents[2] / "junit.xml")
        cases = [case for case in report.iter("testcase") if case.find("skipped") is None]
        told = [
            {one.attrib["name"]: one.attrib["value"] for one in case.iter("property")}["mps_simulated"]
            for case in cases
        ]
        assert told == ["True"] * len(cases) != []
        failure = next(report.iter("failure"))
        assert failure.attrib["message"].startswith(
            "CRASH SIGABRT in 2 of 2 attempts on the simulated device"
        )


class TestAFault:
    def test_is_named_in_the_header(self, faulty: Ran) -> None:
        faulty.result.stdout.fnmatch_lines(
            ["mps: faults armed on the simulated device: copy_torn (probability 1); design fork has the bug"]
        )

    def test_is_found_and_needs_the_threads(self, faulty: Ran) -> None:
        item = faulty.items["Copies[t4]"]
        assert (item["verdict"], item["control_failures"]) == ("mismatch", 0)

    def test_is_named_where_its_failure_is_shown(self, faulty: Ran) -> None:
        assert "not on Metal (design fork; copy_torn (probability 1))" in faulty.text
        assert re.search(
            r"repeat: pytest .* --mps-device=sim .*--mps-sim-faults=copy_torn:1.0:0 --mps-sim-design=fork",
            faulty.text,
        )

    def test_stands_in_the_record(self, faulty: Ran) -> None:
        (fault,) = faulty.records[0]["sim"]["faults"]
        assert fault == {"name": "copy_torn", "twin": False, "probability": 1.0, "window_us": 0}

    def test_twin_is_not_found(self, run_stress: RunStress) -> None:
        ran = run_stress(
            SUBJECT, "-k", "Copies", "--mps-attempts=2", "--mps-sim-faults=copy_torn/twin:1", SIM
        )
        assert ran.items["Copies[t4]"]["verdict"] == "pass"
        ran.result.stdout.fnmatch_lines(
            [
                "mps: faults armed*: copy_torn (the twin: it takes the safe path; prob*1); design fork has the bug"
            ]
        )


LOCKED = """
class Locked(Scenario):
    iterations = 20
    def setup(self, device):
        return {"scratch": torch.zeros(4096).to(device), "lock": threading.Lock()}
    def make_input(self, generator):
        return torch.randn(4096, generator=generator)
    def step(self, state, x):
        with state["lock"]:
            state["scratch"].copy_(x)
            return state["scratch"] * 2
"""


class TestTheUpstreamDesign:
    def test_is_the_default_so_a_correct_lock_is_right(self, run_stress: RunStress) -> None:
        assert run_stress(LOCKED, "--mps-attempts=3", SIM).items["Locked[t4]"]["verdict"] == "pass"
        fork = run_stress(LOCKED, "--mps-attempts=3", SIM, "--mps-sim-design=fork")
        assert fork.items["Locked[t4]"]["verdict"] == "mismatch"

    def test_has_streams_and_no_slots(self, run_stress: RunStress) -> None:
        ran = run_stress(
            SUBJECT + UPSTREAM,
            "-k",
            "Streams or Slots",
            "--mps-attempts=1",
            "-rs",
            SIM,
        )
        assert ran.items["Streams[t4]"]["verdict"] == "pass"
        ran.result.stdout.fnmatch_lines(
            ["mps: device sim (simulated, not Metal; design upstream; as asked), torch *"]
        )
        skipped = (
            "sim here has no release_slot, batch_queue, per_thread_streams: --mps-sim-design=fork has it"
        )
        assert skipped in ran.text

    def test_gives_each_thread_a_stream_on_request(self, run_stress: RunStress) -> None:
        given = ["-k", "Adds", "--mps-attempts=1", SIM, "--mps-streams=per-thread"]
        assert run_stress(SUBJECT, *given).items["Adds[t4]"]["verdict"] == "pass"


class TestARepeatableSchedule:
    @pytest.mark.parametrize("schedule", ["random", "pct:2"])
    def test_has_one_device_order_per_seed(self, tmp_path: Path, schedule: str) -> None:
        orders = []
        for number, seed in enumerate((1, 1, 2)):
            given = [
                SIM,
                f"--mps-sim-schedule={schedule}",
                f"--mps-seed={seed}",
                "--mps-attempts=3",
                "-k",
                "Adds",
            ]
            ran = run_in(tmp_path / str(number), SUBJECT, *given)
            ends = ran.ends("Adds[t4]")
            assert [one["verdict"] for one in ends] == ["pass"] * 3
            assert not [note for one in ends for note in one["notes"]]
            orders.append([one["device_order"] for one in ends])
            ran.result.stdout.fnmatch_lines(
                [f"mps: the simulated device's order is repeatable (schedule {schedule})"]
            )
        assert orders[0] == orders[1]
        assert orders[0] != orders[2]
        assert len(set(orders[0])) == 3  # attempts differ

    def test_says_when_a_lock_of_the_users_spoils_it(self, run_stress: RunStress) -> None:
        source = """
class Locks(Scenario):
    iterations = 3
    def setup(self, device):
        self.lock = threading.Lock()
        return torch.ones(8, device=device)
    def step(self, state, x):
        with self.lock:
            y = state + stress.current().thread_index
            time.sleep(0.01)
            y = y * 2
        return y
"""
        ran = run_stress(source, SIM, "--mps-sim-schedule=random", "--mps-attempts=1")
        assert "not replayable: " in ran.text


class TestTheChoiceOfDevice:
    def test_takes_the_simulated_one_where_there_is_no_mps(self, run_stress: RunStress) -> None:
        ran = run_stress(SUBJECT, "-k", "Adds", "--mps-attempts=1", "--mps-device=auto")
        ran.result.stdout.fnmatch_lines(
            ["mps: device sim (simulated, not Metal; design upstream; auto: no MPS off macOS), torch *"]
        )

    def without_compiler(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("PATH", "/nowhere")
        monkeypatch.delenv("CXX", raising=False)

    def test_falls_back_to_the_cpu_and_says_why(
        self, run_stress: RunStress, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        self.without_compiler(monkeypatch)
        ran = run_stress(SUBJECT, "-k", "Adds", "--mps-attempts=1", "--mps-device=auto")
        assert ran.result.ret == pytest.ExitCode.OK
        ran.result.stdout.fnmatch_lines(
            [
                "mps: device cpu (auto: no MPS off macOS; the simulated device cannot be built: no C++ compiler "
                "(g++ or clang++) was found on PATH: *), torch *"
            ]
        )
        assert ran.records[0]["simulated"] is False
        assert "simulated" not in ran.records[-1]

    def test_does_not_fall_back_when_asked_for(
        self, run_stress: RunStress, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        self.without_compiler(monkeypatch)
        ran = run_stress(SUBJECT, SIM)
        assert ran.result.ret == pytest.ExitCode.USAGE_ERROR
        told = "\n".join(ran.result.errlines)
        assert "--mps-device=sim: the simulated device cannot be built: no C++ compiler" in told
        assert "--mps-device=cpu runs the scenarios on the CPU" in told
        assert ran.folder is None

    def test_does_not_fall_back_below_a_fault(
        self, run_stress: RunStress, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        self.without_compiler(monkeypatch)
        ran = run_stress(SUBJECT, "--mps-device=auto", "--mps-sim-faults=copy_torn")
        assert ran.result.ret == pytest.ExitCode.USAGE_ERROR
        assert "--mps-sim-faults: this is for the simulated device alone, not for cpu" in "\n".join(
            ran.result.errlines
        )


class TestTheSpareKey:
    SOURCE = """
class Adds(Scenario):
    iterations = 10
    def make_input(self, generator):
        return torch.randn(64, generator=generator)
    def step(self, state, x):
        assert x.device.type == "sim"
        return x + torch.rand(64, device=x.device) * 0

class Module(ProcessScenario):
    def body(self, device):
        assert device.type == "sim"
        assert torch.sim.is_available() and torch.sim.device_count() == 1
        assert not torch.backends.mps.is_available()
        start, end = torch.sim.Event(enable_timing=True), torch.sim.Event(enable_timing=True)
        start.record()
        x = torch.ones(1000, device=device) * 2
        end.record()
        torch.sim.synchronize()
        assert end.query() and start.elapsed_time(end) > 0
        assert torch.sim.driver_allocated_memory() >= torch.sim.current_allocated_memory() >= 4000
        drawn = []
        for _ in range(2):
            torch.manual_seed(7)
            drawn.append(torch.rand(3, device=device).tolist())
        assert drawn[0] == drawn[1]
"""

    def test_serves_where_torch_has_another_accelerator(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv(KEY_VARIABLE, "privateuseone")
        default_builder().ensure(print)
        ran = run_in(tmp_path, self.SOURCE, "--mps-attempts=1", SIM)
        assert {name: one["verdict"] for name, one in ran.items.items()} == {
            "Adds[t4]": "pass",
            "Module[t4]": "pass",
        }
        assert ran.records[0]["sim"]["key"] == "privateuseone"

    def test_is_the_only_one_to_ask_for(self, run_stress: RunStress, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv(KEY_VARIABLE, "cuda")
        ran = run_stress(SUBJECT, SIM)
        assert ran.result.ret == pytest.ExitCode.USAGE_ERROR
        assert "MPS_STRESS_SIM_KEY=cuda: the only possible value is privateuseone" in "\n".join(
            ran.result.errlines
        )


class TestTheForkServer:
    def test_has_one_thread_with_the_device_loaded(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A second one would not survive the fork, and what it holds stays held."""
        monkeypatch.setattr(subprocess, "Popen", warm.own_popen)
        sim = default_builder().ensure(print).spec(SimSettings())
        supervisor = Supervisor(sim.library)
        try:
            spec = ChildSpec("probe", str(tmp_path), "probe", "sim", sys_path=tuple(sys.path), sim=sim)
            run = supervisor.run(spec, 0)
            assert run.result is not None
            assert "events" in run.result["capabilities"]
            (server,) = [
                one
                for one in psutil.Process().children()
                if "stress.isolate.fork_server_main" in " ".join(one.cmdline())
            ]
            assert server.num_threads() == 1
        finally:
            supervisor.close()


class TestWorkers:
    def test_share_the_device(self, run_stress: RunStress) -> None:
        ran = run_stress(SUBJECT, "-k", "Adds or Copies", "--mps-attempts=1", "-n2", SIM)
        ran.result.assert_outcomes(passed=2)
        assert {one["simulated"] for one in ran.records} == {True}
        assert "simulated device: this proves the detector" in ran.text


class TestWithoutIsolation:
    def test_the_device_is_used_in_pytests_own_process(self, run_stress: RunStress) -> None:
        ran = run_stress(SUBJECT, "-k", "Adds", "--mps-attempts=2", SIM, "--mps-no-isolation")
        ran.result.assert_outcomes(passed=1)
        assert len({one["pid"] for one in ran.ends("Adds[t4]")}) == 1
