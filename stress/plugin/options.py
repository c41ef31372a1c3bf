"""Reads the plugin's options from the command line and the ini file, checks them, and returns `Settings`."""

from __future__ import annotations

import math
import os
import secrets
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any
from typing import NamedTuple
from typing import TypeVar

import pytest

from stress.device import operator_patch
from stress.device.sim import settings as sim_settings
from stress.device.sim.settings import SimSettings
from stress.model.spec import DEADLINE_S_DEFAULT
from stress.plugin.option_table import NAMES
from stress.plugin.option_table import dest
from stress.plugin.settings import ATTEMPTS_DEFAULT
from stress.plugin.settings import ATTEMPTS_FULL_DEFAULT
from stress.plugin.settings import COUNT_MAX
from stress.plugin.settings import PERTURB_LEVELS
from stress.plugin.settings import PROFILES
from stress.plugin.settings import SECONDS_MAX
from stress.plugin.settings import STREAMS
from stress.plugin.settings import THREADS_MAX
from stress.plugin.settings import Settings
from stress.record.folder import RESULTS_DEFAULT
from stress.scenario.capabilities import DEVICES
from stress.scenario.sequences import numbers as sequences

T = TypeVar("T")


class _Given(NamedTuple):
    """A value that the user gave, and where."""

    value: str
    where: str
    """How an error message begins: `--mps-seed=x`, or the line of the ini file."""
    base: Path
    """What a relative path is relative to."""

    def refuse(self, expected: str) -> pytest.UsageError:
        return pytest.UsageError(f"{self.where}: {expected}")


def is_on(config: pytest.Config) -> bool:
    """Whether `--mps-threads` (or its ini twin) was given: without it the plugin stays silent."""
    return _given(config, "threads") is not None


def _given(config: pytest.Config, name: str) -> _Given | None:
    """Return what the command line says, else the ini file, where an empty value means the default."""
    value = config.getoption(dest(name), default=None)
    if value is not None:
        return _Given(value, f"--mps-{name}={value}", config.invocation_params.dir)
    value = _ini(config, name)
    if not value:
        return None
    base = config.inipath.parent if config.inipath is not None else config.rootpath
    return _Given(str(value), f"ini option {dest(name)} = {value}", base)


def _ini(config: pytest.Config, name: str) -> Any:
    try:
        return config.getini(dest(name))
    except (TypeError, ValueError, pytest.UsageError) as error:
        raise pytest.UsageError(f"ini option {dest(name)}: {error}") from None


def _flag(config: pytest.Config, name: str) -> bool:
    given = config.getoption(dest(name), default=None)
    return bool(_ini(config, name) if given is None else given)


def parse(config: pytest.Config) -> Settings:
    """Return the validated settings; raise `pytest.UsageError` naming the way out."""
    device = _choice(config, "device", DEVICES, "auto")
    profile = _choice(config, "profile", PROFILES, "quick")
    sim = _sim(config, device)
    settings = Settings(
        threads=_threads(_given(config, "threads")),
        attempts=_integer(
            config, "attempts", ATTEMPTS_DEFAULT if profile == "quick" else ATTEMPTS_FULL_DEFAULT
        ),
        iterations=_integer(config, "iterations", None),
        seconds=_seconds(config, "seconds", None),
        deadline_s=_seconds(config, "deadline", DEADLINE_S_DEFAULT),
        seed=_seed(config),
        device=device,
        streams=_choice(config, "streams", STREAMS, "auto"),
        perturb=_perturb(config, sim),
        results=_results(config),
        isolation=not (_flag(config, "no-isolation") or config.getoption("usepdb", False)),
        share_device=_flag(config, "share-device"),
        all_tests=_flag(config, "all-tests"),
        trace_modules=_names(config, "trace-modules"),
        torch_source=_folder(config, "torch-source"),
        allow_torch_mismatch=_flag(config, "allow-torch-mismatch"),
        sequences=_sequences(config),
        operators=_checked(_given(config, "operator"), operator_patch.parse),
        tsan=_flag(config, "tsan"),
        sim=sim,
        profile=profile,
        attempts_asked=_given(config, "attempts") is not None,
    )
    if sim.schedule != "free" and not settings.isolation:
        raise pytest.UsageError(
            f"--mps-sim-schedule={sim.schedule_text} repeats a device's order from its first operation on, for "
            "which each attempt needs a process of its own: leave out --mps-no-isolation and --pdb"
        )
    _check_xdist(config, settings)
    return _with_tsan(settings) if settings.tsan else settings


