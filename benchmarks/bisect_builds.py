"""Ten builds of the simulated device, of which one brought a fault in: does `mps-stress bisect` name it?

    python -m benchmarks.bisect_builds [--searches=20] [--rate=0.05] [--seed=SEED]

A build is a command that runs attempts of one scenario on the simulated device: a reference in a child, then crews in a child that
serves as long as they are green, each compared. From one build on, which is drawn for each search, the device has a seeded fault, whose probability is set
first so that an attempt fails as often as `--rate` says. `mps-stress bisect` gets the commands and knows nothing of that.
Nothing here depends on how long something takes, so that the machine may be busy. Everything is simulated.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import shlex
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from stress.commands import shared_options
from stress.commands.bisect.builds import ATTEMPTS_VARIABLE
from stress.commands.bisect.search import Batch
from stress.commands.power.allocation import Entry
from stress.commands.power.entry_runner import EntryRunner
from stress.commands.power.entry_runner import Simulator
from stress.commands.power.outcome import Kind
from stress.commands.power.runnable import resolve
from stress.commands.power.subject import Subject
from stress.commands.session import build_device
from stress.commands.session import probe_sim
from stress.commands.session import say
from stress.commands.session import session
from stress.device.sim.settings import SimSettings
from stress.device.sim.zoo import BY_NAME
from stress.model import stats
from stress.model.sequential import estimate

ROOT = Path(__file__).parent.parent
BUILDS = 10
FAULT = BY_NAME["scalar_buffer_reused"]
ENTRY = Entry("copies.py::ScalarChains", threads=2, iterations=8)
FIRST_PROBABILITY, CALIBRATED_BY = 0.01, 300
"""Where the search for the probability begins, and how many attempts each of its steps makes."""


def attempts(number: int, probability: float, seed: int) -> Batch:
    """Run attempts with the fault armed at that probability, or with none at 0; return how many failed."""
    what, build = resolve(ENTRY), build_device()
    with tempfile.TemporaryDirectory(prefix="mps-stress-bisect-") as folder, session() as opened:
        supervisor = opened.supervise(str(build.library), attempts_per_process=number)
        device = probe_sim(supervisor, build, SimSettings(FAULT.design))
        writer = opened.open_records("bisect_builds", Path(folder), seed=seed, settings={}, device=device)
        runner = EntryRunner(supervisor.run, writer, Simulator(str(build.library), build.key), seed)
        clean = Subject(FAULT.design)
        subject = Subject(FAULT.design, FAULT, probability=probability) if probability else clean
        references = runner.references(clean, what)
        kinds = [runner.attempt(subject, what, references).outcome.kind for _ in range(number)]
        references.remove()
        opened.status = 0
    return Batch(sum(one in (Kind.KILL, Kind.WRONG_VERDICT) for one in kinds), number)


def command(probability: float) -> str:
    """Return the shell command of a build: each call draws a seed of its own, as a user's test would."""
    call = f"cd {shlex.quote(str(ROOT))} && exec {shlex.quote(sys.executable)} -m benchmarks.bisect_builds"
    return f"{call} --attempts=${ATTEMPTS_VARIABLE} --probability={probability!r}"


def calibrated(rate: float, seed: int) -> float:
    """Return the probability at which an attempt fails so often, if one passes the fault's place as often at any other."""
    probability = FIRST_PROBABILITY
    for step in range(3):
        batch = attempts(CALIBRATED_BY, probability, seed + step)
        low, high = stats.wilson(batch.failures, batch.n)
        say(
            f"probability {probability:.3g}: {batch.failures} of {batch.n} failed ({100 * low:.1f}-{100 * high:.1f} %)"
        )
        measured = estimate(batch.failures, batch.n)
        if 0.8 * rate < measured < 1.25 * rate:
            break
        probability *= math.log1p(-rate) / math.log1p(-measured)
    return probability


def search(index: int, probability: float, draw: random.Random) -> bool:
    """Let the command search once; return whether it named the build."""
    first_bad = draw.randrange(1, BUILDS)
    builds = [
        f"b{number + 1}={command(probability if number >= first_bad else 0.0)}" for number in range(BUILDS)
    ]
    arguments = [f"--good={builds[0]}", *(f"--build={one}" for one in builds[1:-1]), f"--bad={builds[-1]}"]
    started = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-m", "stress", "bisect", *arguments, "--seconds=3600"],
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    named = next((line for line in done.stdout.splitlines() if line.startswith("FIRST BAD: ")), "none")
    is_right = named.startswith(f"FIRST BAD: b{first_bad + 1};")
    word = "right" if is_right else f"WRONG, it was b{first_bad + 1}:\n{done.stdout}{done.stderr}"
    print(f"{index + 1}: {named}: {word} ({time.monotonic() - started:.0f} s)", flush=True)
    return is_right


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--searches", type=int, default=20)
    parser.add_argument(
        "--rate", type=float, default=0.05, help="share of the attempts that fail at a bad build"
    )
    parser.add_argument("--attempts", type=int, help="be a build: run so many")
    parser.add_argument(
        "--probability", type=float, help="of the fault, in an attempt of a build; 0 for no fault"
    )
    shared_options.add(parser, "seed")
    args = parser.parse_args()
    seed = shared_options.value(args, "seed")
    if args.attempts is not None:
        batch = attempts(args.attempts, args.probability, seed)
        print(json.dumps({"attempts": batch.n, "failures": batch.failures}))
        return 0
    say(f"seed {seed}")
    probability = calibrated(args.rate, seed) if args.probability is None else args.probability
    draw = random.Random(seed)
    right = sum(search(index, probability, draw) for index in range(args.searches))
    low, high = stats.wilson(right, args.searches)
    print(
        f"right in {right} of {args.searches} searches ({100 * low:.0f}-{100 * high:.0f} %), probability {probability:.3g}, simulated"
    )
    return 0 if right == args.searches else 1


if __name__ == "__main__":
    sys.exit(main())
