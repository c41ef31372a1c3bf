"""Say what this machine can run, and what would spoil the results: one line each, with the way out.

Looks at the device, torch, the environment, the tools and the machine. Exit status 1 where something is missing;
what could not be checked is reported as such, never as ok.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

from stress.commands import shared_options


def add_arguments(parser: argparse.ArgumentParser) -> None:
    shared_options.add(parser, "torch-source", help="compare the installed torch with this tree's commit")
    shared_options.add(parser, "results", help="where records will go (%(default)s)")
    shared_options.add(parser, "json", help="print JSON instead of text")


@dataclass(frozen=True)
class DoctorOptions:
    """Validated options."""

    torch_source: Path | None
    results: Path
    json: bool


def parse(args: argparse.Namespace) -> DoctorOptions:
    return DoctorOptions(**shared_options.values(args, "torch-source", "results", "json"))
