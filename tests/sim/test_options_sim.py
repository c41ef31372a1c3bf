"""The options of the simulated device: what they mean, what goes together, and what only `sim` takes."""

from __future__ import annotations

import pytest

from stress.device.sim.settings import ArmedFault
from stress.device.sim.settings import SimSettings
from stress.device.sim.settings import parse_faults
from stress.device.sim.zoo import BY_NAME
from stress.device.sim.zoo import FAULTS
from stress.plugin import options
from stress.plugin.settings import Settings


def parse(pytester: pytest.Pytester, *args: str) -> Settings:
    return options.parse(pytester.parseconfig("--mps-threads=2", *args))


class TestAFault:
    def test_has_the_probability_and_window_it_was_written_with(self) -> None:
        for fault in FAULTS:
            (armed,) = parse_faults(fault.name)
            assert armed == ArmedFault(fault.name, False, fault.probability, fault.window_us)

    @pytest.mark.parametrize(
        ("text", "armed"),
        [
            ("copy_torn:0.5", ArmedFault("copy_torn", False, 0.5, 0)),
            ("copy_torn/twin", ArmedFault("copy_torn", True, BY_NAME["copy_torn"].probability, 0)),
            ("copy_torn/twin:1e-05:300", ArmedFault("copy_torn", True, 1e-05, 300)),
            ("copy_torn:1:1000000", ArmedFault("copy_torn", False, 1.0, 1_000_000)),
        ],
    )
    def test_may_have_others(self, text: str, armed: ArmedFault) -> None:
        assert parse_faults(text) == (armed,)
        assert parse_faults(str(armed)) == (armed,)  # what a command to repeat says means the same

    def test_comes_several_at_once_in_the_given_order(self) -> None:
        names = [
            one.name for one in parse_faults("copy_torn, event_wait_missing/twin ,linear_shared_scratch:1")
        ]
        assert names == ["copy_torn", "event_wait_missing", "linear_shared_scratch"]

    def test_that_is_unknown_lists_all_that_are_known(self) -> None:
        with pytest.raises(ValueError, match="there is no fault 'copy_tron'") as caught:
            parse_faults("copy_tron:0.01")
        assert [name for name in BY_NAME if name not in str(caught.value)] == []


class TestTheDesign:
    @pytest.mark.parametrize("design", ["fork", "fork-free-list", "upstream"])
    def test_is_the_faults_own(self, pytester: pytest.Pytester, design: str) -> None:
        name = next(one.name for one in FAULTS if one.design == design)
        assert parse(pytester, f"--mps-sim-faults={name}").sim.design == design
        assert parse(pytester, f"--mps-sim-faults={name}", f"--mps-sim-design={design}").sim.design == design

    def test_of_another_kind_would_hide_the_fault(self, pytester: pytest.Pytester) -> None:
        with pytest.raises(
            pytest.UsageError, match="--mps-sim-design=fork: commit_twice is a bug of design upstream"
        ):
            parse(pytester, "--mps-sim-faults=commit_twice", "--mps-sim-design=fork")

    def test_must_be_one_for_all_faults(self, pytester: pytest.Pytester) -> None:
        with pytest.raises(
            pytest.UsageError, match="do not go together: copy_torn is a bug of design fork, commit"
        ):
            parse(pytester, "--mps-sim-faults=copy_torn,commit_twice")


class TestASchedule:
    def test_that_repeats_is_disturbed_by_nothing(self, pytester: pytest.Pytester) -> None:
        settings = parse(pytester, "--mps-sim-schedule=pct:5")
        assert settings.sim == SimSettings("upstream", (), "pct", 5)
        assert settings.perturb == "off"

    def test_does_not_go_with_perturbation(self, pytester: pytest.Pytester) -> None:
        with pytest.raises(
            pytest.UsageError, match="--mps-perturb=high: --mps-sim-schedule=random alone decides"
        ):
            parse(pytester, "--mps-sim-schedule=random", "--mps-perturb=high")

    def test_needs_processes_of_its_own(self, pytester: pytest.Pytester) -> None:
        with pytest.raises(pytest.UsageError, match="each attempt needs its own process"):
            parse(pytester, "--mps-sim-schedule=random", "--mps-no-isolation")


class TestAnotherDevice:
    @pytest.mark.parametrize("device", ["cpu", "cuda", "mps"])
    @pytest.mark.parametrize("option", ["faults=copy_torn", "design=upstream", "schedule=pct"])
    def test_takes_none_of_it(self, pytester: pytest.Pytester, device: str, option: str) -> None:
        with pytest.raises(pytest.UsageError) as caught:
            parse(pytester, f"--mps-device={device}", f"--mps-sim-{option}")
        assert str(caught.value) == (
            f"--mps-sim-{option}: this is for the simulated device alone, not for {device}: use --mps-device=sim"
        )

    def test_bears_with_a_design_in_the_ini_file(self, pytester: pytest.Pytester) -> None:
        pytester.makeini("[pytest]\nmps_sim_design = upstream\n")
        assert parse(pytester, "--mps-device=cpu").sim.design == "upstream"

    def test_does_not_bear_with_a_fault_there(self, pytester: pytest.Pytester) -> None:
        pytester.makeini("[pytest]\nmps_sim_faults = copy_torn\n")
        with pytest.raises(
            pytest.UsageError, match="ini option mps_sim_faults = copy_torn: this is for the sim"
        ):
            parse(pytester, "--mps-device=cpu")


class TestWhatTheDeviceIsTold:
    def test_holds_all_settings_and_no_seed(self) -> None:
        armed = parse_faults("copy_torn:0.5:20,linear_shared_scratch/twin:1")
        assert SimSettings("fork", armed, "pct", 2).configure_text() == (
            "design=fork;schedule=pct;schedule_depth=2;"
            "faults=copy_torn:0.5:20,linear_shared_scratch:1.0:0/twin"
        )
        assert SimSettings().configure_text() == "design=upstream;schedule=free"

    def test_can_be_asked_for_again(self, pytester: pytest.Pytester) -> None:
        first = parse(
            pytester, "--mps-sim-faults=commit_twice/twin:0.3", "--mps-sim-schedule=pct:4", "--mps-device=sim"
        ).sim
        assert parse(pytester, *first.command_options()).sim == first
