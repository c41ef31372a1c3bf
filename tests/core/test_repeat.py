"""The `repeat:` line: pasted, it runs the item as it ran. No option is lost."""

from __future__ import annotations

import shlex
from dataclasses import fields
from dataclasses import replace

import pytest

from stress import Scenario
from stress.isolate.device_choice import DeviceInfo
from stress.model.spec import ScenarioRef
from stress.plugin import options
from stress.plugin.item import ItemSpec
from stress.plugin.option_table import BY_NAME
from stress.plugin.option_table import OPTIONS
from stress.plugin.option_table import NotRepeated
from stress.plugin.option_table import Option
from stress.plugin.run import Run
from stress.plugin.settings import Settings
from stress.scenario.sequences import numbers


class Subject(Scenario):
    """Never run: only its declarations count here."""


NODE_ID = "scenarios/subject.py::Subject[t3]"


def parse(pytester: pytest.Pytester, *args: str) -> tuple[pytest.Config, Settings]:
    config = pytester.parseconfig(*args)
    return config, options.parse(config)


def repeated(config: pytest.Config, settings: Settings, scenario: type[Scenario] = Subject) -> list[str]:
    """Return the words of the repeat line of an item of such a run."""
    run = Run(settings, config)
    name = "sim" if settings.device == "auto" else settings.device
    run.device = DeviceInfo(name, "as the test says", {}, frozenset())
    ref = ScenarioRef("scenarios/subject.py", "subject", "Subject", ())
    (threads,) = settings.threads
    words = shlex.split(ItemSpec(NODE_ID, scenario, ref, {}, {}, threads).command(run))
    assert words[:2] == ["pytest", NODE_ID]
    return words[2:]


def test_has_the_modules_that_were_traced(pytester: pytest.Pytester) -> None:
    config, settings = parse(pytester, "--mps-threads=3", "--mps-trace-modules=json,os.path")
    assert "--mps-trace-modules=json,os.path" in repeated(config, settings)


SAMPLES = {
    "threads": ["--mps-threads=5"],
    "seed": ["--mps-seed=0x2b"],
    "attempts": ["--mps-attempts=7"],
    "attempts-per-process": ["--mps-attempts-per-process=9"],
    "failed-first": ["--mps-failed-first"],
    "profile": ["--mps-profile=full"],
    "iterations": ["--mps-iterations=11"],
    "seconds": ["--mps-seconds=13.5"],
    "deadline": ["--mps-deadline=61.2345678"],
    "device": ["--mps-device=cpu"],
    "pytorch": ["--mps-pytorch=/home/me/pytorch"],
    "core-operators": ["--mps-core-operators=tree"],
    "streams": ["--mps-streams=shared"],
    "perturb": ["--mps-perturb=high"],
    "order": ["--mps-order=strict"],
    "trace-modules": ["--mps-trace-modules=json,os.path"],
    "operator": ["--mps-operator=linalg.svd=mypackage:svd,mypackage:patch"],
    "sequences": ["--mps-sequences=17, 40-49"],
    "sim-faults": ["--mps-sim-faults=copy_torn/twin:0.3:20"],
    "sim-design": ["--mps-sim-design=fork"],
    "sim-schedule": ["--mps-sim-schedule=pct:5"],
    "tsan": ["--mps-tsan"],
    "no-isolation": ["--mps-no-isolation"],
    "share-device": ["--mps-share-device"],
    "torch-source": ["--mps-torch-source=."],
    "allow-torch-mismatch": ["--mps-allow-torch-mismatch"],
    "results": ["--mps-results=elsewhere"],
    "all-tests": ["--mps-all-tests"],
}
"""Option -> a command line that gives it a value that is not its default."""
DECIDED = ("attempts_asked",)
"""Fields of `Settings` that are no option: the repeat line always says how many attempts."""