def _with_tsan(settings: Settings) -> Settings:
    """Return the settings of a run under ThreadSanitizer, which has the simulated device; refuse what cannot be."""
    problem = tsan_conflict(
        device=settings.device,
        isolation=settings.isolation,
        all_tests=settings.all_tests,
        schedule=settings.sim.schedule_text,
    )
    if problem is not None:
        raise pytest.UsageError(f"--mps-tsan: {problem}")
    return replace(settings, device="sim")


def check_off(config: pytest.Config) -> None:
    """Refuse `--mps-*` options on a command line that does not turn the plugin on."""
    for name in NAMES:
        if config.getoption(dest(name), default=None) is not None:
            raise pytest.UsageError(f"--mps-{name} does nothing without --mps-threads: add --mps-threads=8")


def _threads(given: _Given | None) -> tuple[int, ...]:
    assert given is not None, "parsed only where the plugin is on"
    if given.value == "auto":
        return (
            max(2, len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 2),
        )
    try:
        counts = [int(part) for part in given.value.split(",")]
    except ValueError:
        counts = []
    if not counts or min(counts) < 1:
        raise given.refuse(
            "expected positive whole numbers or 'auto', as in --mps-threads=8 or --mps-threads=1,2,4,8"
        )
    if max(counts) > THREADS_MAX:
        raise given.refuse(f"expected at most {THREADS_MAX} threads, as in --mps-threads=8")
    return tuple(dict.fromkeys(counts))


def _integer(config: pytest.Config, name: str, default: Any) -> Any:
    given = _given(config, name)
    if given is None:
        return default
    text = given.value
    if not (text.isascii() and text.isdigit() and 1 <= int(text[:20]) <= COUNT_MAX):
        raise given.refuse(f"expected a whole number of at least 1 and at most {COUNT_MAX}")
    return int(text)


def _seconds(config: pytest.Config, name: str, default: Any) -> Any:
    given = _given(config, name)
    if given is None:
        return default
    try:
        seconds = float(given.value)
    except ValueError:
        seconds = math.nan
    if not 0 < seconds <= SECONDS_MAX:  # false for nan
        raise given.refuse(f"expected a positive number of seconds, at most {SECONDS_MAX:.0f}")
    return seconds


def _seed(config: pytest.Config) -> int:
    drawn = worker_input(config).get("mps_seed")  # the controller's, for all its workers
    if drawn is not None:
        return int(drawn)
    given = _given(config, "seed")
    if given is None:
        return secrets.randbits(32)
    try:
        seed = int(given.value, 0)
    except ValueError:
        seed = -1
    if not 0 <= seed < 2**63:
        raise given.refuse(
            "expected a whole number from 0 to 2**63-1, as printed in the header (0x... is allowed)"
        )
    return seed


def _choice(config: pytest.Config, name: str, choices: tuple[str, ...], default: str) -> str:
    given = _given(config, name)
    if given is None:
        return default
    if given.value not in choices:
        raise given.refuse(f"choose one of {', '.join(choices)}")
    return given.value


def _sim(config: pytest.Config, device: str) -> SimSettings:
    """Return the settings of the simulated device; refuse what a device of another kind cannot have."""
    faults, design, schedule = (_given(config, f"sim-{name}") for name in ("faults", "design", "schedule"))
    armed = _checked(faults, sim_settings.parse_faults) if faults else ()
    order, depth = _checked(schedule, sim_settings.parse_schedule) if schedule else ("free", 0)
    wanted = design.value if design else None
    chosen = _checked(design or faults, lambda _: sim_settings.choose_design(armed, wanted))
    if device not in ("auto", "sim"):
        # A design in the ini file is a default for whoever uses the device; faults would be believed to be on.
        on_command_line = design if design and design.where.startswith("--") else None
        given = faults or on_command_line or (schedule if order != "free" else None)
        if given:
            raise given.refuse(
                f"this is for the simulated device alone, not for {device}: use --mps-device=sim"
            )
    return SimSettings(chosen, armed, order, depth or sim_settings.PCT_DEPTH_DEFAULT)


