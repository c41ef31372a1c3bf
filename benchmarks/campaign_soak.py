"""A campaign under fire: random SIGKILLs of its children, its servers and of itself, for as long as you like.

    python -m benchmarks.campaign_soak [SECONDS]

On the simulated device with faults at low probability. At the end: is any record lost but a torn last line, does any
process live on, is the campaign's memory flat, are the kills that it did not send counted apart?
"""

from __future__ import annotations

import os
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass
from dataclasses import field
from pathlib import Path

import psutil

from stress.commands.campaign.lock import FOLDER_VARIABLE
from stress.record import RunReader

ROOT = Path(__file__).parent.parent
SECONDS = 300.0
FAULTS = "event_wait_missing:0.001,error_wrong_thread:0.001"
SHOT_EVERY_S = (2.0, 15.0)
CAMPAIGN_SHARE = 0.1
"""Share of the shots that hit the campaign itself."""
WARM_S = 30.0
"""Memory is looked at from this age of a process on: before, it imports and collects."""
GROWTH_MB_PER_HOUR_MAX = 60.0
ENDED = (0, 1)
"""Exit statuses of a campaign that ended by itself. A shot while the device is opened, or built, makes it 2: go on, as the
launchd job does every five minutes."""
MARK = "MPS_STRESS_SOAK"


