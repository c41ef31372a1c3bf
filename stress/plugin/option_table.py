"""The plugin's options and their ini twins: names, values and help, as `pytest --help` prints them."""

from __future__ import annotations

from typing import Literal

import pytest

from stress.device.sim import settings as sim_settings
from stress.device.sim.zoo import DESIGNS
from stress.model.spec import DEADLINE_S_DEFAULT
from stress.plugin.settings import ATTEMPTS_DEFAULT
from stress.plugin.settings import ATTEMPTS_FULL_DEFAULT
from stress.plugin.settings import PERTURB_LEVELS
from stress.plugin.settings import PROFILES
from stress.plugin.settings import STREAMS
from stress.record.folder import RESULTS_DEFAULT
from stress.scenario.capabilities import DEVICES
from stress.scenario.sequences import numbers as sequences

VALUED: tuple[tuple[str, str, Literal["string", "args"], str], ...] = (
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
        f"Child processes per item, the unit of every rate (default {ATTEMPTS_DEFAULT}; {ATTEMPTS_FULL_DEFAULT} in full)",
    ),
    (
        "profile",
        "|".join(PROFILES),
        "string",
        "quick leaves out what scenarios keep for full, and attempts less often what takes long (default quick)",
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
        "Device to test (default auto: mps on macOS; elsewhere sim, a simulated MPS that is never real Metal, "
        "or cpu where it cannot be built)",
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
    (
        "operator",
        "NAME=MODULE:FUNCTION|MODULE:FUNCTION[,...]",
        "string",
        "Replace an operator of torch in the child processes, as in linalg.svd=mypkg:svd, or call a function that "
        "patches torch",
    ),
    (
        "sequences",
        "N[-M][,...]",
        "string",
        f"Numbers of the random operator sequences of scenarios/op_sequences.py (default {sequences.DEFAULT})",
    ),
    (
        "sim-faults",
        "NAME[/twin][:P[:US]][,...]",
        "string",
        "Switch on seeded faults of the simulated device, with another probability and window in microseconds",
    ),
    (
        "sim-design",
        "|".join(DESIGNS),
        "string",
        f"How the simulated device gives threads their streams (default {sim_settings.DESIGN_DEFAULT}, or the faults' own)",
    ),
    (
        "sim-schedule",
        "free|random|pct[:DEPTH]",
        "string",
        "random and pct make the simulated device's order repeatable by seed (default free)",
    ),
)
"""(name, metavar, ini type, help)."""
FLAGS: tuple[tuple[str, str], ...] = (
    (
        "no-isolation",
        "Run in the pytest process: a crash ends pytest, a hang is not caught (implied by --pdb)",
    ),
    ("share-device", "Allow pytest-xdist workers to share one accelerator, which changes the experiment"),
    ("allow-torch-mismatch", "Run although torch is not a build of --mps-torch-source; the record says so"),
    (
        "tsan",
        "Run under ThreadSanitizer, on the simulated device built for it: races are found that did no harm yet",
    ),
    ("all-tests", "Run ordinary test functions from N threads too, inside the pytest process"),
)
"""(name, help)."""
NAMES = tuple(name for name, *_ in VALUED) + tuple(name for name, _ in FLAGS)
"""Without `--mps-`."""


def add_options(parser: pytest.Parser) -> None:
    group = parser.getgroup("mps", "stress and race detection for PyTorch's MPS backend")
    for name, metavar, ini_type, text in VALUED:
        group.addoption(f"--mps-{name}", dest=dest(name), metavar=metavar, default=None, help=text)
        parser.addini(dest(name), text, type=ini_type, default=None)
    for name, text in FLAGS:
        group.addoption(f"--mps-{name}", dest=dest(name), action="store_true", default=None, help=text)
        parser.addini(dest(name), text, type="bool", default=False)


def dest(name: str) -> str:
    """Return the name that pytest has it under, which is the ini option's too."""
    return "mps_" + name.replace("-", "_")
