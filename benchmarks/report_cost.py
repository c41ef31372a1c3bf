"""Cost of a page: 1,000,000 records (about 500 MB) read and rendered, and a page of 100 runs.

Run with `python -m benchmarks.report_cost`. It writes the records into a temporary folder first (about 600 MB of
disk). The goals: reading and rendering under 60 s and 500 MB of memory, the page under 2 MB.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

RECORDS = 1_000_000
RUNS = (100, 1)
ITEMS_EACH = 300
REPEATS = 3
SECONDS_GOAL, MEMORY_BYTES_GOAL, PAGE_BYTES_GOAL = 60.0, 500_000_000, 2_000_000

_RUN = {
    "argv": ["--mps-threads=8"], "rootdir": "/Users/someone/work", "seed": 3742528529, "device": "mps", "simulated": False,
    "settings": {"threads": [8], "attempts": 5, "perturb": "low", "streams": "auto", "iterations": None, "deadline_s": 60.0},
    "environment": {"host": "m2pro", "system": "Darwin", "macos": {"version": "26.1", "build": "25B78"},
                    "chip": "Apple M2 Pro", "paravirtual": False, "cpu_count": 12, "env": {}},
    "torch": {"version": "2.15.0", "git": "cf30153c4c131c8164ee7798e5022d810682e2cb"},
}  # fmt: skip
_END: dict[str, object] = {
    "seconds": 0.2935454739999841, "exit_status": 0, "signal": None, "tainted": False, "notes": [], "findings": [],
    "stamps": [], "iterations_done": 96, "stderr": None, "stacks": None, "memory_bytes_max": 284594176,
    "device_memory_bytes_max": 392128, "os_threads_max": 9, "cpu_s": 0.255722, "pid": 23928,
    "times": {"prepare_s": 0.033658, "crew_s": 0.215581, "readback_s": 0.011087, "judge_s": 0.007286},
}  # fmt: skip
_CRASH = {"verdict": "crash", "headline": "failed assertion `A command encoder is already encoding'", "signal": "SIGABRT",
          "signature": "metal/encoder-overlap", "exit_status": -6}  # fmt: skip


def write_records(folder: Path, records: int, runs: int) -> int:
    """Write so many records, as long as real ones, over so many runs; return their bytes."""
    pairs = records // runs // 2
    written = 0
    for number in range(runs):
        name = f"2026-11-{number // 10 + 1:02}T{number % 10:02}00Z-m2pro-{number:04x}"
        (folder / name).mkdir()
        path = folder / name / "m2pro-4711-1795166220000.jsonl"
        with path.open("w") as file:
            _write(file, name, "run", 0, **_RUN)
            for index in range(pairs):
                _attempt(file, name, number, index)
        written += path.stat().st_size
    return written


def _attempt(file: object, run: str, number: int, index: int) -> None:
    item = f"scenarios/some_subject.py::Scenario{index % ITEMS_EACH // 3}[float32-t{2 ** (index % 3 + 1)}]"
    named = {"item": item, "role": "crew", "attempt": index // ITEMS_EACH, "serial": index + 1}
    _write(
        file, run, "attempt_start", index, **named, scenario="Scenario", params={"dtype": "torch.float32"},
        threads=2 ** (index % 3 + 1), iterations=12, seed=6490659816353364145, env={}, perturb="op", readback="every",
        command=f"pytest '{item}' --mps-threads=8 --mps-seed=0xdf127411 --mps-attempts=20 --mps-device=mps --mps-perturb=low",
    )  # fmt: skip
    failed = index % ITEMS_EACH < 20 and (index * 7919 + number) % 50 == 0
    end = {"verdict": "pass", "headline": "", "signature": None, **_END, **(_CRASH if failed else {})}
    _write(file, run, "attempt_end", index, **named, **end)


def _write(file: object, run: str, kind: str, index: int, **fields: object) -> None:
    record = {"v": 1, "kind": kind, "run": run, "time": 1795245017.5315537 + index, **fields}
    file.write(json.dumps(record, separators=(",", ":")) + "\n")  # type: ignore[attr-defined]


def measure(folder: Path, page: Path) -> tuple[float, float, int]:
    """Return wall seconds, CPU seconds and peak memory of one `mps-stress report`."""
    command = [sys.executable, "-m", "stress.commands.cli", "report", str(folder), "-o", str(page)]
    started = time.perf_counter()
    child = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, status, usage = _wait(child)
    if status:
        raise SystemExit(f"the report ended with status {status}")
    scale = 1 if sys.platform == "darwin" else 1024
    return time.perf_counter() - started, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * scale


def _wait(child: subprocess.Popen[bytes]) -> tuple[int, int, resource.struct_rusage]:
    import os

    return os.wait4(child.pid, 0)


def main() -> None:
    """Write, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--records", type=int, default=RECORDS)
    parser.add_argument("--repeats", type=int, default=REPEATS)
    args = parser.parse_args()
    for runs in RUNS:
        _measure_runs(args.records, runs, args.repeats)


def _measure_runs(records: int, runs: int, repeats: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        written = write_records(Path(folder), records, runs)
        page = Path(folder, "page.html")
        measured = [measure(Path(folder), page) for _ in range(repeats)]
        seconds = [one for one, _, _ in measured]
        cpu_s = statistics.median(one for _, one, _ in measured)
        memory_bytes = max(one for _, _, one in measured)
        print(f"{records} records in {runs} runs, {written / 1e6:.0f} MB")
        print(
            f"  page made in: median {statistics.median(seconds):.1f} s ({min(seconds):.1f}-{max(seconds):.1f}, "
            f"{len(seconds)} runs), of CPU {cpu_s:.1f} s; goal {SECONDS_GOAL:.0f} s"
        )
        print(f"  peak memory: {memory_bytes / 1e6:.0f} MB; goal {MEMORY_BYTES_GOAL / 1e6:.0f} MB")
        print(f"  page: {page.stat().st_size / 1e6:.2f} MB; goal {PAGE_BYTES_GOAL / 1e6:.0f} MB")


if __name__ == "__main__":
    main()
