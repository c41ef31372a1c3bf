"""`mps-stress export`: the same generator as minimise's, for any attempt or scenario."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from stress.commands import CommandError
from stress.commands.export.able import check_able
from stress.commands.export.files import script
from stress.commands.export.files import unittest_file
from stress.commands.export.options import ExportOptions
from stress.commands.export.recorded import core_block
from stress.commands.export.recorded import sim_block
from stress.commands.export.subject import ExportSpec
from stress.commands.replay.command import prepare
from stress.commands.replay.find import shown
from stress.commands.replay.recorded import Recorded
from stress.commands.replay.resolve import Resolved
from stress.commands.replay.resolve import resolve_name
from stress.commands.session import build_device
from stress.commands.session import say
from stress.commands.session import write_output
from stress.device.sim.settings import SimSettings
from stress.isolate.device_choice import core_device
from stress.model.errors import BrokenScenario
from stress.scenario.file import load_scenario


def run(options: ExportOptions) -> int:
    """Write the file to the output or stdout; raise `CommandError` for what cannot be exported."""
    recorded: Recorded | None = None
    if "::" in options.what:
        resolved = resolve_name(options.what, options.rootdir, options.threads)
        heading = [f"Exported by mps-stress from {shown(options.what)}."]
    elif Path(options.what).suffix == ".py":
        raise CommandError(
            f"{shown(options.what)}: expected FILE::CLASS, as in {shown(options.what)}::SharedLinear"
        )
    else:
        recorded, resolved, _ = prepare(options.what, options.rootdir, options.results)
        heading = [f"Exported by mps-stress from attempt {recorded.name}, {shown(recorded.item)}."]
    subject = _subject(recorded, resolved, options)
    if subject.device == "sim":
        check_able(resolved, recorded.sim if recorded is not None else None)
    write_output(options.output, (unittest_file if options.kind == "unittest" else script)(subject, heading))
    return 0


def _subject(recorded: Recorded | None, what: Resolved, options: ExportOptions) -> ExportSpec:
    name = options.device or (recorded.device if recorded is not None else "mps")
    count = options.threads or what.threads
    try:
        scenario = load_scenario(what.ref, threads=count, device_type=name)
    except BrokenScenario as error:
        raise CommandError(shown(error)) from None
    subject = ExportSpec(scenario, count, options.iterations, name, env=what.env)
    if recorded is not None:
        subject = replace(
            subject,
            iterations=options.iterations or recorded.iterations,
            readback=recorded.readback,
            perturb=recorded.perturb,
        )
    if name == "core" and recorded is not None and recorded.pytorch is not None:
        device = core_device(recorded.pytorch, say, operators=recorded.core_operators)
        subject = replace(subject, core=core_block(device, recorded.completion))
    if name == "sim":
        settings = (recorded.sim if recorded is not None else None) or SimSettings()
        subject = replace(subject, sim=sim_block(settings, build_device()))
    return subject
