"""Command-line and ini options: declared, parsed and checked here, read everywhere else as `Settings`."""

from __future__ import annotations

import math
import os
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from typing import Literal

import pytest

DeviceChoice = Literal["auto", "mps", "cuda", "cpu", "sim"]
StreamsChoice = Literal["auto", "shared", "per-thread"]
PerturbLevel = Literal["off", "low", "high"]

DEVICES = ("auto", "mps", "cuda", "cpu", "sim")
STREAMS = ("auto", "shared", "per-thread")
PERTURB_LEVELS = ("off", "low", "high")

ATTEMPTS_DEFAULT = 5
DEADLINE_S_DEFAULT = 60.0
RESULTS_DEFAULT = "results/runs"


@dataclass(frozen=True)
class Settings:
    """What the user asked for, validated. Times are in seconds."""

    threads: tuple[int, ...]
    attempts: int
    iterations: int | None
    seconds: float | None
    deadline_s: float
    seed: int
    device: str
    streams: str
    perturb: str
    results: Path
    isolation: bool
    share_device: bool
    all_tests: bool
    trace_modules: tuple[str, ...]
    torch_source: Path | None
    allow_torch_mismatch: bool


# (name, metavar, ini type, help). The ini twin is `mps_<name>` with underscores.
_VALUED: tuple[tuple[str, str, Literal["string", "args"], str], ...] = (
    (
        "threads",
        "N[,N...]|auto",
        "string",
        "Run each scenario from N threads at once; several counts make several items",
    ),
    (
        "attempts",
        "N",
        "string",
        f"Child processes per item, the unit of every rate (default {ATTEMPTS_DEFAULT})",
    ),
    ("iterations", "N", "string", "Steps per thread and attempt (default: what the scenario says)"),
    (
        "seconds",
        "SECONDS",
        "string",
        "Time budget of the run: attempts shrink to fit, what did not run is skipped",
    ),
    (
        "deadline",
        "SECONDS",
        "string",
        f"Kill an attempt after this long and call it a hang (default {DEADLINE_S_DEFAULT:.0f})",
    ),
    (
        "seed",
        "SEED",
        "string",
        "Root seed, decimal or 0x hexadecimal (default: drawn from the OS and printed)",
    ),
    (
        "device",
        "|".join(DEVICES),
        "string",
        "Device to test (default auto: mps on macOS, else the simulated device or cpu)",
    ),
    (
        "streams",
        "|".join(STREAMS),
        "string",
        "How crew threads get a stream (default auto: as the torch build does by itself)",
    ),
    ("perturb", "|".join(PERTURB_LEVELS), "string", "Schedule perturbation (default low)"),
    ("results", "DIR", "string", f"Where records go (default {RESULTS_DEFAULT} below the rootdir)"),
    (
        "trace-modules",
        "MODULE[,MODULE...]",
        "string",
        "Further modules whose lines are perturbed, beside the scenario's own",
    ),
    ("torch-source", "DIR", "string", "Refuse to run unless torch was built from this source tree's commit"),
)
_FLAGS: tuple[tuple[str, str], ...] = (
    (
        "no-isolation",
        "Run in the pytest process: a crash ends pytest, a hang is not caught (implied by --pdb)",
    ),
    ("share-device", "Allow pytest-xdist workers to share one accelerator, which changes the experiment"),
    ("allow-torch-mismatch", "Run although torch is not a build of --mps-torch-source; the record says so"),
    ("all-tests", "Run ordinary test functions from N threads too, inside the pytest process"),
)


def add_options(parser: pytest.Parser) -> None:
    group = parser.getgroup("mps", "stress and race detection for PyTorch's MPS backend")
    for name, metavar, ini_type, text in _VALUED:
        group.addoption(f"--mps-{name}", dest=_dest(name), metavar=metavar, default=None, help=text)
        parser.addini(_dest(name), text, type=ini_type, default=None)
    for name, text in _FLAGS:
        group.addoption(f"--mps-{name}", dest=_dest(name), action="store_true", default=None, help=text)
        parser.addini(_dest(name), text, type="bool", default=False)


def _dest(name: str) -> str:
    return "mps_" + name.replace("-", "_")


def is_on(config: pytest.Config) -> bool:
    """Whether `--mps-threads` (or its ini twin) was given: without it the plugin stays silent."""
    return bool(_raw(config, "threads"))


