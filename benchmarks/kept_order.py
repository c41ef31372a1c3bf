"""Promised against kept order on the seeded faults of the simulated device: how often found, where struck; and what it adds.

    python -m benchmarks.kept_order faults [ATTEMPTS] [FAULT,...]   # each with its own scenarios
    python -m benchmarks.kept_order twins [ATTEMPTS]                # of all of them together: nothing may be found
    python -m benchmarks.kept_order blind [ATTEMPTS] [FAULT,...]    # over the whole allocation, with the check and without
    python -m benchmarks.kept_order cost [ROUNDS]                   # per operator, wall clock and CPU, with and without

Only crews report what was not kept: the allocation's process scenarios are left out. Everything here is simulated.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from stress.commands.power.command import entries_of
from stress.commands.power.command import open_runners
from stress.commands.power.entry_runner import Attempted
from stress.commands.power.entry_runner import EntryRunner
from stress.commands.power.measurement import Measurement
from stress.commands.power.measurement import PowerMeasurement
from stress.commands.power.options import PowerOptions
from stress.commands.power.outcome import Kind
from stress.commands.power.shares import Shares
from stress.commands.power.subject import Subject
from stress.commands.power.watch import Watcher
from stress.commands.session import session
from stress.device.sim.settings import SimSettings
from stress.device.sim.zoo import BY_NAME
from stress.device.sim.zoo import FAULTS
from stress.device.sim.zoo import Fault
from stress.isolate.case_runner import References
from stress.model.verdict import Verdict

OF_ORDER = tuple(one for one in FAULTS if one.unkept)
_ON_STDERR = "promised order not kept"


class Zoo:
    """Attempts of faults and twins, with every end record."""

    def __init__(self, runner: EntryRunner, measured: PowerMeasurement, options: PowerOptions) -> None:
        self._runner, self._options = runner, options
        self._measurement = Measurement(options, runner, Shares(1e9, 1.0), measured)
        self._measured = measured
        self.folder = Path(measured.folder)
        self.references: dict[str, dict[str, References]] = {}

    def attempts(self, fault: Fault, count: int, *, twin: bool = False) -> list[Attempted]:
        subject = Subject(fault.design, fault, twin=twin, probability=0.01)
        entries = [one for one in self._measurement.entries(subject) if not one.is_process]
        done: list[Attempted] = []
        runner = self._runner

        class Noting:
            def attempt(self, *args: Any) -> Attempted:
                done.append(runner.attempt(*args))
                return done[-1]

            def references(self, *args: Any) -> References:
                return runner.references(*args)

        watcher = Watcher(Noting(), entries, self._options.seed, lambda: False, self._measured.tallies)  # type: ignore[arg-type]
        if entries:
            watcher.repeat(subject, count, self.references.setdefault(fault.design, {}))
        return done


def is_found(end: Mapping[str, Any], folder: Path | None = None) -> bool:
    """Whether a broken promise was reported: as a finding, or in the last words of a process that died."""
    name = end.get("stderr")
    last_words = (folder / name).read_text(errors="replace") if folder is not None and name else ""
    return bool(end.get("unkept")) or _ON_STDERR in last_words


def struck(one: Attempted) -> bool | None:
    """Return whether the fault struck; None where the child died before it could say."""
    return None if one.strikes is None else one.strikes > 0


def faults(count: int, chosen: tuple[Fault, ...]) -> None:
    print("fault                                struck  found   of them PASSED else  found, not struck  died")
    with_zoo = _opened(chosen, blind=False)
    with with_zoo as zoo:
        for fault in chosen:
            done = zoo.attempts(fault, count)
            hit = [one for one in done if struck(one)]
            found = [one for one in hit if is_found(one.end)]
            silent = [one for one in found if one.end["verdict"] == Verdict.UNKEPT]
            extra = sum(is_found(one.end) for one in done if struck(one) is False)
            died = [one for one in done if struck(one) is None]
            print(
                f"{fault.name:36} {len(hit):6} {len(found):6} {len(silent):20} {extra:18} "
                f"{len(died):5}, found in {sum(is_found(one.end, zoo.folder) for one in died)}",
                flush=True,
            )


def twins(count: int) -> None:
    alarms: list[str] = []
    verdicts: Counter[str] = Counter()
    with _opened(OF_ORDER, blind=False) as zoo:
        each = -(-count // len(OF_ORDER))
        for fault in OF_ORDER:
            for one in zoo.attempts(fault, each, twin=True):
                verdicts[str(one.end["verdict"])] += 1
                alarms += [fault.name] if is_found(one.end) else []
            print(f"{fault.name}: {sum(verdicts.values())} attempts so far, {len(alarms)} alarms", flush=True)
    print(f"twins: {dict(verdicts)}; broken promises reported: {len(alarms)} {Counter(alarms)}")


def blind(count: int, chosen: tuple[Fault, ...]) -> None:
    kept = SimSettings.configure_text
    rows: dict[str, list[str]] = {}
    for what in ("checked", "unchecked"):
        SimSettings.configure_text = lambda self, what=what: f"{kept(self)};order={what}"  # type: ignore[method-assign,misc]
        with _opened(chosen, blind=True) as zoo:
            for fault in chosen:
                done = zoo.attempts(fault, count)
                kills = sum(one.outcome.kind == Kind.KILL for one in done)
                seconds = sum(one.seconds for one in done)
                cpu = [float(one.end["cpu_s"]) for one in done if one.end.get("cpu_s")]
                text = f"{kills:3} of {len(done)} in {seconds:5.1f} s, CPU {statistics.mean(cpu) if cpu else 0:.2f} s each"
                rows.setdefault(fault.name, []).append(text)
                print(f"{what:10} {fault.name:36} {text}", flush=True)
    SimSettings.configure_text = kept  # type: ignore[method-assign]
    for name, texts in rows.items():
        print(f"{name:36} " + "   without: ".join(texts))


class _opened:
    """The device, the records and the supervisor of one measurement."""

    def __init__(self, chosen: tuple[Fault, ...], *, blind: bool) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="kept-order-")
        self._options = PowerOptions(
            chosen, 1e9, None, 1, 16, (0.01,), False, blind, Path(self._folder.name), False, None
        )

    def __enter__(self) -> Zoo:
        self._session = session()
        opened = self._session.__enter__()
        (runner,), measured = open_runners(opened, self._options, entries_of(self._options))
        self._zoo = Zoo(runner, measured, self._options)
        return self._zoo

    def __exit__(self, *exc_info: Any) -> None:
        for shared in self._zoo.references.values():
            for one in shared.values():
                one.remove()
        self._session.__exit__(*exc_info)
        self._folder.cleanup()


_WORK = """
import resource, sys, threading, time, torch
from stress.device import library
from stress.device.sim import loading
from stress.device.sim.build import default_builder
build = default_builder().find()
library.load(str(build.library)); loading._name_device(build.key)
torch.ops.mps_stress_sim.configure("design=fork;order=" + sys.argv[1])
torch.set_num_threads(1)
def work():
    x, y = torch.ones(8, 8, device="mps"), torch.ones(8, 8, device="mps")
    for _ in range(5000):
        x.add_(y)
    x.sum().item()
