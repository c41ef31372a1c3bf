"""What a green `make stress` is worth: is a seeded fault found in one run of it? `python -m benchmarks.default_command`.

    python -m benchmarks.default_command [--faults=A,B] [--seconds=220] [--seed=SEED] [-o RESULT.json]
    python -m benchmarks.default_command --merge SHARD.json... [-o RESULT.json]

For each fault of the simulated device, at its own probability: first the native suite, each case as often as in the quick
profile, then the shipped scenarios in that profile for what is left of the seconds, by two workers, as the command has it;
both end at the first failure, since one makes the command red. The fault's own design is used. Found is an attempt with the
verdict that the fault declares; another verdict is counted apart. It is one draw for each fault, and says nothing of how
reliably one is found. Where a compiler for the native suite is missing, it is left out, as in the command. Everything here is
simulated.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict
from dataclasses import dataclass
from dataclasses import replace
from pathlib import Path
from typing import Any

from stress.commands import shared_options
from stress.commands.power.allocation import BLIND_PATH
from stress.commands.power.allocation import load
from stress.commands.power.command import open_harness
from stress.commands.power.native import NativeAttempts
from stress.commands.power.native import NativeCase
from stress.commands.power.native import resolve_native
from stress.commands.power.outcome import Kind
from stress.commands.power.outcome import classify
from stress.commands.power.subject import Subject
from stress.commands.session import say
from stress.device.sim.zoo import BY_NAME
from stress.device.sim.zoo import FAULTS
from stress.device.sim.zoo import Fault
from stress.model import stats
from stress.model.shipped import shipped_scenarios
from stress.plugin.settings import ATTEMPTS_DEFAULT
from stress.record import RecordWriter
from stress.record import RunFolder
from stress.record import read_run
from stress.record import run_id

SECONDS = 220.0
WORKERS = ("-n", "2")
"""As `make stress` has them off macOS."""


@dataclass
class Found:
    """What one run of the command made of a fault."""

    fault: str
    kind: str = Kind.CLEAN
    by: str = ""
    """The item that failed."""
    name: str = ""
    seconds: float = 0.0
    strikes: int = 0
    """How often it struck in the scenarios' attempts, as far as they lived to tell."""


def native_of(seed: int, folder: Path) -> NativeAttempts | None:
    """Return what runs the native suite; None without a compiler."""
    harness, why = open_harness([one for one in load(BLIND_PATH) if one.is_native])
    if harness is None:
        say(why)
        return None
    made = RunFolder.create(folder, run_id())
    return NativeAttempts(harness, RecordWriter(made, on_lost=say), seed)


def look(fault: Fault, native: NativeAttempts | None, seconds: float, seed: int) -> Found:
    """Run the command once with a fault armed."""
    found, started = Found(fault.name), time.monotonic()
    subject = Subject(fault.design, fault)
    if native is not None:
        for entry in (one for one in load(BLIND_PATH) if one.is_native):
            case = resolve_native(replace(entry, iterations=None), native.listing)
            if not case.fits(fault.design, frozenset()):
                continue
            _native(found, native, subject, case)
            if found.kind != Kind.CLEAN:
                break
    if found.kind == Kind.CLEAN:
        _scenarios(found, fault, seconds - (time.monotonic() - started), seed)
    found.seconds = round(time.monotonic() - started, 1)
    return found


def _native(found: Found, native: NativeAttempts, subject: Subject, case: NativeCase) -> None:
    for number in range(ATTEMPTS_DEFAULT):
        outcome, _, _ = native.attempt(subject, case, number)
        if outcome.kind in (Kind.KILL, Kind.WRONG_VERDICT):
            found.kind, found.by, found.name = outcome.kind, case.entry.scenario, outcome.name
            return


def _scenarios(found: Found, fault: Fault, seconds: float, seed: int) -> None:
    with tempfile.TemporaryDirectory(prefix="mps-stress-default-") as name:
        armed = Subject(fault.design, fault).sim.command_options()
        command = [
            sys.executable, "-m", "pytest", str(shipped_scenarios()), *WORKERS, "-x", "-q", "--mps-threads=8",
            f"--mps-seconds={seconds:.0f}", "--mps-device=sim", f"--mps-seed={seed}", f"--mps-results={name}", *armed,
        ]  # fmt: skip
        subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, check=False)
        for run in Path(name).iterdir():
            for record in read_run(run):
                if record["kind"] == "attempt_end" and record["role"] == "crew" and not record.get("amends"):
                    _add(found, fault, dict(record))


def _add(found: Found, fault: Fault, end: dict[str, Any]) -> None:
    found.strikes += int((end.get("strikes") or {}).get(fault.name, 0))
    item = str(end["item"])
    outcome = classify(fault, end, {})
    if outcome.kind not in (Kind.KILL, Kind.WRONG_VERDICT) or "canary" in item or found.kind == Kind.KILL:
        return
    found.kind, found.by, found.name = outcome.kind, item, outcome.name


def text(rows: list[Found]) -> str:
    """Return the score and the table, as docs/power.md has it."""
    kills = sum(one.kind == Kind.KILL for one in rows)
    wrong = sum(one.kind == Kind.WRONG_VERDICT for one in rows)
    low, high = stats.wilson(kills, len(rows))
    lines = [
        f"found in one run of the default command: {kills} of {len(rows)} = {100 * kills / len(rows):.0f} % "
        f"(95 % interval over such faults {100 * low:.0f}-{100 * high:.0f} %); {wrong} more with another verdict",
        "",
        "| fault | found | by | named | s |",
        "| --- | --- | --- | --- | --- |",
    ]
    words = {Kind.KILL: "yes", Kind.WRONG_VERDICT: "other verdict"}
    for one in rows:
        word = words.get(Kind(one.kind), f"no, struck {one.strikes} times")
        lines.append(
            f"| `{one.fault}` | {word} | {one.by.rpartition('/')[2]} | {one.name} | {one.seconds:.0f} |"
        )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--faults", default=",".join(one.name for one in FAULTS))
    parser.add_argument(
        "--merge", nargs="+", metavar="SHARD.json", help="print what several runs came to together"
    )
    shared_options.add(parser, "seconds", default=str(SECONDS))
    shared_options.add(parser, "seed", "output")
    args = parser.parse_args()
    rows: list[Found] = []
    if args.merge:
        rows = [Found(**one) for path in args.merge for one in json.loads(Path(path).read_text())]
    else:
        seed = shared_options.value(args, "seed")
        with tempfile.TemporaryDirectory(prefix="mps-stress-default-") as name:
            native = native_of(seed, Path(name))
            for fault in (BY_NAME[one] for one in args.faults.split(",")):
                rows.append(look(fault, native, shared_options.value(args, "seconds"), seed))
                say(f"{rows[-1]}")
    if args.output:
        Path(args.output).write_text(json.dumps([asdict(one) for one in rows], indent=1))
    print(text(rows))


if __name__ == "__main__":
    main()