def _sequences(config: pytest.Config) -> str | None:
    """Return the checked text, and hand it to the scenario file, which parent and children import on their own."""
    given = _given(config, "sequences")
    if given is None:
        return None
    _checked(given, sequences.parse)
    os.environ[sequences.VARIABLE] = given.value
    return given.value


def _checked(given: _Given | None, parse: Callable[[str], T]) -> T:
    """Return what `parse` makes of the value; its `ValueError` becomes a usage error that says where it stands."""
    try:
        return parse(given.value if given else "")
    except ValueError as error:
        assert given is not None, "the defaults are right"
        raise given.refuse(str(error)) from None


def _perturb(config: pytest.Config, sim: SimSettings) -> str:
    """Return the level; a repeatable schedule decides the order alone, and nothing else may."""
    level = _choice(config, "perturb", PERTURB_LEVELS, "low")
    if sim.schedule == "free":
        return level
    given = _given(config, "perturb")
    if given is not None and given.where.startswith("--") and level != "off":
        raise given.refuse(
            f"--mps-sim-schedule={sim.schedule_text} decides the order alone: leave one of them out"
        )
    return "off"


def _names(config: pytest.Config, name: str) -> tuple[str, ...]:
    given = _given(config, name)
    if given is None:
        return ()
    names = tuple(part.strip() for part in given.value.split(","))
    if not all(part.isidentifier() for one in names for part in one.split(".")):
        raise given.refuse("expected names of modules, as in --mps-trace-modules=mypackage,other.module")
    return names


def _folder(config: pytest.Config, name: str) -> Path | None:
    given = _given(config, name)
    if given is None:
        return None
    folder = (given.base / given.value).resolve()
    if not given.value or not folder.is_dir():
        raise given.refuse("there is no such folder")
    return folder


def _results(config: pytest.Config) -> Path:
    given = _given(config, "results")
    if given is None:
        return (config.rootpath / RESULTS_DEFAULT).resolve()
    if not given.value:
        raise given.refuse("expected a folder, as in --mps-results=results/runs")
    return (given.base / given.value).resolve()


def worker_input(config: pytest.Config) -> dict[str, Any]:
    """Return what the pytest-xdist controller gave this worker; empty in any other process."""
    given: dict[str, Any] = getattr(config, "workerinput", {})
    return given


def xdist_workers(config: pytest.Config) -> int:
    """Number of pytest-xdist workers of this run; 0 without distribution."""
    if worker_input(config):
        return int(worker_input(config).get("workercount", 1))
    return len(config.getoption("tx", default=None) or ())


def _check_xdist(config: pytest.Config, settings: Settings) -> None:
    if not settings.isolation and config.getoption("usepdb", False) and xdist_workers(config):
        raise pytest.UsageError("--pdb does not work with distributed tests: leave out -n or --pdb")


def tsan_conflict(*, device: str, isolation: bool, all_tests: bool, schedule: str) -> str | None:
    """Return why the options cannot be used with ThreadSanitizer and what to do; None where they can."""
    if device not in ("auto", "sim"):
        return (
            f"this is for the simulated device alone, not for {device}, whose code is not instrumented: "
            "use --mps-device=sim"
        )
    if not isolation:
        return "the runtime is preloaded into child processes: leave out --mps-no-isolation and --pdb"
    if all_tests:
        return "ordinary tests run in the pytest process, which is not under ThreadSanitizer: leave out --mps-all-tests"
    if schedule != "free":
        return (
            f"--mps-sim-schedule={schedule} lets one thing run at a time, in an order that ThreadSanitizer sees, so that "
            "nothing could race: leave one of them out"
        )
    return None
