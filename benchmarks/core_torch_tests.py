"""PyTorch's own tests of its MPS backend, a tree's test/test_mps.py, on the tree's own operators: from one thread.

    python -m benchmarks.core_torch_tests --pytorch=TREE [--tests=TEXT] [--out=FILE]

Each test runs in a forked child, so that one that ends the process ends no other. Counted are, by class, tests that pass as the
file expects: with its lists of what must fail on this macOS. The tree must have been built: mps-stress core build
--pytorch=TREE --operators=tree. Exit status: 0 when all pass or are skipped, 1 when not, 2 for bad input.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import unittest
from collections import Counter
from collections import defaultdict
from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import asdict
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock

from rich.console import Console
from rich.table import Table

from stress.device.core import build as core
from stress.model.errors import BuildError
from stress.model.errors import UserError

MACOS_VERSION = 15.1
"""What the simulated Metal says by default, and the tests' lists ask for."""
MEMORY_BYTES = b"17179869184"
KINDS = ("passed", "skipped", "failed", "ended", "late")
_ABORT = re.compile(r"not simulated: (?P<what>.*)|failed assertion `(?P<rule>.*)'")
_NUMBERS = re.compile(r"\d[\d.e+-]*")
_DETAIL = re.compile(r"^(?:\w+\.)*(?:AssertionError|\w*Error|\w*Exception|\w*Warning)\b.*", re.MULTILINE)
_KILLED = "child ended with -9"
"""At its deadline."""
_REASON_CHARS = 140
_GROUPS_SHOWN = 60


@dataclass(frozen=True)
class Outcome:
    """What became of one test."""

    kind: str
    """One of `KINDS`; "ended": the process, "late": not done in time."""
    reason: str = ""


def main(words: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0], allow_abbrev=False)
    parser.add_argument("--pytorch", metavar="TREE", required=True, help="root of a PyTorch source tree")
    parser.add_argument("--tests", metavar="TEXT", default="", help="tests whose name has this text")
    parser.add_argument(
        "--out", metavar="FILE", type=Path, help="write each outcome there, one JSON object a line"
    )
    args = parser.parse_args(words)
    try:
        file = Path(args.pytorch) / "test" / "test_mps.py"
        if not file.is_file():
            raise UserError(f"there is no {file}: a release's sources have it")
        built = core.core_builder(args.pytorch, operators="tree").find()
        if built is None or built.python_module is None:
            raise UserError("this tree is not built: mps-stress core build --pytorch=TREE --operators=tree")
        outcomes = dict(run_all(file.resolve(), built.python_module, args.tests))
    except (BuildError, UserError) as error:
        print(f"core_torch_tests: {error}", file=sys.stderr)
        return 2
    if args.out is not None:
        lines = (json.dumps({"test": name, **asdict(one)}) for name, one in outcomes.items())
        args.out.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    show(outcomes)
    return int(any(one.kind not in ("passed", "skipped") for one in outcomes.values()))


def run_all(file: Path, library: Path, names: str) -> Iterator[tuple[str, Outcome]]:
    """Yield each test's name and outcome. The library is loaded here, and the device first used in the children."""
    import torch

    from benchmarks.sim_op_db import in_child
    from stress.device.core import loading
    from stress.model.spec import ChildSpec
    from stress.model.spec import CoreSpec

    torch.set_num_threads(1)
    loading.prepare(ChildSpec("probe", device="core"), CoreSpec(str(library)))
    for test in _tests(file):
        if names not in test.id():
            continue
        with tempfile.TemporaryFile() as said:
            result = in_child(partial(_run, test, said.fileno()))
            said.seek(0)
            outcome = _outcome(result, said.read().decode(errors="replace"))
        print(f"{test.id()}: {outcome.kind} {outcome.reason}", file=sys.stderr, flush=True)
        yield test.id(), outcome


def show(outcomes: Mapping[str, Outcome]) -> None:
    """Print how many of each class passed, and what stood in the way of the others, the most frequent first."""
    by_class: dict[str, Counter[str]] = defaultdict(Counter)
    reasons: Counter[str] = Counter()
    for name, one in outcomes.items():
        by_class[name.split(".")[1]][one.kind] += 1
        if one.kind not in ("passed", "skipped"):
            reasons[f"{one.kind}: {_NUMBERS.sub('N', one.reason)}"] += 1
    table = Table("class", *KINDS, "of those not skipped", box=None, pad_edge=False)
    whole: Counter[str] = Counter()
    for name, kinds in by_class.items():
        table.add_row(name, *(str(kinds[one]) for one in KINDS), _rate(kinds))
        whole.update(kinds)
    table.add_row("all", *(str(whole[one]) for one in KINDS), _rate(whole))
    console = Console(width=200)
    console.print(table)
    for reason, often in reasons.most_common(_GROUPS_SHOWN):
        print(f"{often:5} {reason}")


def _rate(kinds: Mapping[str, int]) -> str:
    ran = sum(kinds[one] for one in KINDS if one != "skipped")
    return f"{100 * kinds['passed'] / ran:.1f} %" if ran else ""


def _tests(file: Path) -> Iterator[unittest.TestCase]:
    """Import the file, and yield its tests."""
    from torch.testing._internal import common_utils

    common_utils.MACOS_VERSION = MACOS_VERSION
    sys.path.insert(0, str(file.parent))
    argv, sys.argv = sys.argv, [str(file)]
    try:
        # It asks macOS how much memory there is.
        with mock.patch.object(subprocess, "check_output", return_value=MEMORY_BYTES):
            module = __import__(file.stem)
    finally:
        sys.argv = argv
    yield from _flat(unittest.defaultTestLoader.loadTestsFromModule(module))


def _flat(suite: Any) -> Iterator[unittest.TestCase]:
    for one in suite:
        if isinstance(one, unittest.TestCase):
            yield one
        else:
            yield from _flat(one)


def _run(test: unittest.TestCase, descriptor: int) -> Outcome:
    """Run one test. For a child."""
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    result = unittest.TestResult()
    test.run(result)
    for _, text in (*result.errors, *result.failures):
        return Outcome("failed", _reason(text))
    if result.unexpectedSuccesses:
        return Outcome("failed", "passes, and the file expects it to fail")
    return Outcome("skipped" if result.skipped else "passed")


def _reason(text: str) -> str:
    """Return the first line of what was raised."""
    found = _DETAIL.findall(text)
    return (found[0] if found else text.strip().splitlines()[-1])[:_REASON_CHARS]


def _outcome(result: Any, said: str) -> Outcome:
    if isinstance(result, Outcome):
        return result
    found = _ABORT.search(said)
    reason = (found["what"] or found["rule"]) if found is not None else str(result)
    return Outcome("late" if str(result) == _KILLED else "ended", reason[:_REASON_CHARS])


if __name__ == "__main__":
    sys.exit(main())
