"""`mps-stress power`: open everything, measure, print, and say by the exit status whether a twin failed."""

from __future__ import annotations

import time
from collections.abc import Iterable
from collections.abc import Sequence

from stress.commands import CommandError
from stress.commands.power.allocation import ALLOCATION_FILE
from stress.commands.power.allocation import BLIND_PATH
from stress.commands.power.allocation import DEFAULT_PATH
from stress.commands.power.allocation import Entry
from stress.commands.power.allocation import dump
from stress.commands.power.allocation import load
from stress.commands.power.allocation import with_threads
from stress.commands.power.entry_runner import EntryRunner
from stress.commands.power.entry_runner import Simulator
from stress.commands.power.measurement import Measurement
from stress.commands.power.measurement import PowerMeasurement
from stress.commands.power.measurement import usable
from stress.commands.power.measurement import weight_of
from stress.commands.power.native import NativeAttempts
from stress.commands.power.native import NativeCase
from stress.commands.power.native import resolve_native
from stress.commands.power.options import PowerOptions
from stress.commands.power.report import json_text
from stress.commands.power.report import text
from stress.commands.power.runnable import Runnable
from stress.commands.power.runnable import resolve
from stress.commands.power.shares import OVERSUBSCRIPTION
from stress.commands.power.shares import OVERSUBSCRIPTION_BLIND
from stress.commands.power.shares import Shares
from stress.commands.session import Session
from stress.commands.session import build_device
from stress.commands.session import probe_sim
from stress.commands.session import say
from stress.commands.session import session
from stress.device.sim.settings import SimSettings
from stress.sanitizer.native.harness import Harness
from stress.sanitizer.native.harness import NoToolchainError
from stress.sanitizer.native.harness import default_recipe


def run(options: PowerOptions) -> int:
    """Measure and print; Ctrl-C ends it early, with what there is."""
    with session() as opened:
        (runner, *others), measured = open_runners(opened, options, entries_of(options))
        shares = Shares(
            options.seconds,
            weight_of(options),
            oversubscription=OVERSUBSCRIPTION_BLIND if options.blind else OVERSUBSCRIPTION,
        )
        status = conduct(opened, Measurement(options, runner, shares, measured, others))
    print(json_text(measured) if options.json else text(measured))
    return status


def entries_of(options: PowerOptions) -> tuple[Entry, ...]:
    """Return the entries of the allocation; raise `AllocationError`."""
    entries = load(options.allocation or (BLIND_PATH if options.blind else DEFAULT_PATH))
    return entries if options.threads is None else with_threads(entries, options.threads)


def open_runners(
    opened: Session, options: PowerOptions, entries: Iterable[Entry]
) -> tuple[list[EntryRunner], PowerMeasurement]:
    """Open the device and the records; return each worker's runner of entries, and the place for what comes of them."""
    started = time.monotonic()
    entries = tuple(entries)
    runnables: list[Runnable | NativeCase] = [resolve(one) for one in entries if not one.is_native]
    harness, no_harness = open_harness([one for one in entries if one.is_native])
    if harness is not None:
        runnables += [resolve_native(one, harness.listing) for one in entries if one.is_native]
    build = build_device()
    supervisors = [opened.supervise(str(build.library)) for _ in range(options.workers)]
    for one in supervisors:
        one.warm_up()
    designs = dict.fromkeys(one.design for one in options.faults)
    probed = {design: probe_sim(supervisors[0], build, SimSettings(design)) for design in designs}
    first = next(iter(probed.values()))
    by_design = {design: usable(runnables, design, one.capabilities) for design, one in probed.items()}
    for design, found in by_design.items():
        if not found:
            raise CommandError(f"no entry of the allocation can run on design {design}")
    writer = opened.open_records(
        "power",
        options.results,
        seed=options.seed,
        settings=options.to_data(),
        device=first,
        device_reason="power measures on the simulated device",
        sim=build.to_data(),
    )
    folder = writer.folder
    folder.side(ALLOCATION_FILE).write_text(
        dump([one.entry for one in runnables], f"As used by run {folder.run}.")
    )
    measured = PowerMeasurement(
        options, str(first.torch["version"]), str(folder.path), by_design, started=started
    )
    measured.notes += [
        f"design {design}: {len(runnables) - len(found)} of {len(runnables)} entries cannot run there"
        for design, found in by_design.items()
        if len(found) < len(runnables)
    ]
    measured.notes += [no_harness] if no_harness else []
    if harness is not None:
        _drop_unproven(NativeAttempts(harness, writer, options.seed), measured)
    simulator = Simulator(str(build.library), build.key)
    runners = []
    for one in supervisors:
        native = NativeAttempts(harness, writer, options.seed) if harness is not None else None
        runners.append(EntryRunner(one.run, writer, simulator, options.seed, native))
    return runners, measured


def open_harness(entries: Sequence[Entry]) -> tuple[Harness | None, str]:
    """Return the program of the native suite, built now if need be, or why its entries are left out."""
    if not entries:
        return None, ""
    try:
        return Harness.open(default_recipe(), say), ""
    except NoToolchainError as error:
        return None, f"{len(entries)} entries of the native suite are left out: {error}"


def _drop_unproven(native: NativeAttempts, measured: PowerMeasurement) -> None:
    """Leave out the native cases whose silence would prove nothing, because a control did not hold."""
    for design, found in measured.entries.items():
        problems = {one.name: native.problem(one) for one in found if isinstance(one, NativeCase)}
        measured.entries[design] = tuple(one for one in found if not problems.get(one.name))
        measured.notes += [f"{name} is left out: {why}" for name, why in problems.items() if why]


def conduct(opened: Session, measurement: Measurement) -> int:
    """Run to the end, or to Ctrl-C, which leaves what was measured by then; return the exit status."""
    measured = measurement.measured
    with opened.until_interrupted():
        measurement.run()
        opened.status = 1 if measured.alarms else 0
    measured.interrupted = opened.interrupted
    measured.seconds = time.monotonic() - measured.started
    assert opened.status is not None
    return opened.status
