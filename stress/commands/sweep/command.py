"""`mps-stress sweep`: list the cases, run them until the time is up, print the table."""

from __future__ import annotations

import fnmatch
import random
import shutil
import sys
import time
from collections import Counter

import torch

from stress.commands import CommandError
from stress.commands.session import say
from stress.commands.session import session
from stress.commands.sweep import op_db
from stress.commands.sweep.operator_runner import OperatorCase
from stress.commands.sweep.operator_runner import OperatorResult
from stress.commands.sweep.operator_runner import OperatorRunner
from stress.commands.sweep.options import SweepOptions
from stress.commands.sweep.report import Swept
from stress.commands.sweep.report import json_text
from stress.commands.sweep.report import text
from stress.isolate.device_choice import DeviceInfo
from stress.model import seeds
from stress.record import RecordWriter

_SAY_EVERY_S = 20.0


def run(options: SweepOptions) -> int:
    """Run and print; 1 where something failed or is undecided, 130 after Ctrl-C."""
    chosen = _chosen(options)
    with session() as opened:
        device, supervisor = opened.open_device(options, preload=[op_db.MODULE])
        planned = cases(options, chosen, "mps" if device.name == "sim" else device.name)
        writer = opened.open_records(
            "sweep", options.results, seed=options.seed, settings=options.to_data(), device=device
        )
        results: list[OperatorResult] = []
        with opened.until_interrupted():
            runner = OperatorRunner(supervisor.run, writer, device, options)
            _run_cases(options, planned, runner, results, opened.verdicts)
            bad = any(one.word not in ("ok", "refused") for one in results)
            opened.status = int(bad or not any(one.word == "ok" for one in results))
    swept = _swept(options, planned, results, writer, device)
    columns = shutil.get_terminal_size().columns
    print(json_text(swept) if options.json else text(swept, width=columns, color=sys.stdout.isatty()))
    assert opened.status is not None
    return opened.status


def _chosen(options: SweepOptions) -> list[object]:
    """Return the entries that the patterns name; raise `CommandError` for a pattern that names none."""
    known = {op_db.full_name(op): op for op in op_db.all_entries()}
    if not options.ops:
        return list(known.values())
    names: list[str] = []
    for pattern in options.ops:
        found = fnmatch.filter(known, pattern)
        if not found:
            raise CommandError(
                f"--ops: torch {torch.__version__} has no operator {pattern!r} in its database; "
                "patterns work too, as in --ops='linalg.*'"
            )
        names += found
    return [known[name] for name in dict.fromkeys(names)]


def cases(options: SweepOptions, chosen: list[object], device_type: str) -> list[OperatorCase]:
    """Return what to run: dtype by dtype, operators in an order that follows from the seed."""
    found = []
    for dtype in options.dtypes:
        own = [
            OperatorCase(op_db.full_name(op), dtype)
            for op in chosen
            if getattr(torch, dtype) in op.supported_dtypes(device_type)  # type: ignore[attr-defined]
        ]
        random.Random(seeds.derive(options.seed, "sweep", dtype)).shuffle(own)
        found += own
    return found


def _run_cases(
    options: SweepOptions,
    planned: list[OperatorCase],
    runner: OperatorRunner,
    results: list[OperatorResult],
    verdicts: Counter[str],
) -> None:
    started = said_s = time.monotonic()
    for case in planned:
        now = time.monotonic()
        if now - started > options.seconds:
            return
        if now - said_s > _SAY_EVERY_S:
            said_s = now
            say(f"[{options.seconds - (now - started):5.0f} s left] {len(results)} of {len(planned)} cases")
        result = runner.run(case)
        results.append(result)
        verdicts[str(result.verdict)] += 1
        if result.word not in ("ok", "refused"):
            say(f"{result.word}: {case.op} {case.dtype}: {result.headline}")


def _swept(
    options: SweepOptions,
    planned: list[OperatorCase],
    results: list[OperatorResult],
    writer: RecordWriter,
    device: DeviceInfo,
) -> Swept:
    reasons = {
        op_db.full_name(op): op_db.why_not_comparable(op, op_db.NOT_COMPARABLE_FROM_THREADS)
        for op in op_db.all_entries()
    }
    simulated = device.is_simulated
    return Swept(
        results=results,
        planned=len(planned),
        not_compared={name: reason for name, reason in reasons.items() if reason},
        device=f"{device.name} (simulated, not Metal)" if simulated else device.name,
        torch=device.torch_text,
        threads=options.threads,
        simulated=simulated,
        folder=str(writer.folder.path),
    )
