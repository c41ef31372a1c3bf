"""`mps-stress export`: the same generator as minimise's, for any attempt or scenario."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

from stress.commands import CommandError
from stress.commands.export.able import check_able
from stress.commands.export.files import script
from stress.commands.export.files import unittest_file
from stress.commands.export.recorded import sim_block
from stress.commands.export.subject import ExportSpec
from stress.commands.power.probing import build_device
from stress.commands.replay.command import prepare
from stress.commands.replay.find import shown
from stress.commands.replay.recorded import Recorded
from stress.commands.replay.resolve import Resolved
from stress.commands.replay.resolve import resolve_name
from stress.commands.shared_options import checked
from stress.commands.shared_options import count
from stress.commands.shared_options import places
from stress.device.sim.settings import SimSettings
from stress.model.errors import BrokenScenario
from stress.scenario.file import load_scenario


def export(
    what: str,
    *,
    kind: str,
    output: Path | None,
    device: str | None,
    threads: int | None,
    iterations: int | None,
    rootdir: Path,
    results: Path | None,
) -> int:
    """Write the file to `output` or stdout; raise `CommandError` for what cannot be exported."""
    recorded: Recorded | None = None
    if "::" in what:
        resolved = resolve_name(what, rootdir, threads)
        heading = [f"Exported by mps-stress from {shown(what)}."]
    else:
        recorded, resolved, _ = prepare(what, rootdir, results)
        heading = [f"Exported by mps-stress from attempt {recorded.name}, {shown(recorded.item)}."]
    subject = _subject(recorded, resolved, device, threads, iterations)
    if subject.device == "sim":
        check_able(resolved, recorded.sim if recorded is not None else None)
    text = (unittest_file if kind == "unittest" else script)(subject, heading)
    if output is None:
        print(text, end="")
        return 0
    try:
        output.write_text(text)
    except OSError as error:
        raise CommandError(f"{output} cannot be written: {error.strerror}") from None
    return 0


def _subject(
    recorded: Recorded | None,
    what: Resolved,
    device: str | None,
    threads: int | None,
    iterations: int | None,
) -> ExportSpec:
    name = device or (recorded.device if recorded is not None else "mps")
    count = threads or what.threads
    try:
        scenario = load_scenario(what.ref, threads=count, device_type=name)
    except BrokenScenario as error:
        raise CommandError(shown(error)) from None
    subject = ExportSpec(scenario, count, iterations, name, env=what.env)
    if recorded is not None:
        subject = replace(
            subject,
            iterations=iterations or recorded.iterations,
            readback=recorded.readback,
            perturb=recorded.perturb,
        )
    if name == "sim":
        settings = (recorded.sim if recorded is not None else None) or SimSettings()
        subject = replace(subject, sim=sim_block(settings, build_device()))
    return subject


def run(args: argparse.Namespace) -> int:
    """Check the options, then write the file."""
    from stress.plugin.settings import COUNT_MAX
    from stress.plugin.settings import THREADS_MAX

    threads = checked(lambda: count(args.threads, "--threads", THREADS_MAX))
    iterations = checked(lambda: count(args.iterations, "--iterations", COUNT_MAX))
    rootdir, results = places(args)
    return export(
        args.what,
        kind=args.kind,
        output=Path(args.output) if args.output else None,
        device=args.device,
        threads=threads,
        iterations=iterations,
        rootdir=rootdir,
        results=results,
    )
