"""The orders that the parent gives to a child: plain JSON data, no pickles, no callables."""

from __future__ import annotations

import json
from dataclasses import asdict
from dataclasses import dataclass
from dataclasses import field
from pathlib import Path
from typing import Any

DEADLINE_S_DEFAULT = 60.0
ATTEMPTS_PER_PROCESS = 50
"""Where a process takes seconds to start, beside attempts that take a fraction of one."""
TESTS_PER_PROCESS = 2000
"""Attempts of ordinary tests: a process collects their file first, and those of a whole suite may follow one another."""
TESTS = "stress.plugin.hosted.host"
"""The module that runs ordinary tests in a child: in a room above it."""
TEST_S = "test_s"
"""Name of the time, among those of a child, that an ordinary test took: without the start of its process."""
RESULTS_DEFAULT = "results/runs"
"""Where records go, below pytest's rootdir. Not in `stress.record`, which looks at the machine when it is imported."""
HANGS_MAX = 2
"""An item stops after so many hangs: each costs a whole deadline, and says no more than the one before."""

READBACKS = ("every", "end", "digest", "every-4th")
"""When outputs are read back: a seeded axis, because reading serialises and keeping prevents memory reuse."""

COMPLETIONS = ("in_order", "delayed", "late_listener", "slow_queue")
"""When the simulated Metal below a core completes what was committed: an axis, too, as `Completion` in options.h has it."""


@dataclass(frozen=True)
class ScenarioRef:
    """The scenario as the child finds it: its file, module name, class and parameter indices."""

    path: str
    module: str
    qualname: str
    indices: tuple[int, ...]


@dataclass(frozen=True)
class SimSpec:
    """The simulated device of a child: where its library is, and how it behaves."""

    library: str
    key: str
    """"mps" or "privateuseone": the dispatch key that the library registers on."""
    design: str
    configure: str
    """Text for the device's configure(); the seeds follow from the child's own."""
    schedule: str


@dataclass(frozen=True)
class CoreSpec:
    """A PyTorch tree's own MPS core for a child."""

    library: str
    tree_operators: bool = False
    """Whether operators are the tree's own; torch's CPU kernels serve otherwise."""


@dataclass(frozen=True)
class TestSpec:
    """An ordinary test as a child finds it: by a pytest session of its own, which collects the test's file once and stays."""

    __test__ = False  # pytest takes the class for a test otherwise

    file: str
    rootdir: str
    nodeid: str = ""
    """Empty to collect the file, and run nothing."""
    options: dict[str, Any] = field(default_factory=dict)
    """pytest's own options, as `Config.fromdictargs` takes them."""


@dataclass(frozen=True)
class WindowSpec:
    """A time window in which requests are counted: see `stress.commands.throughput`."""

    way: str
    """"threads", "processes" or "batching"."""
    count: int
    """How many requests are served at once."""
    seconds: float
    warm_up_s: float


@dataclass(frozen=True)
class ChildSpec:
    """One child process: a reference run, a crew, a process scenario, a probe of the device, or another task."""

    kind: str
    """"reference", "crew", "process", "probe", or the "module:function" of a task that is not in `stress.child`."""
    folder: str = ""
    """Where the child's files go; `name` is their common stem. Both are given when the child is started."""
    name: str = ""
    device: str = ""
    scenario: ScenarioRef | None = None
    threads: int = 1
    iterations: int | None = None
    overrides: dict[str, Any] = field(default_factory=dict)
    """Attributes that the scenario gets after its parameters, as JSON values: a smaller version of it."""
    seed: int = 0
    attempt: int = 0
    one_thread: bool = False
    """The control: all slots of the plan, round robin, on one crew thread."""
    shares_process: bool = False
    """It may run in a process that has served others, and others after it; else it has its own, from start to end."""
    streams: str = "auto"
    perturb_mode: str = "none"
    perturb_level: str = "off"
    trace_modules: tuple[str, ...] = ()
    trace_folders: tuple[str, ...] = ()
    """Folders of the user's own code, whose lines are perturbed; the scenario's own is always one."""
    readback: str = "every"
    completion: str = "in_order"
    """One of `COMPLETIONS`; of no effect but on a core."""
    order: str = ""
    """Level at which the order of all accesses is checked (`stress.order`); empty for not at all."""
    order_suppressions: tuple[str, ...] = ()
    """Findings of it that are known, as their last lines with * for anything."""
    references: tuple[str, ...] = ()
    """Files written by reference children; the first is that of the item's own environment."""
    device_only: bool = False
    """For a reference in another environment: the device's runs without the CPU's."""
    deadline_s: float = DEADLINE_S_DEFAULT
    stall_s: float = 0.0
    """End the child before its deadline once every thread has slept for so long; 0 for never."""
    sys_path: tuple[str, ...] = ()
    cwd: str = ""
    env: dict[str, str] = field(default_factory=dict)
    sim: SimSpec | None = None
    """Given where `device` is "sim"."""
    core: CoreSpec | None = None
    """Given where `device` is "core"."""
    operators: tuple[str, ...] = ()
    """Operators to replace before the scenario's file is imported: see `stress.device.operator_patch`."""
    test: TestSpec | None = None
    """Given where an ordinary test runs: as it is for "reference", from threads for "crew"."""
    window: WindowSpec | None = None
    """Given where requests are counted."""

    def file(self, suffix: str) -> Path:
        return Path(self.folder) / f"{self.name}.{suffix}"

    def dump(self) -> Path:
        """Write the spec next to the child's other files and return its path."""
        path = self.file("spec.json")
        path.write_text(json.dumps(asdict(self)))
        return path


def load_spec(path: Path) -> ChildSpec:
    data: dict[str, Any] = json.loads(path.read_text())
    if data["scenario"] is not None:
        scenario = data["scenario"]
        data["scenario"] = ScenarioRef(**{**scenario, "indices": tuple(scenario["indices"])})
    if data["sim"] is not None:
        data["sim"] = SimSpec(**data["sim"])
    if data["core"] is not None:
        data["core"] = CoreSpec(**data["core"])
    if data["test"] is not None:
        data["test"] = TestSpec(**data["test"])
    if data["window"] is not None:
        data["window"] = WindowSpec(**data["window"])
    for name in ("trace_modules", "trace_folders", "references", "sys_path", "operators"):
        data[name] = tuple(data[name])
    return ChildSpec(**data)
