"""The plugin's options, one row each: name, values, default, help, and its part of the `repeat:` line."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from typing import Literal

import pytest

from stress.device import operator_patch
from stress.device.sim import settings as sim_settings
from stress.device.sim.zoo import DESIGN_DEFAULT
from stress.device.sim.zoo import DESIGNS
from stress.model.spec import ATTEMPTS_PER_PROCESS
from stress.model.spec import DEADLINE_S_DEFAULT
from stress.model.spec import RESULTS_DEFAULT
from stress.order import suppressions
from stress.plugin import option_values as values
from stress.plugin.option_values import Given
from stress.plugin.settings import ATTEMPTS_DEFAULT
from stress.plugin.settings import ATTEMPTS_FULL_DEFAULT
from stress.plugin.settings import ORDERS
from stress.plugin.settings import PERTURB_LEVELS
from stress.plugin.settings import PROFILES
from stress.plugin.settings import STREAMS
from stress.plugin.settings import Settings
from stress.scenario.capabilities import CORE_OPERATORS
from stress.scenario.capabilities import DEVICES
from stress.scenario.sequences import numbers as sequences


@dataclass(frozen=True)
class NotRepeated:
    """Marks an option that the `repeat:` line does not need, and says why."""

    reason: str


@dataclass(frozen=True, kw_only=True)
class Option:
    """One option, which is `--mps-NAME` on the command line and `mps_NAME` in the ini file."""

    name: str
    """Without `--mps-`."""
    metavar: str = ""
    """Form of the value; "" makes the option a switch."""
    bare: str = ""
    """The value of the option without one, as in `--mps-order`; "" where it needs one."""
    read: Callable[[Given], Any] | None = None
    """Returns the value, or raises `ValueError` saying what was expected. None for a switch."""
    default: Any = None
    """Value where nothing was given; None where it follows from other options, or from the run."""
    field: str | None
    """The field of `Settings` that holds the value; None where `options.parse` combines it with others."""
    repeat: Callable[[Settings], Any] | NotRepeated
    """Returns the value that repeats an item of a run with these settings; None to leave the option out."""
    help: str

    @property
    def dest(self) -> str:
        """Return pytest's name for it, which is also the ini option's."""
        return "mps_" + self.name.replace("-", "_")

    @property
    def is_switch(self) -> bool:
        return self.read is None

    @property
    def ini_type(self) -> Literal["string", "bool"]:
        return "bool" if self.is_switch else "string"

    def argument(self, value: Any) -> str:
        """Return the word of a command line that gives the option this value."""
        return f"--mps-{self.name}" if self.is_switch else f"--mps-{self.name}={_text(value)}"


def _text(value: Any) -> str:
    if isinstance(value, tuple):
        return ",".join(map(_text, value))
    if isinstance(value, float):  # "60", not "60.0", and no digit less than it has
        return f"{value:g}" if float(f"{value:g}") == value else repr(value)
    return str(value)


def _if_simulated(value: Callable[[sim_settings.SimSettings], Any]) -> Callable[[Settings], Any]:
    """Return a `repeat` for the simulated device only: other devices refuse the option."""
    return lambda settings: value(settings.sim) if settings.device == "sim" else None


OPTIONS = (
    Option(
        name="threads",
        metavar="N[,N...]|auto",
        read=values.thread_counts,
        field="threads",
        repeat=lambda settings: settings.threads,
        help="Run each scenario from N threads at once; each count makes a separate item",
    ),
    Option(
        name="seed",
        metavar="SEED",
        read=values.seed,
        field="seed",
        repeat=lambda settings: f"{settings.seed:#x}",
        help="Root seed, decimal or 0x hexadecimal (default: drawn from the OS and printed)",
    ),
    Option(
        name="attempts",
        metavar="N",
        read=values.whole_number,
        field="attempts",
        repeat=lambda settings: settings.attempts,
        help=f"Child processes per item, the unit of every rate (default {ATTEMPTS_DEFAULT}; {ATTEMPTS_FULL_DEFAULT} in "
        "full)",
    ),
    Option(
        name="attempts-per-process",
        metavar="N",
        read=values.whole_number,
        field="attempts_per_process",
        repeat=lambda settings: settings.attempts_per_process,
        help="Green attempts that a process may serve, one after another (default 1 where processes are forked, "
        f"{ATTEMPTS_PER_PROCESS} where they are spawned, as on macOS, or use CUDA)",
    ),
    Option(
        name="failed-first",
        default=False,
        field="failed_first",
        repeat=NotRepeated("what it adds enters no rate, and the line repeats the item's own attempts"),
        help="Run items with recorded failures first, and those failures, with their seeds and schedules, before new attempts",
    ),
    Option(
        name="profile",
        metavar="|".join(PROFILES),
        read=values.one_of(PROFILES),
        default="quick",
        field="profile",
        repeat=NotRepeated(
            "it selects items and their attempts, and the line names the item and its attempts"
        ),
        help="quick skips items marked full-only and makes fewer attempts of slow ones (default quick)",
    ),
    Option(
        name="iterations",
        metavar="N",
        read=values.whole_number,
        field="iterations",
        repeat=lambda settings: settings.iterations,
        help="Steps per thread and attempt (default: the scenario's own)",
    ),
    Option(
        name="seconds",
        metavar="SECONDS",
        read=values.seconds,
        field="seconds",
        repeat=NotRepeated("it is shared among all items of the run, and the line names the attempts of one"),
        help="Time budget of the run: items get fewer attempts to fit, and items that do not fit are skipped",
    ),
    Option(
        name="deadline",
        metavar="SECONDS",
        read=values.seconds,
        default=DEADLINE_S_DEFAULT,
        field="deadline_s",
        repeat=lambda settings: settings.deadline_s,
        help=f"Kill an attempt after this time and report a hang (default {DEADLINE_S_DEFAULT:.0f})",
    ),
    Option(
        name="device",
        metavar="|".join(DEVICES),
        read=values.one_of(DEVICES),
        default="auto",
        field="device",
        repeat=lambda settings: settings.device,
        help="Device to test (default auto: mps on macOS; elsewhere sim, a simulated MPS that is never real Metal, "
        "or cpu if that cannot be built; core: see --mps-pytorch)",
    ),
    Option(
        name="pytorch",
        metavar="TREE",
        read=values.source_tree,
        field="pytorch",
        repeat=lambda settings: settings.pytorch,
        help="Source tree of PyTorch whose own MPS core is built and tested with --mps-device=core, on a simulated Metal",
    ),
    Option(
        name="core-operators",
        metavar="|".join(CORE_OPERATORS),
        read=values.one_of(CORE_OPERATORS),
        default="cpu",
        field="core_operators",
        repeat=lambda settings: settings.core_operators if settings.core_operators != "cpu" else None,
        help="Operators of --mps-device=core (default cpu: torch's CPU kernels; tree: the tree's own, with MPSGraph interpreted)",
    ),
    Option(
        name="streams",
        metavar="|".join(STREAMS),
        read=values.one_of(STREAMS),
        default="auto",
        field="streams",
        repeat=lambda settings: settings.streams,
        help="How crew threads get a stream (default auto: as the torch build assigns them)",
    ),
    Option(
        name="perturb",
        metavar="|".join(PERTURB_LEVELS),
        read=values.one_of(PERTURB_LEVELS),
        field="perturb",
        repeat=lambda settings: settings.perturb,
        help="Schedule perturbation (default low)",
    ),
    Option(
        name="order",
        metavar="|".join(ORDERS),
        bare="first",
        read=values.order,
        field="order",
        repeat=lambda settings: settings.order,
        help="Check the order of all accesses to tensors, without waiting for a wrong value: in the first attempt of each "
        "item (the option alone), in all, or strict: the order of threads and locks too",
    ),
    Option(
        name="trace-modules",
        metavar="MODULE[,MODULE...]",
        read=values.module_names,
        default=(),
        field="trace_modules",
        repeat=lambda settings: settings.trace_modules,
        help="Installed modules whose lines are perturbed, in addition to the files of this project",
    ),
    Option(
        name="operator",
        metavar="NAME=MODULE:FUNCTION|MODULE:FUNCTION[,...]",
        read=values.parsed(operator_patch.parse),
        default=(),
        field="operators",
        repeat=lambda settings: settings.operators,
        help="Replace an operator of torch in the child processes, as in linalg.svd=mypkg:svd, or call a function that "
        "patches torch there",
    ),
    Option(
        name="sequences",
        metavar="N[-M][,...]",
        read=values.checked(sequences.parse),
        field="sequences",
        repeat=lambda settings: settings.sequences,
        help="Which random operator sequences scenarios/op_sequences.py runs, by number (default "
        f"{sequences.DEFAULT})",
    ),
    Option(
        name="sim-faults",
        metavar="NAME[/twin][:P[:US]][,...]",
        read=values.parsed(sim_settings.parse_faults),
        default=(),
        field=None,
        repeat=_if_simulated(lambda sim: sim.faults),
        help="Switch on seeded faults of the simulated device, optionally with probability P and a window of US microseconds",
    ),
    Option(
        name="sim-design",
        metavar="|".join(DESIGNS),
        read=values.one_of(tuple(DESIGNS)),
        field=None,
        repeat=_if_simulated(lambda sim: sim.design),
        help=f"How the simulated device assigns streams to threads (default {DESIGN_DEFAULT}, or the "
        "design that the faults belong to)",
    ),
    Option(
        name="sim-schedule",
        metavar="free|random|pct[:DEPTH]",
        read=values.checked(sim_settings.parse_schedule),
        default="free",
        field=None,
        repeat=_if_simulated(lambda sim: sim.schedule_text),
        help="Order of work on the simulated device: random and pct make it repeatable by seed (default free)",
    ),
    Option(
        name="tsan",
        default=False,
        field="tsan",
        repeat=lambda settings: settings.tsan,
        help="Run under ThreadSanitizer, on an instrumented simulated device or a tree's instrumented core: finds races that have "
        "not yet done harm",
    ),
    Option(
        name="no-isolation",
        default=False,
        field=None,
        repeat=lambda settings: not settings.isolation,
        help="Run in the pytest process: a crash ends pytest, and a hang in native code is not caught (implied by --pdb)",
    ),
    Option(
        name="share-device",
        default=False,
        field="share_device",
        repeat=lambda settings: settings.share_device,
        help="Let pytest-xdist workers share one accelerator, which changes the experiment",
    ),
    Option(
        name="torch-source",
        metavar="DIR",
        read=values.existing_folder,
        field="torch_source",
        repeat=NotRepeated(
            "it checks the torch build, changes no attempt, and is a folder of this machine alone"
        ),
        help="Refuse to run unless torch was built from this source tree's commit",
    ),
    Option(
        name="allow-torch-mismatch",
        default=False,
        field="allow_torch_mismatch",
        repeat=lambda settings: settings.allow_torch_mismatch,
        help="Run even if torch is not a build of --mps-torch-source; the record says so",
    ),
    Option(
        name="results",
        metavar="DIR",
        read=values.folder_to_write,
        field="results",
        repeat=NotRepeated("it says where records go, and changes no attempt"),
        help=f"Where records go (default {RESULTS_DEFAULT} below the rootdir)",
    ),
    Option(
        name="all-tests",
        default=False,
        field="all_tests",
        repeat=NotRepeated("it concerns ordinary tests, and the line names an item of a scenario"),
        help="Run ordinary test functions from N threads too, in child processes (with --mps-no-isolation, inside pytest)",
    ),
)
BY_NAME = {one.name: one for one in OPTIONS}


def add_options(parser: pytest.Parser) -> None:
    parser.addini(
        suppressions.INI,
        "Order findings that are known, a line each: the finding's last line, ' -- ' and the reason",
        type="linelist",
        default=[],
    )
    group = parser.getgroup("mps", "stress and race detection for PyTorch's MPS backend")
    for one in OPTIONS:
        how: dict[str, Any] = {"action": "store_true"} if one.is_switch else {"metavar": one.metavar}
        how |= {"nargs": "?", "const": one.bare} if one.bare else {}
        group.addoption(f"--mps-{one.name}", dest=one.dest, default=None, help=one.help, **how)
        parser.addini(one.dest, one.help, type=one.ini_type, default=False if one.is_switch else None)
