"""Speed of reading ThreadSanitizer's text, and whether memory stays flat: the recorded reports of clang-19, repeated.

Each text is written to a scratch folder and read by `mps-stress explain`'s parser in a separate process. "alike" are
reports of few signatures with ever new addresses and process ids; "distinct" has a new function name in each report;
"foreign" is a log without any report. Memory is the peak of the reading process, beside that of one that reads 1 MB.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
REPORTS = REPOSITORY / "tests" / "sanitizer" / "reports" / "clang-19"
MEGABYTE = 1_000_000
REPORTS_MB = 50
FOREIGN_MB = 200
ROUNDS = 3
FOREIGN_LINE = (
    "[  12.345678] worker 3: matmul 512x512 float32 ok, 1.25 ms, checksum 0x1f2e3d4c5b6a7988 == expected\n"
)

READ = """
import json, resource, sys, time
from pathlib import Path
from stress.diagnose.tsan.parser import parse_file
started, cpu_started = time.perf_counter(), time.process_time()
parsed = parse_file(Path(sys.argv[1]))
seconds, cpu_s = time.perf_counter() - started, time.process_time() - cpu_started
peak_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(json.dumps([seconds, cpu_s, peak_kb / 1024, parsed.total, parsed.left_out, parsed.unparsed_lines]))
"""


def alike(bytes_wanted: int) -> Iterator[str]:
    """Yield the recorded reports over and over, each with another process id and other addresses."""
    texts = [path.read_text() for path in sorted(REPORTS.glob("*.txt")) if "reported" in path.read_text()]
    written = number = 0
    while written < bytes_wanted:
        text = texts[number % len(texts)].replace("(pid=", f"(pid={number % 30_000 + 1}")
        text = text.replace("0x7", f"0x7{number % 65536:04x}")
        written += len(text)
        number += 1
        yield text


def distinct(bytes_wanted: int) -> Iterator[str]:
    """Yield a data race between two functions that nobody has seen before."""
    text = (REPORTS / "race_global.txt").read_text()
    written = number = 0
    while written < bytes_wanted:
        one = text.replace("::add(int*)", f"::add_{number}(int*)")
        written += len(one)
        number += 1
        yield one


def foreign(bytes_wanted: int) -> Iterator[str]:
    """Yield a log of somebody else, in pieces of 1000 lines."""
    for _ in range(bytes_wanted // (1000 * len(FOREIGN_LINE)) + 1):
        yield FOREIGN_LINE * 1000


def measured(path: Path) -> tuple[float, float, float, int, int, int]:
    """Return seconds, CPU seconds and peak MB of the fastest round, and reports, those left out, unparsed lines."""
    rounds = []
    for _ in range(ROUNDS):
        done = subprocess.run(
            [sys.executable, "-c", READ, str(path)],
            cwd=REPOSITORY,
            capture_output=True,
            text=True,
            check=True,
        )
        rounds.append(json.loads(done.stdout))
    rounds.sort()
    print(f"    seconds of the rounds: {', '.join(f'{one[0]:.2f}' for one in rounds)}")
    return tuple(rounds[0])


def main() -> int:
    """Print the table; fail where reading 50 MB takes 10 s of CPU, leaves a line unread or needs memory by size."""
    failed = False
    with tempfile.TemporaryDirectory() as scratch:
        for name, make, size_mb in (
            ("alike", alike, 1),
            ("alike", alike, REPORTS_MB),
            ("distinct", distinct, REPORTS_MB),
            ("foreign", foreign, FOREIGN_MB),
        ):
            path = Path(scratch) / "text"
            with path.open("w") as file:
                file.writelines(make(size_mb * MEGABYTE))
            seconds, cpu_s, peak_mb, total, left_out, unparsed = measured(path)
            print(
                f"{name:9} {size_mb:4d} MB  {seconds:6.2f} s ({cpu_s:.2f} s of CPU)  {size_mb / seconds:6.1f} MB/s  peak {peak_mb:5.1f} MB"
                f"  {total} reports, {left_out} of them beyond the limit, {unparsed} unparsed lines",
                flush=True,
            )
            failed |= unparsed > 0 or peak_mb > 150 or (name != "foreign" and cpu_s > 10)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
