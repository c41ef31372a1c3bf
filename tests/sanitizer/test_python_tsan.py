"""`--mps-tsan` in real runs: one build of the instrumented device, and few children, since each takes seconds."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from stress.device.clang import CLANG_VARIABLE
from stress.device.clang import ToolchainError
from stress.device.clang import find_toolchain
from stress.sanitizer.tsan_options import VARIABLE
from tests.acceptance import Ran
from tests.acceptance import run_in

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the simulated device is for Linux")

SUBJECT = """
LOCK = threading.Lock()

class Adds(Scenario):
    iterations = 4
    def make_input(self, generator):
        return torch.randn(64, generator=generator)
    def step(self, state, x):
        return x + 1

BOTH = threading.Barrier(2)

def meet():
    '''Wait for the other thread, where there is one: the control and the references have none.'''
    if sum(one.name.startswith("crew-") for one in threading.enumerate()) == 2:
        BOTH.wait()

class AddsToOneTensor(Scenario):
    '''Each thread's stream adds to the same memory, and nothing orders them: always a race, and often no wrong value.

    Without meeting, a busy machine may run all of one thread's steps before the other's, and the locks that both take,
    Python's for one, order the kernels then. Of meetings on a busy machine every second one was seen (3 of 6).
    '''
    iterations = 25
    exempt = {"equal outputs": "the race is looked for, not its value"}
    def setup(self, device):
        return torch.zeros(64, device=device)
    def make_input(self, generator):
        return torch.randn(64, generator=generator)
    def step(self, state, x):
        meet()
        state.add_(x)
        meet()  # before anything waits for the kernel, whose end would come before what that thread does next
        return x

class OneAfterAnother(AddsToOneTensor):
    '''The same memory on two streams, each of which is done before the other one begins.'''
    def step(self, state, x):
        with LOCK:
            state.add_(x)
            torch.mps.synchronize()
        return x

import pytest

@pytest.mark.mps_stress
def test_ordinary():
    pass
"""
GIVEN = (
    "--mps-attempts=1",
    "--mps-seed=7",
    "--mps-device=sim",
    "--mps-tsan",
    "--mps-sim-design=fork",
    "--mps-perturb=off",
)


@pytest.fixture(scope="module", autouse=True)
def toolchain(build_cache: Path) -> None:
    try:
        find_toolchain()
    except ToolchainError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory, toolchain: None) -> Ran:
    """One run: the first of the session builds the device, which takes a minute of a busy machine."""
    return run_in(tmp_path_factory.mktemp("tsan"), SUBJECT, "--mps-threads=2", *GIVEN, "-rA", timeout_s=800)


class TestARun:
    def test_says_in_the_header_what_its_silence_is_worth(self, ran: Ran) -> None:
        ran.result.stdout.fnmatch_lines(
            [
                "mps: ThreadSanitizer (*clang version *): canaries found; 3 of 3 translation units instrumented; "
                "libtorch not instrumented: its code is not covered"
            ]
        )

    def test_passes_what_is_right(self, ran: Ran) -> None:
        verdicts = {name: one["verdict"] for name, one in ran.items.items()}
        assert verdicts == {"Adds[t2]": "pass", "AddsToOneTensor[t2]": "race", "OneAfterAnother[t2]": "pass"}

    def test_names_a_race_by_the_operation_in_flight(self, ran: Ran) -> None:
        (end,) = ran.ends("AddsToOneTensor[t2]")
        assert end["signature"] == "tsan/data-race aten::add_.Tensor <> aten::add_.Tensor"
        first = end["findings"][0]
        assert first["verdict"] == "race"
        assert first["text"].startswith("write by kernel aten::add_.Tensor (stream ")

    def test_says_whose_kernels_raced_and_in_which_iterations(self, ran: Ran) -> None:
        (end,) = ran.ends("AddsToOneTensor[t2]")
        first = end["findings"][0]
        assert first["thread"] in (0, 1)
        assert 0 <= first["iteration"] < 25
        assert "thread 0 iteration " in first["text"]
        assert "thread 1 iteration " in first["text"]

    def test_says_that_it_does_not_see_ordinary_tests(self, ran: Ran) -> None:
        told = "*1 ordinary test runs from threads inside this process, not isolated and not under ThreadSanitizer: *"
        ran.result.stdout.fnmatch_lines([told])

    def test_keeps_the_text_of_the_sanitizer(self, ran: Ran) -> None:
        (end,) = ran.ends("AddsToOneTensor[t2]")
        assert ran.folder is not None
        assert "WARNING: ThreadSanitizer: data race" in (ran.folder / end["tsan_log"]).read_text()
        assert end["tsan"]["reports"] >= 1
        assert end["exit_status"] == 0

    def test_closes_with_what_it_may_claim(self, ran: Ran) -> None:
        ran.result.stdout.fnmatch_lines(
            [
                "ThreadSanitizer: * reports in * attempts; canaries found; 3 of 3 translation units instrumented; "
                "libtorch not instrumented: its code is not covered; suppressions matched: none"
            ]
        )
        assert ran.records[0]["tsan"]["problem"] == ""

    def test_can_be_repeated_by_its_command(self, ran: Ran) -> None:
        start = next(one for one in ran.records if one["kind"] == "attempt_start")
        assert "--mps-tsan" in start["command"]
        assert start["env"] == {}


class TestABroadSuppression:
    """Every call passes through torch's dispatcher, and `race:` matches any frame of either stack."""

    @pytest.fixture
    def suppressed(self, tmp_path_factory: pytest.TempPathFactory, ran: Ran) -> Iterator[Ran]:
        folder = tmp_path_factory.mktemp("suppressed")
        file = folder / "suppressions.txt"
        file.write_text("# Torch's own races. https://example.org/\nrace:libtorch_cpu.so\n")
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv(VARIABLE, f"suppressions={file}")
            yield run_in(folder, SUBJECT, "--mps-threads=2", *GIVEN, "-k", "Adds and not AddsTo")

    def test_loses_the_canary_and_nothing_is_green(self, suppressed: Ran) -> None:
        assert suppressed.items["Adds[t2]"]["verdict"] == "inconclusive"
        assert suppressed.result.ret == pytest.ExitCode.TESTS_FAILED
        problem = suppressed.records[0]["tsan"]["problem"]
        assert problem.endswith("controls: canary, history canary not found")
        assert "suppression race:libtorch_cpu.so (line 2): it matches " in problem
        assert "through which every call of a scenario passes" in problem


class TestWithoutATool:
    def test_the_packages_are_named(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv(CLANG_VARIABLE, "/nowhere/clang++")
        result = run_in(tmp_path, SUBJECT, *GIVEN).result
        assert result.ret == pytest.ExitCode.USAGE_ERROR
        assert any("--mps-tsan: " in line and "/nowhere/clang++" in line for line in result.errlines)

    def test_a_clang_without_the_runtime_names_them_too(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        if shutil.which("apt-get") is None:
            pytest.skip("packages are named where apt-get is")
        clang = tmp_path / "clang++"
        clang.write_text(
            "#!/bin/sh\necho 'clang version 19.1.7'\necho 'InstalledDir: /nowhere'\necho 'libraries: =/nowhere'\n"
        )
        clang.chmod(0o755)
        monkeypatch.setenv(CLANG_VARIABLE, str(clang))
        result = run_in(tmp_path, SUBJECT, *GIVEN).result
        assert result.ret == pytest.ExitCode.USAGE_ERROR
        assert any(
            "has no ThreadSanitizer runtime" in line
            and "apt-get install clang-19 libclang-rt-19-dev llvm-19" in line
            for line in result.errlines
        )
