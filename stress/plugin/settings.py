"""The settings that the user asked for, validated, and their bounds."""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import dataclass
from dataclasses import field
from pathlib import Path

from stress.device.operator_patch import Operator
from stress.device.sim.settings import SimSettings
from stress.scenario.scenario import AnyScenario
from stress.scenario.scenario import is_quick

STREAMS = ("auto", "shared", "per-thread")
PERTURB_LEVELS = ("off", "low", "high")

ATTEMPTS_DEFAULT = 5
ATTEMPTS_FULL_DEFAULT = 20
ORDERS = ("first", "all", "strict")
"""Values of `--mps-order`: the first attempt of each item, all, or the first with threads and locks too."""
PROFILES = ("quick", "full")
THREADS_MAX = 1024
"""More is a typing error: no machine has so many cores, and many cannot start so many threads."""
COUNT_MAX = 10**9
SECONDS_MAX = 10.0**7


@dataclass(frozen=True)
class Settings:
    """The user's validated settings. Times are in seconds."""

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
    operators: tuple[Operator, ...] = ()
    sequences: str | None = None
    """Numbers of random operator sequences, as given and checked."""
    tsan: bool = False
    """Whether children run under ThreadSanitizer; the device is "sim" or "core" then."""
    order: str | None = None
    """"first", "all" or "strict": which attempts check the order of accesses, and how; None for none."""
    order_suppressions: Mapping[str, str] = field(default_factory=dict)
    """Order finding that is known, as its last line with * for anything -> why it is no news."""
    sim: SimSettings = field(default_factory=SimSettings)
    """Used where the device is, or turns out to be, the simulated one."""
    pytorch: str | None = None
    """The PyTorch tree whose own MPS core is tested, as given; the device is "core" then."""
    core_operators: str = "cpu"
    """"tree": the tree's own operators serve; "cpu": torch's CPU kernels."""
    profile: str = "quick"
    attempts_per_process: int | None = None
    """How many attempts may share a process; None for what the start method and the device make sensible."""
    failed_first: bool = False
    """Whether recorded failures are run before new attempts."""
    attempts_asked: bool = False
    """The user named the number of attempts, which is that of every item then."""

    def attempts_of(self, scenario: AnyScenario | type[AnyScenario]) -> int:
        """Return how many attempts an item of this scenario gets; in quick, the scenario may ask for fewer."""
        own = scenario.attempts_quick
        if not own or self.profile != "quick" or self.attempts_asked:
            return self.attempts
        return min(own, self.attempts)

    @property
    def order_level(self) -> str:
        """Return the level at which attempts check the order of accesses; empty for none that does."""
        return "" if self.order is None else "strict" if self.order == "strict" else "device"

    def leaves_out(self, scenario: type[AnyScenario], indices: Sequence[int]) -> bool:
        """Whether the profile leaves out the items with these parameters, unless they are named."""
        return self.profile == "quick" and not is_quick(scenario, indices)