def kept(settings: Settings) -> dict[str, object]:
    """Return the fields that the repeat line has to keep."""
    free = {one.field for one in OPTIONS if isinstance(one.repeat, NotRepeated)}
    assert None not in free, "what is combined with other options has to be repeated"
    return {name: value for name, value in vars(settings).items() if name not in {*free, *DECIDED}}


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take `MPS_STRESS_SEQUENCES` away afterwards, which an option sets for children."""
    monkeypatch.setenv(numbers.VARIABLE, numbers.DEFAULT)


def test_has_a_sample_of_every_option_here() -> None:
    assert list(SAMPLES) == [one.name for one in OPTIONS]


@pytest.mark.parametrize("option", OPTIONS, ids=lambda one: one.name)
class TestAnOption:
    def test_says_how_it_is_repeated_or_why_not(self, option: Option) -> None:
        if isinstance(option.repeat, NotRepeated):
            assert len(option.repeat.reason.split()) > 4
        else:
            assert callable(option.repeat)

    def test_has_a_value_in_its_sample_that_is_not_the_default(
        self, pytester: pytest.Pytester, option: Option
    ) -> None:
        default = parse(pytester, "--mps-threads=3", "--mps-seed=1")[1]
        given = parse(pytester, "--mps-threads=3", "--mps-seed=1", *SAMPLES[option.name])[1]
        assert given != default

    def test_on_the_command_line_is_kept(self, pytester: pytest.Pytester, option: Option) -> None:
        config, first = parse(pytester, "--mps-threads=3", "--mps-device=sim", *SAMPLES[option.name])
        again = parse(pytester, *repeated(config, first))[1]
        assert kept(again) == kept(first)

    def test_in_the_ini_file_is_kept_where_there_is_no_such_file(
        self, pytester: pytest.Pytester, option: Option
    ) -> None:
        (sample,) = SAMPLES[option.name]
        ini = {"mps_threads": "3", "mps_device": "sim", option.dest: sample.partition("=")[2] or "true"}
        pytester.makeini("\n".join(["[pytest]", *(f"{name} = {value}" for name, value in ini.items())]))
        config, first = parse(pytester)
        words = repeated(config, first)
        (pytester.path / "tox.ini").unlink()
        assert kept(parse(pytester, *words)[1]) == kept(first)


NEUTRAL = {
    "deadline": "--mps-deadline=60",
    "streams": "--mps-streams=auto",
    "perturb": "--mps-perturb=low",
    "iterations": "--mps-iterations=3",
    "sim-design": "--mps-sim-design=upstream",
    "sim-schedule": "--mps-sim-schedule=free",
}


@pytest.mark.parametrize("name", NEUTRAL)
@pytest.mark.parametrize("where", ["twin", "addopts"])
def test_a_default_that_was_stated_wins_again_over_the_ini_file(
    pytester: pytest.Pytester, name: str, where: str
) -> None:
    (sample,) = SAMPLES[name]
    if where == "twin":
        pytester.makeini(f"[pytest]\n{BY_NAME[name].dest} = {sample.partition('=')[2]}\n")
    else:
        pytester.makeini(f"[pytest]\naddopts = {sample}\n")
    config, first = parse(pytester, "--mps-threads=3", "--mps-device=sim", NEUTRAL[name])
    assert parse(pytester, *repeated(config, first))[1] == replace(first, attempts_asked=True)


def test_says_nothing_of_the_simulated_device_on_another_one(pytester: pytest.Pytester) -> None:
    pytester.makeini("[pytest]\nmps_sim_design = fork\n")
    config, first = parse(pytester, "--mps-threads=3", "--mps-device=cpu")
    assert not [word for word in repeated(config, first) if word.startswith("--mps-sim")]


def test_names_the_device_that_was_chosen(pytester: pytest.Pytester) -> None:
    config, first = parse(pytester, "--mps-threads=3")
    assert first.device == "auto"
    assert "--mps-device=sim" in repeated(config, first)


def test_of_an_item_has_its_own_thread_count_and_attempts(pytester: pytest.Pytester) -> None:
    class Slow(Subject):
        attempts_quick = 2

    config, first = parse(pytester, "--mps-threads=3,5")
    words = repeated(config, replace(first, threads=(5,)), Slow)
    assert {"--mps-threads=5", "--mps-attempts=2"} <= set(words)


class TestTheReplayCommand:
    """Otherwise `mps-stress replay RUN/17`, as blocks and campaigns print it, finds no such run."""

    def test_is_short_for_a_run_in_the_usual_place(self, pytester: pytest.Pytester) -> None:
        config, settings = parse(pytester, "--mps-threads=3")
        run = Run(settings, config)
        assert run.replay_command(17) == f"mps-stress replay {run.run_id}/17"

    def test_names_the_folder_of_a_run_elsewhere(self, pytester: pytest.Pytester) -> None:
        config, settings = parse(pytester, "--mps-threads=3", "--mps-results=else where")
        run = Run(settings, config)
        words = shlex.split(run.replay_command(17))
        assert words == ["mps-stress", "replay", f"{pytester.path}/else where/{run.run_id}/17"]

    def test_names_a_rootdir_that_is_not_the_current_folder(
        self, pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        config, settings = parse(pytester, "--mps-threads=3")
        monkeypatch.chdir(pytester.mkdir("below"))
        words = shlex.split(Run(settings, config).replay_command(17))
        assert words[3:] == [f"--rootdir={pytester.path}"]


def test_every_setting_comes_from_an_option() -> None:
    combined = {"isolation", "sim", "order_suppressions"}
    of_options = {one.field for one in OPTIONS if one.field is not None}
    assert {one.name for one in fields(Settings)} == of_options | combined | set(DECIDED)
