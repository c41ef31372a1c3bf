"""`mps-stress doctor`: look at everything and print it."""

from __future__ import annotations

import shutil

from stress.commands.doctor.examination import examine
from stress.commands.doctor.options import DoctorOptions
from stress.commands.doctor.report import is_ready
from stress.commands.doctor.report import json_of
from stress.commands.doctor.report import text_of


def run(options: DoctorOptions) -> int:
    """Look at everything and print it."""
    lines = examine(options.torch_source, options.results)
    print(json_of(lines) if options.json else text_of(lines, shutil.get_terminal_size((110, 24)).columns))
    return 0 if is_ready(lines) else 1
