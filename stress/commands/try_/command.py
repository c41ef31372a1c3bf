"""`mps-stress try`: write the scenario, let pytest run it."""

from __future__ import annotations

import shlex

import pytest

from stress.commands.exit_status import EXIT_INTERRUPTED
from stress.commands.exit_status import EXIT_USAGE
from stress.commands.try_.options import TryOptions
from stress.commands.try_.scenario_file import of_model
from stress.commands.try_.target import find_target

_STATUS: dict[int, int] = {
    pytest.ExitCode.USAGE_ERROR: EXIT_USAGE,
    pytest.ExitCode.INTERRUPTED: EXIT_INTERRUPTED,
}


def run(options: TryOptions) -> int:
    """Write the scenario and run it; pytest prints what comes of it."""
    folder = options.rootdir
    model, make_input = find_target(options.model, folder), find_target(options.input, folder)
    words = shlex.join([options.model, f"--input={options.input}"])
    file = of_model(model, make_input, f"Written by `mps-stress try {words}`.")
    path = file.write(folder)
    status = pytest.main(
        [
            f"{path}::{file.class_name}",
            f"--rootdir={folder}",
            "--override-ini=addopts=",
            f"--mps-threads={options.threads}",
            f"--mps-attempts={options.attempts}",
            f"--mps-iterations={options.iterations}",
            f"--mps-device={options.device}",
            f"--mps-seed={options.seed:#x}",
            f"--mps-deadline={options.deadline:g}",
            f"--mps-trace-modules={','.join(sorted({one.module.partition('.')[0] for one in (model, make_input)}))}",
        ]
    )
    return _STATUS.get(int(status), int(status))