def _raw(config: pytest.Config, name: str) -> Any:
    value = config.getoption(_dest(name), default=None)
    if value is not None:
        return value
    try:
        return config.getini(_dest(name)) or None
    except (TypeError, ValueError) as error:
        raise pytest.UsageError(f"ini option {_dest(name)}: {error}") from None


def parse(config: pytest.Config) -> Settings:
    """Return the validated settings; raise `pytest.UsageError` naming the way out."""
    settings = Settings(
        threads=_threads(_raw(config, "threads")),
        attempts=_integer(config, "attempts", ATTEMPTS_DEFAULT),
        iterations=_integer(config, "iterations", None),
        seconds=_seconds(config, "seconds", None),
        deadline_s=_seconds(config, "deadline", DEADLINE_S_DEFAULT),
        seed=_seed(worker_input(config).get("mps_seed", _raw(config, "seed"))),
        device=_choice(config, "device", DEVICES, "auto"),
        streams=_choice(config, "streams", STREAMS, "auto"),
        perturb=_choice(config, "perturb", PERTURB_LEVELS, "low"),
        results=_results(config),
        isolation=not (_raw(config, "no-isolation") or config.getoption("usepdb", False)),
        share_device=bool(_raw(config, "share-device")),
        all_tests=bool(_raw(config, "all-tests")),
        trace_modules=tuple(
            part.strip() for part in (_raw(config, "trace-modules") or "").split(",") if part.strip()
        ),
        torch_source=_folder(config, "torch-source"),
        allow_torch_mismatch=bool(_raw(config, "allow-torch-mismatch")),
    )
    _check_xdist(config, settings)
    return settings


def check_off(config: pytest.Config) -> None:
    """Refuse `--mps-*` options on a command line that does not turn the plugin on."""
    for name in [name for name, *_ in _VALUED] + [name for name, _ in _FLAGS]:
        if config.getoption(_dest(name), default=None) is not None:
            raise pytest.UsageError(f"--mps-{name} does nothing without --mps-threads: add --mps-threads=8")


def _threads(value: str) -> tuple[int, ...]:
    if value == "auto":
        return (
            max(2, len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 2),
        )
    try:
        counts = [int(part) for part in value.split(",")]
    except ValueError:
        counts = []
    if not counts or min(counts) < 1:
        raise pytest.UsageError(
            f"--mps-threads={value}: expected positive whole numbers or 'auto', as in --mps-threads=8 or --mps-threads=1,2,4,8"
        )
    return tuple(dict.fromkeys(counts))


def _integer(config: pytest.Config, name: str, default: Any) -> Any:
    value = _raw(config, name)
    if value is None:
        return default
    if not str(value).isascii() or not str(value).isdigit() or int(value) < 1:
        raise pytest.UsageError(f"--mps-{name}={value}: expected a whole number of at least 1")
    return int(value)


def _seconds(config: pytest.Config, name: str, default: Any) -> Any:
    value = _raw(config, name)
    if value is None:
        return default
    try:
        seconds = float(value)
    except ValueError:
        seconds = math.nan
    if not (math.isfinite(seconds) and seconds > 0):
        raise pytest.UsageError(f"--mps-{name}={value}: expected a positive number of seconds")
    return seconds


def _seed(value: str | int | None) -> int:
    if value is None:
        return secrets.randbits(32)
    try:
        seed = int(str(value), 0)
    except ValueError:
        seed = -1
    if not 0 <= seed < 2**63:
        raise pytest.UsageError(
            f"--mps-seed={value}: expected a whole number from 0 to 2**63-1, as printed in the header (0x... is allowed)"
        )
    return seed


def _choice(config: pytest.Config, name: str, choices: tuple[str, ...], default: str) -> str:
    value = _raw(config, name) or default
    if value not in choices:
        raise pytest.UsageError(f"--mps-{name}={value}: choose one of {', '.join(choices)}")
    return str(value)


def _folder(config: pytest.Config, name: str) -> Path | None:
    value = _raw(config, name)
    if value is None:
        return None
    folder = (config.invocation_params.dir / value).resolve()
    if not folder.is_dir():
        raise pytest.UsageError(f"--mps-{name}={value}: there is no such folder")
    return folder


def _results(config: pytest.Config) -> Path:
    value = config.getoption(_dest("results"), default=None)
    if value is not None:
        return (config.invocation_params.dir / value).resolve()
    return (config.rootpath / (config.getini(_dest("results")) or RESULTS_DEFAULT)).resolve()


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
