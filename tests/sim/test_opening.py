"""A library that builds and cannot be used: built again once, then an error, or the CPU under auto."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from dataclasses import field
from pathlib import Path

import pytest

from stress.device import torch_installation
from stress.device.sim import toolchain
from stress.device.sim.build import SimBuilder
from stress.isolate import device_choice
from stress.isolate.supervisor import Supervisor
from stress.plugin import options
from stress.plugin.run import OPTION_PREFIX
from stress.plugin.settings import Settings

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the simulated device is for Linux")

# The first one loads and registers nothing; the second one takes the fork server with it.
USELESS = 'extern "C" int answer() { return 42; }'
ABORTS = "#include <cstdlib>\nstruct AtLoad { AtLoad() { std::abort(); } } at_load;"


@dataclass
class Opened:
    """A device being opened with a library of the test's own."""

    said: list[str] = field(default_factory=list)
    libraries: list[str] = field(default_factory=list)
    supervisors: list[Supervisor] = field(default_factory=list)

    def open_supervisor(self, library: str) -> Supervisor:
        self.libraries.append(library)
        self.supervisors.append(Supervisor(library))
        return self.supervisors[-1]

    def device(self, settings: Settings) -> device_choice.DeviceInfo:
        try:
            return device_choice.open_device(settings, self.open_supervisor, self.said.append, None)
        except device_choice.DeviceError as error:
            raise pytest.UsageError(error.told(OPTION_PREFIX)) from error  # as a run of pytest does

    @property
    def builds(self) -> int:
        return sum("building it" in one for one in self.said)


@pytest.fixture
def opened() -> Iterator[Opened]:
    one = Opened()
    yield one
    for supervisor in one.supervisors:
        supervisor.close()


@pytest.fixture(params=[USELESS, ABORTS], ids=["useless", "aborts"])
def unusable(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the sources of the simulated device be some that compile and do not make one."""
    folder = tmp_path / "harness" / "runtime"
    folder.mkdir(parents=True)
    (folder / "unusable.cpp").write_text(request.param)
    builder = SimBuilder(
        tmp_path / "harness", torch_installation.find_torch(), toolchain.find_compiler(), tmp_path / "cache"
    )
    monkeypatch.setattr(device_choice, "default_builder", lambda: builder)


@pytest.mark.usefixtures("unusable")
class TestALibraryThatCannotBeUsed:
    def test_is_an_error_where_it_was_asked_for(self, pytester: pytest.Pytester, opened: Opened) -> None:
        settings = options.parse(pytester.parseconfig("--mps-threads=2", "--mps-device=sim"))
        with pytest.raises(pytest.UsageError) as caught:
            opened.device(settings)
        assert "--mps-device=sim: the simulated device cannot be loaded, even after a rebuild: " in str(
            caught.value
        )
        assert "--mps-device=cpu" in str(caught.value)
        assert opened.builds == 2
        assert len(opened.libraries) == 2

    def test_gives_way_to_the_cpu_under_auto(self, pytester: pytest.Pytester, opened: Opened) -> None:
        device = opened.device(options.parse(pytester.parseconfig("--mps-threads=2")))
        assert device.name == "cpu"
        assert device.sim is None
        assert device.reason.startswith("auto: no MPS off macOS; the simulated device cannot be loaded: ")
        assert opened.builds == 2
        assert opened.libraries[-1] == ""  # the processes that stay have nothing of it
        faulty = options.parse(pytester.parseconfig("--mps-threads=2", "--mps-sim-faults=copy_torn"))
        with pytest.raises(
            pytest.UsageError, match="--mps-sim-faults: this is for the simulated device alone"
        ):
            opened.device(faulty)


class TestOnAMac:
    def test_the_simulated_device_is_refused(
        self, pytester: pytest.Pytester, opened: Opened, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        settings = options.parse(pytester.parseconfig("--mps-threads=2", "--mps-device=sim"))
        monkeypatch.setattr(sys, "platform", "darwin")
        with pytest.raises(
            pytest.UsageError, match=r"for Linux only\. On macOS the real device has torch's MPS key"
        ):
            opened.device(settings)

    def test_a_fault_is_refused(
        self, pytester: pytest.Pytester, opened: Opened, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        settings = options.parse(pytester.parseconfig("--mps-threads=2", "--mps-sim-schedule=random"))
        monkeypatch.setattr(sys, "platform", "darwin")
        with pytest.raises(
            pytest.UsageError, match=r"--mps-sim-schedule: .* not for mps .auto: this is macOS"
        ):
            opened.device(settings)
