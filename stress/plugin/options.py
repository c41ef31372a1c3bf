"""Read the plugin's options from the command line and the ini file into `Settings`, and print them back."""

from __future__ import annotations

import os
import secrets
from dataclasses import replace
from typing import Any

import pytest

from stress.child.perturb.own_code import can_be_found
from stress.device.sim import settings as sim_settings
from stress.device.sim.settings import SimSettings
from stress.model.spec import RESULTS_DEFAULT
from stress.order import suppressions
from stress.plugin.option_table import BY_NAME
from stress.plugin.option_table import OPTIONS
from stress.plugin.option_table import NotRepeated
from stress.plugin.option_table import Option
from stress.plugin.option_values import Given
from stress.plugin.settings import ATTEMPTS_DEFAULT
from stress.plugin.settings import ATTEMPTS_FULL_DEFAULT
from stress.plugin.settings import Settings
from stress.scenario.sequences import numbers as sequences


def is_on(config: pytest.Config) -> bool:
    """Whether `--mps-threads` (or its ini twin) was given: without it the plugin does nothing."""
    return _given(config, BY_NAME["threads"]) is not None


def _given(config: pytest.Config, option: Option) -> Given | None:
    """Return what the command line says, else the ini file, where an empty value means the default."""
    value = config.getoption(option.dest, default=None)
    if value is not None:
        return Given(value, f"--mps-{option.name}={value}", config.invocation_params.dir)
    value = _ini(config, option)
    if not value:
        return None
    base = config.inipath.parent if config.inipath is not None else config.rootpath
    return Given(str(value), f"ini option {option.dest} = {value}", base)


def _ini(config: pytest.Config, option: Option) -> Any:
    try:
        return config.getini(option.dest)
    except (TypeError, ValueError, pytest.UsageError) as error:
        raise pytest.UsageError(f"ini option {option.dest}: {error}") from None


def _value(config: pytest.Config, option: Option) -> Any:
    """Return the value of one option; raise `pytest.UsageError` naming the way out."""
    if option.read is None:
        switch = config.getoption(option.dest, default=None)
        return bool(_ini(config, option) if switch is None else switch)
    given = _given(config, option)
    return option.default if given is None else given.read(option.read)


def parse(config: pytest.Config) -> Settings:
    """Return the validated settings; raise `pytest.UsageError` naming the way out."""
    read = {one.name: _value(config, one) for one in OPTIONS}
    given = {one.field: read[one.name] for one in OPTIONS if one.field is not None}
    sim = _sim(config, read)
    attempts = ATTEMPTS_DEFAULT if read["profile"] == "quick" else ATTEMPTS_FULL_DEFAULT
    decided = {
        "attempts": read["attempts"] or attempts,
        "attempts_asked": read["attempts"] is not None,
        "seed": _seed(config, read["seed"]),
        "perturb": _perturb(config, read["perturb"], sim),
        "results": read["results"] or (config.rootpath / RESULTS_DEFAULT).resolve(),
        "isolation": not (read["no-isolation"] or config.getoption("usepdb", False)),
        "sim": sim,
        "order_suppressions": _suppressions(config),
    }
    settings = Settings(**{**given, **decided})
    if (
        settings.sequences is not None
    ):  # the scenario file is imported by parent and children, each on its own
        os.environ[sequences.VARIABLE] = settings.sequences
    if sim.schedule != "free" and not settings.isolation:
        raise pytest.UsageError(
            f"--mps-sim-schedule={sim.schedule_text} repeats a device's order from its first operation on, so "
            "each attempt needs its own process: leave out --mps-no-isolation and --pdb"
        )
    if settings.order is not None and settings.tsan:
        raise pytest.UsageError(
            "--mps-order: ThreadSanitizer sees an order of its own, and each makes the other slow: leave out --mps-tsan"
        )
    _check_xdist(config, settings)
    _check_trace_modules(config, settings)
    return _with_tsan(settings) if settings.tsan else settings


def _suppressions(config: pytest.Config) -> dict[str, str]:
    try:
        return suppressions.parse(config.getini(suppressions.INI))
    except ValueError as error:
        raise pytest.UsageError(f"ini option {suppressions.INI}: {error}") from None


def repeat_arguments(settings: Settings, config: pytest.Config) -> list[str]:
    """Return the options that repeat an item of a run with these settings, which are those of the item alone.

    A default is left out, unless the user stated it: the ini file, or `addopts` in it, may say something else.
    """
    words = []
    for one in OPTIONS:
        if isinstance(one.repeat, NotRepeated):
            continue
        value = one.repeat(settings)
        if value is None or (value == one.default and (one.is_switch or _given(config, one) is None)):
            continue
        words.append(one.argument(value))
    return words