def round():
    threads = [threading.Thread(target=work) for _ in range(4)]
    usage, clock = resource.getrusage(resource.RUSAGE_SELF), time.monotonic()
    for one in threads: one.start()
    for one in threads: one.join()
    now = resource.getrusage(resource.RUSAGE_SELF)
    cpu = now.ru_utime + now.ru_stime - usage.ru_utime - usage.ru_stime
    return (time.monotonic() - clock) / 20000 * 1e6, cpu / 20000 * 1e6
round()
print(*round())
"""


def cost(rounds: int) -> None:
    figures: dict[str, list[tuple[float, float]]] = {"checked": [], "unchecked": []}
    for _ in range(rounds):
        for what, into in figures.items():
            done = subprocess.run(
                [sys.executable, "-c", _WORK, what], capture_output=True, text=True, check=True
            )
            wall, cpu = map(float, done.stdout.split())
            into.append((wall, cpu))
    for what, values in figures.items():
        wall_us, cpu_us = (statistics.median(column) for column in zip(*values, strict=True))
        print(
            f"{what:10} x.add_(y), 4 threads: {wall_us:.2f} us wall, {cpu_us:.2f} us CPU an operator (median of {rounds})"
        )


def main(arguments: list[str]) -> None:
    what = arguments[0] if arguments else "faults"
    count = int(arguments[1]) if len(arguments) > 1 else 0
    chosen = tuple(BY_NAME[one] for one in arguments[2].split(",")) if len(arguments) > 2 else OF_ORDER
    started = time.monotonic()
    if what == "faults":
        faults(count or 40, chosen)
    elif what == "twins":
        twins(count or 1000)
    elif what == "blind":
        blind(count or 60, chosen)
    elif what == "cost":
        cost(count or 9)
    else:
        raise SystemExit(__doc__)
    print(f"{time.monotonic() - started:.0f} s")


if __name__ == "__main__":
    main(sys.argv[1:])
