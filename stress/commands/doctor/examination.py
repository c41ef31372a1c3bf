"""Look at everything, in the order of the report."""

from __future__ import annotations

import os
import platform
from pathlib import Path

from stress.commands.doctor import free_threading
from stress.commands.doctor import machine
from stress.commands.doctor import metal
from stress.commands.doctor.check import CheckResult
from stress.commands.doctor.sanitizer_lines import sanitizer_lines
from stress.commands.doctor.switches import switch_lines
from stress.commands.doctor.torch_lines import torch_lines
from stress.commands.doctor.torch_probe import look


def examine(source: Path | None, results: Path) -> list[CheckResult]:
    """Return all lines. Starts a child that imports torch, and asks the system's own tools."""
    system = platform.system()
    probe = look()
    return [
        *metal.metal_lines(metal.collect(probe)),
        machine.sim_line(system),
        *torch_lines(probe, source, system),
        *switch_lines(os.environ),
        *sanitizer_lines(),
        free_threading.free_python_line(free_threading.find()),
        machine.crash_report_line(system),
        *machine.disk_lines(results),
        *machine.power_lines(system),
        machine.plugin_line(),
    ]