def _with_tsan(settings: Settings) -> Settings:
    """Return the settings of a run under ThreadSanitizer, on a device that can be instrumented; refuse what does not go with it."""
    problem = tsan_conflict(
        device=settings.device,
        isolation=settings.isolation,
        schedule=settings.sim.schedule_text,
    )
    if problem is not None:
        raise pytest.UsageError(f"--mps-tsan: {problem}")
    return settings if settings.device == "core" else replace(settings, device="sim")


def check_off(config: pytest.Config) -> None:
    """Refuse `--mps-*` options on a command line that does not turn the plugin on."""
    for one in OPTIONS:
        if config.getoption(one.dest, default=None) is not None:
            raise pytest.UsageError(
                f"--mps-{one.name} does nothing without --mps-threads: add --mps-threads=8"
            )


def _seed(config: pytest.Config, given: int | None) -> int:
    drawn = worker_input(config).get("mps_seed")  # the controller's, for all its workers
    if drawn is not None:
        return int(drawn)
    return secrets.randbits(32) if given is None else given


def _sim(config: pytest.Config, read: dict[str, Any]) -> SimSettings:
    """Return the settings of the simulated device; refuse them if another device was asked for."""
    faults, design, schedule = (
        _given(config, BY_NAME[f"sim-{name}"]) for name in ("faults", "design", "schedule")
    )
    armed, wanted = read["sim-faults"], read["sim-design"]
    order, depth = sim_settings.parse_schedule(read["sim-schedule"])
    try:
        chosen = sim_settings.choose_design(armed, wanted)
    except ValueError as error:
        where = design or faults
        assert where is not None, "the defaults are right"
        raise where.refuse(str(error)) from None
    if read["device"] not in ("auto", "sim"):
        # A design in the ini file is a default for whoever uses the device; faults would be believed to be on.
        on_command_line = design if design and design.is_on_command_line else None
        given = faults or on_command_line or (schedule if order != "free" else None)
        if given:
            raise given.refuse(
                f"this is for the simulated device alone, not for {read['device']}: use --mps-device=sim"
            )
    return SimSettings(chosen, armed, order, depth)


def _perturb(config: pytest.Config, level: str | None, sim: SimSettings) -> str:
    """Return the level; a repeatable schedule alone decides the order, so perturbation is refused with it."""
    if sim.schedule == "free":
        return level or "low"
    given = _given(config, BY_NAME["perturb"])
    if given is not None and given.is_on_command_line and level != "off":
        raise given.refuse(
            f"--mps-sim-schedule={sim.schedule_text} alone decides the order: leave one of the two options out"
        )
    return "off"


def worker_input(config: pytest.Config) -> dict[str, Any]:
    """Return what the pytest-xdist controller gave this worker; empty in any other process."""
    given: dict[str, Any] = getattr(config, "workerinput", {})
    return given


def xdist_workers(config: pytest.Config) -> int:
    """Return the number of pytest-xdist workers of this run; 0 without distribution."""
    if worker_input(config):
        return int(worker_input(config).get("workercount", 1))
    return len(config.getoption("tx", default=None) or ())


def _check_xdist(config: pytest.Config, settings: Settings) -> None:
    if not settings.isolation and config.getoption("usepdb", False) and xdist_workers(config):
        raise pytest.UsageError("--pdb does not work with distributed tests: leave out -n or --pdb")


def _check_trace_modules(config: pytest.Config, settings: Settings) -> None:
    """Refuse a module that cannot be found: its lines would not be perturbed, and nothing would say so."""
    root = config.rootpath
    given = [(config.invocation_params.dir / one.partition("::")[0]).parent for one in config.args]
    above = [folder for one in given for folder in (one, *one.parents) if folder.is_relative_to(root)]
    for name in settings.trace_modules:
        if not can_be_found(name, dict.fromkeys([root, root / "src", *above])):
            option = _given(config, BY_NAME["trace-modules"])
            assert option is not None, "no module is traced by default"
            raise option.refuse(
                f"there is no module {name}: expected the name that the code imports it by, as in "
                "--mps-trace-modules=mypackage, from a folder on sys.path (PYTHONPATH, or pythonpath in the ini file)"
            )


def tsan_conflict(*, device: str, isolation: bool, schedule: str) -> str | None:
    """Return why the options cannot be used with ThreadSanitizer and what to do; None where they can."""
    if device not in ("auto", "sim", "core"):
        return (
            f"this is for the simulated device and a tree's own core, not for {device}, whose code is not instrumented: "
            "use --mps-device=sim, or --mps-device=core with --mps-pytorch=TREE"
        )
    if not isolation:
        return "the runtime is preloaded into child processes: leave out --mps-no-isolation and --pdb"
    if schedule != "free":
        return (
            f"--mps-sim-schedule={schedule} runs one thing at a time, in an order that ThreadSanitizer sees, so "
            "nothing could race: leave one of the two options out"
        )
    return None
