"""`mps-stress upstream`: hand the tree's test files over to pytest, which runs them as it runs any ordinary tests."""

from __future__ import annotations

import os

from stress.commands.hand_over import hand_over
from stress.commands.session import say
from stress.commands.upstream.options import UpstreamOptions
from stress.commands.upstream.plugin import UpstreamPlugin
from stress.commands.upstream.suite_needs import SUITE_ARGUMENTS

_SWITCHES = ("PYTORCH_TEST_", "PYTORCH_TESTING_", "TEST_MPS_", "PYTORCH_MPS_")
"""Variables with which PyTorch's tests choose what they run."""


def run(options: UpstreamOptions) -> int:
    """Run the tests; 0 nothing new, 1 something is, 2 bad input."""
    version = options.tree / "version.txt"
    tree = version.read_text(encoding="utf-8").strip() if version.is_file() else "unknown"
    for name in sorted(os.environ):
        if name.startswith(_SWITCHES):
            say(
                f"mps: {name}={os.environ[name]} is set, and changes which tests run or how: the baseline may be of others"
            )
    return hand_over(UpstreamPlugin(options, tree), list(_arguments(options)))


def _arguments(options: UpstreamOptions) -> list[str]:
    tests = options.tree / "test"
    sim = [f"--mps-sim-faults={options.sim_faults}"] if options.sim_faults is not None else []
    pytorch = [f"--mps-pytorch={options.pytorch}"] if options.pytorch is not None else []
    chosen = ["-k", options.tests] if options.tests else []
    return [
        *(str(tests / one) for one in options.files),
        f"--rootdir={tests}",
        *SUITE_ARGUMENTS,
        "--tb=no",
        "--no-summary",
        *chosen,
        "--mps-all-tests",
        f"--mps-threads={options.threads}",
        f"--mps-attempts={options.attempts}",
        f"--mps-iterations={options.iterations}",
        f"--mps-deadline={options.deadline_s:g}",
        f"--mps-seed={options.seed}",
        f"--mps-device={options.device}",
        f"--mps-results={options.results}",
        *pytorch,
        *sim,
    ]
