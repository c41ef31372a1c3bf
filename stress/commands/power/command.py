"""`mps-stress power`: open everything, measure, print, and say by the exit status whether a twin failed."""

from __future__ import annotations

import sys
import time
from pathlib import Path

from stress.commands import CommandError
from stress.commands.exit_status import EXIT_INTERRUPTED
from stress.commands.power.allocation import DEFAULT_PATH
from stress.commands.power.allocation import AllocationError
from stress.commands.power.allocation import load
from stress.commands.power.allocation import with_threads
from stress.commands.power.candidates import candidates
from stress.commands.power.entry_runner import Bench
from stress.commands.power.entry_runner import Simulator
from stress.commands.power.measurement import Measured
from stress.commands.power.measurement import Measurement
from stress.commands.power.measurement import usable
from stress.commands.power.measurement import weight_of
from stress.commands.power.options import PowerOptions
from stress.commands.power.peer.session import Peer
from stress.commands.power.probing import build_device
from stress.commands.power.probing import open_records
from stress.commands.power.probing import probe
from stress.commands.power.probing import say
from stress.commands.power.report import json_text
from stress.commands.power.report import text
from stress.commands.power.runnable import Runnable
from stress.commands.power.runnable import resolve
from stress.commands.power.shares import Shares
from stress.device.sim.build import SimBuild
from stress.isolate.backend import IsolationError
from stress.isolate.supervisor import Supervisor
from stress.record import RecordWriter


def measure(options: PowerOptions, cwd: Path) -> int:
    """Run the measurement and print it; Ctrl-C ends it early, with what there is."""
    started = time.monotonic()
    runnables = _runnables(options)
    build = build_device()
    supervisor = Supervisor(str(build.library))
    supervisor.warm_up()
    try:
        measured = _measure(options, build, supervisor, runnables, started)
    finally:
        supervisor.close()
    measured.seconds = time.monotonic() - started
    print(json_text(measured) if options.json else text(measured))
    if measured.interrupted:
        return EXIT_INTERRUPTED
    return 1 if measured.alarms else 0


def _measure(
    options: PowerOptions, build: SimBuild, supervisor: Supervisor, runnables: list[Runnable], started: float
) -> Measured:
    designs = list(dict.fromkeys(one.design for one in options.faults))
    probed = {design: probe(supervisor, build, design) for design in designs}
    entries = [one.entry for one in runnables]
    writer = open_records(options, sys.argv[1:], build, probed[designs[0]], entries)
    by_design = {design: usable(runnables, one.capabilities) for design, one in probed.items()}
    measured = Measured(options, str(probed[designs[0]].torch["version"]), str(writer.folder.path), by_design)
    for design, found in by_design.items():
        if not found:
            raise CommandError(f"no entry of the allocation can run on design {design}")
        missing = len(runnables) - len(found)
        if missing:
            measured.notes.append(f"design {design}: {missing} of {len(runnables)} entries cannot run there")
    status: int | None = None
    try:
        _run(options, build, supervisor, writer, measured)
        status = 1 if measured.alarms else 0
    except KeyboardInterrupt:
        measured.interrupted = True
        status = EXIT_INTERRUPTED
    except IsolationError as error:
        raise CommandError(f"no child process can be started: {error}") from None
    finally:
        seconds = time.monotonic() - started
        writer.write("run_end", seconds=seconds, exit_status=status, verdicts={}, simulated=True)
        writer.close()
    return measured


def _run(
    options: PowerOptions,
    build: SimBuild,
    supervisor: Supervisor,
    writer: RecordWriter,
    measured: Measured,
) -> None:
    simulator = Simulator(str(build.library), build.key)
    peer = None
    if options.against is not None:
        threads = options.threads or max(one.entry.threads for one in next(iter(measured.entries.values())))
        peer = Peer(simulator, threads, options.seed, writer.folder.path)
        for design, entries in measured.entries.items():
            say(f"{peer.name}: looking for what it can run on design {design} while no fault is armed")
            measured.notes += [
                f"{peer.name}, design {design}, {note}" for note in peer.calibrate(design, entries)
            ]
    bench = Bench(supervisor.run, writer, simulator, options.seed)
    # Building the device, once, and opening it are no part of the measurement.
    Measurement(options, bench, Shares(options.seconds, weight_of(options)), measured, peer).run()


def _runnables(options: PowerOptions) -> list[Runnable]:
    try:
        if options.explore and options.allocation is None:
            entries = tuple(candidates(threads=options.threads))
        else:
            entries = load(options.allocation or DEFAULT_PATH)
            if options.threads is not None:
                entries = with_threads(entries, options.threads)
        return [resolve(one) for one in entries]
    except AllocationError as error:
        raise CommandError(str(error)) from None


def run(options: PowerOptions) -> int:
    """Measure, or learn from records."""
    if options.learn:
        from stress.commands.power.learn import learn

        print(learn(options.learn), end="")
        return 0
    return measure(options, cwd=Path.cwd())