@dataclass
class Soak:
    """What was done, and what was seen of the campaign's memory."""

    seconds: float
    folder: Path
    draw: random.Random
    shots: Counter[str] = field(default_factory=Counter)
    memory: list[tuple[int, float, float]] = field(default_factory=list)
    """(process id, age in seconds, resident MB) of the campaign's process."""
    starts: int = 0
    statuses: list[int] = field(default_factory=list)

    def run(self) -> None:
        """Shoot until the time is up; each time that the campaign is dead, resume it."""
        until = time.monotonic() + self.seconds
        process = self._start(resume=False)
        next_shot = self._next_shot()
        while process.poll() is None or time.monotonic() < until:
            if process.poll() is not None:
                self.statuses.append(process.returncode)
                if process.returncode in ENDED:
                    break
                process = self._start(resume=True)
            self._look(process)
            if time.monotonic() > next_shot and time.monotonic() < until:
                self._shoot(process)
                next_shot = self._next_shot()
            time.sleep(0.2)
        self.statuses.append(process.wait())

    def _next_shot(self) -> float:
        return time.monotonic() + self.draw.uniform(*SHOT_EVERY_S)

    def _start(self, *, resume: bool) -> subprocess.Popen[bytes]:
        self.starts += 1
        command = [sys.executable, "-m", "stress.commands.cli", "campaign", "--device=sim", f"--sim-faults={FAULTS}", "--deadline=20",
                   f"--seconds={self.seconds:g}", f"--results={self.folder / 'runs'}", str(ROOT / "scenarios")]  # fmt: skip
        with (self.folder / "output").open("ab") as output:
            return subprocess.Popen(
                [*command, *(["--resume"] if resume else [])], cwd=ROOT, stdin=subprocess.DEVNULL, stdout=output, stderr=output,
                env={**os.environ, FOLDER_VARIABLE: str(self.folder), MARK: str(self.folder)},
            )  # fmt: skip

    def _look(self, process: subprocess.Popen[bytes]) -> None:
        try:
            one = psutil.Process(process.pid)
            self.memory.append((process.pid, time.time() - one.create_time(), one.memory_info().rss / 1e6))
        except psutil.Error:
            return

    def _shoot(self, process: subprocess.Popen[bytes]) -> None:
        if not list((self.folder / "runs").glob("*/*.jsonl")):
            return  # nothing to go on with yet: the device is being built
        try:
            below = psutil.Process(process.pid).children(recursive=True)
            if self.draw.random() < CAMPAIGN_SHARE:
                process.kill()
                self.shots["campaign"] += 1
            elif below:
                self.draw.choice(below).kill()
                self.shots["process below it"] += 1
        except psutil.Error:
            return

    def orphans(self) -> list[str]:
        """Return what still lives of all that was started, after a moment to die in."""
        until = time.monotonic() + 20.0
        while (alive := list(self._marked())) and time.monotonic() < until:
            time.sleep(0.5)
        return alive

    def _marked(self) -> list[str]:
        found = []
        for one in psutil.process_iter():
            try:
                if one.environ().get(MARK) == str(self.folder) and one.status() != psutil.STATUS_ZOMBIE:
                    found.append(f"{one.pid} {' '.join(one.cmdline())[:100]}")
            except psutil.Error:
                continue
        return found

    def growth_mb_per_hour(self) -> float:
        """Return the slope of the campaign's memory, the median over its processes; by halves, so that no spike decides."""
        slopes = []
        for pid in {pid for pid, _, _ in self.memory}:
            seen = [(age, mb) for its, age, mb in self.memory if its == pid and age > WARM_S]
            if len(seen) < 100:
                continue
            half = len(seen) // 2
            first, second = seen[:half], seen[half:]
            (age0, mb0), (age1, mb1) = (tuple(sorted(column)[len(column) // 2] for column in zip(*part, strict=True)) for part in (first, second))  # fmt: skip
            slopes.append((mb1 - mb0) / (age1 - age0) * 3600)
        return sorted(slopes)[len(slopes) // 2] if slopes else float("nan")


def main() -> int:
    """Run the soak and say what came of it; 1 where something was lost, lives on or grows."""
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else SECONDS
    seed = random.SystemRandom().randrange(2**32)
    with tempfile.TemporaryDirectory(prefix="mps-stress-soak-") as name:
        soak = Soak(seconds, Path(name), random.Random(seed))
        soak.run()
        return _tell(soak, seed)


def _tell(soak: Soak, seed: int) -> int:
    output = (soak.folder / "output").read_text(errors="replace")
    runs = sorted((soak.folder / "runs").glob("*"))
    if len(runs) != 1:
        print(
            f"{output}\nFAILED: {len(runs)} runs where one campaign was to be resumed; exit statuses {soak.statuses}"
        )
        return 1
    (run,) = runs
    reader = RunReader(run)
    kinds: Counter[str] = Counter()
    outside = 0
    serials: Counter[int] = Counter()
    for record in reader:
        kinds[record["kind"]] += 1
        if record["kind"] == "attempt_start":
            serials[record["serial"]] += 1
        elif record["kind"] == "attempt_end":
            outside += record["verdict"] == "inconclusive"
    orphans = soak.orphans()
    growth = soak.growth_mb_per_hour()
    killed = soak.shots["campaign"]
    print(output[-4000:])
    print(f"soak of {soak.seconds:g} s, seed {seed:#x}: {soak.starts} starts, exit statuses {soak.statuses}")
    print(f"shots: {dict(soak.shots)}")
    print(f"records: {dict(kinds)}; torn lines {reader.torn_lines}; unreadable {reader.problems_total}")
    print(f"attempts without an end: {len(reader.unfinished)}; not counted: {outside}")
    print(f"memory of the campaign: {growth:.1f} MB per hour")
    checks = {
        "every line is readable but torn last ones": not reader.problems_total
        and reader.torn_lines <= killed,
        "every attempt has its end but those that a kill of the campaign cut": len(reader.unfinished)
        <= killed,
        "no two attempts have one name": max(serials.values(), default=0) == 1,
        "no process lives on": not orphans,
        "memory is flat": growth < GROWTH_MB_PER_HOUR_MAX,
        "it ended by itself": soak.statuses[-1] in ENDED,
    }
    for text, is_so in checks.items():
        print(f"{'ok    ' if is_so else 'FAILED'} {text}")
    for one in orphans:
        print(f"       {one}")
    return 0 if all(checks.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
