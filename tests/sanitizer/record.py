"""Record what ThreadSanitizer prints for every case of racy.cpp: `python -m tests.sanitizer.record [COMPILER...]`.

Writes `reports/COMPILER/CASE.txt` (stderr) and, where the hook of on_report.cpp is linked, `CASE.jsonl`. Paths of this
machine become `/src`, so that a recording again changes little. The tests read the recordings and need no compiler.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
REPOSITORY = HERE.parent.parent
SOURCE = HERE / "racy.cpp"
HOOK = REPOSITORY / "harness" / "native" / "uninstrumented" / "on_report.cpp"
OPTIONS = "second_deadlock_stack=1:history_size=4:exitcode=66"
DEADLINE_S = 30.0

COMPILERS: dict[str, tuple[list[str], bool]] = {
    "clang-19": (["clang++-19", "-O1"], True),
    "clang-14": (["clang++-14", "-O1"], False),
    "clang-19-O2": (["clang++-19", "-O2", "-DLINES_SHIFTED"], False),
    "gcc-12": (["g++-12", "-O1"], False),
}
"""Name -> command, and whether the JSON route is recorded, too."""


def build(compiler: list[str], program: Path, *, hook: bool) -> None:
    """Compile the racy program; raise `subprocess.CalledProcessError` with the compiler's words on stderr."""
    flags = ["-std=c++17", "-g", "-fno-omit-frame-pointer"]
    objects = []
    if hook:
        made = program.with_suffix(".hook.o")
        subprocess.run([*compiler, *flags, "-c", str(HOOK), "-o", str(made)], check=True)
        objects = [str(made)]
    link = [*compiler, *flags, "-fsanitize=thread", str(SOURCE), *objects, "-o", str(program), "-pthread"]
    subprocess.run(link, check=True)


def cases(program: Path) -> list[str]:
    done = subprocess.run([str(program), "--list"], capture_output=True, text=True, check=True)
    return done.stdout.split()


def run(program: Path, *names: str, json_lines: Path | None = None) -> str:
    """Run the cases one after another in one process and return its stderr."""
    environment = {"PATH": os.environ["PATH"], "TSAN_OPTIONS": OPTIONS}
    if json_lines is not None:
        environment["MPS_STRESS_TSAN_JSON"] = str(json_lines)
    done = subprocess.run(
        [str(program), *names], stderr=subprocess.PIPE, env=environment, timeout=DEADLINE_S, check=False
    )
    return done.stderr.decode("utf-8", "replace")


def record(name: str) -> None:
    compiler, hook = COMPILERS[name]
    folder = HERE / "reports" / name
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        program = Path(scratch) / "racy"
        build(compiler, program, hook=hook)
        for case in cases(program):
            lines = Path(scratch) / f"{case}.jsonl" if hook else None
            (folder / f"{case}.txt").write_text(_anonymous(run(program, case, json_lines=lines), scratch))
            if lines is not None:
                (folder / f"{case}.jsonl").write_text(_anonymous(lines.read_text(), scratch))


def _anonymous(text: str, scratch: str) -> str:
    text = text.replace(str(SOURCE.parent), "/src").replace(scratch, "/src")
    return re.sub(r"(BuildId: )[0-9a-f]{16,40}", r"\g<1>0123456789abcdef", text)


if __name__ == "__main__":
    for each in sys.argv[1:] or COMPILERS:
        record(each)
