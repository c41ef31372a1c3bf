"""Run torch's own operator samples on a tree's own operators, and say which are right, wrong or not simulated.

    python -m benchmarks.core_operators --pytorch=TREE [--operators=cpu] [--names=TEXT] [--samples=3] [--all]

Each entry of torch's database runs in a forked child, its first float32 samples one after another, and is compared with
torch's CPU. `graphs` and `kernels` are what was encoded meanwhile: an entry without a graph ran by torch's CPU kernels,
or needs none. The tree must have been built: mps-stress core build --pytorch=TREE --operators=tree. Exit status: 0 when
all are right, 1 when not, 2 for bad input.
"""

from __future__ import annotations

import argparse
import ctypes
import os
import re
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from stress.device.core import build as core
from stress.model.errors import BuildError
from stress.model.errors import UserError
from stress.scenario.capabilities import CORE_OPERATORS

_ABORT = re.compile(r"not simulated: (?P<what>.*)|failed assertion `(?P<rule>.*)'")
_TEXT_CHARS = 110


class _Counts(ctypes.Structure):
    _fields_ = [
        (name, ctypes.c_uint64)
        for name in (
            "command_buffers", "dispatches", "blits", "signals", "waits", "heaps", "buffers", "graphs", "signposts",
        )
    ]  # fmt: skip


@dataclass(frozen=True)
class Outcome:
    """What became of one entry."""

    kind: str
    """"right", "wrong", "error", "ended" (the process), or "random" for one whose values cannot be compared."""
    text: str = ""
    graphs: int = 0
    kernels: int = 0


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0], allow_abbrev=False)
    parser.add_argument("--pytorch", metavar="TREE", required=True, help="root of a PyTorch source tree")
    parser.add_argument("--operators", choices=CORE_OPERATORS, default="tree", help="whose operators")
    parser.add_argument("--names", metavar="TEXT", default="", help="entries whose name has this text")
    parser.add_argument("--samples", metavar="N", type=int, default=3, help="samples of each entry")
    parser.add_argument("--all", action="store_true", help="list entries that are right, too")
    args = parser.parse_args(arguments)
    try:
        builder = core.core_builder(args.pytorch, operators=args.operators)
        built = builder.find()
        if built is None or built.python_module is None:
            raise UserError("this tree is not built: mps-stress core build --pytorch=TREE --operators=tree")
        outcomes = run_all(built.library, built.python_module, args.names, args.samples)
    except (BuildError, UserError) as error:
        print(f"core_operators: {error}", file=sys.stderr)
        return 2
    show(outcomes, everything=args.all)
    return int(any(one.kind not in ("right", "random") for one in outcomes.values()))


def run_all(library: Path, module: Path, names: str, count: int) -> dict[str, Outcome]:
    """Return the outcome of each entry. The library is loaded here, and the device first used in the children."""
    import torch

    from benchmarks.sim_op_db import in_child
    from stress.commands.sweep.op_db import entries
    from stress.commands.sweep.op_db import full_name
    from stress.device.core import loading
    from stress.model.spec import ChildSpec
    from stress.model.spec import CoreSpec

    torch.set_num_threads(1)
    loading.prepare(ChildSpec("probe", device="core"), CoreSpec(str(module)))
    counts = ctypes.CDLL(str(library))["_ZN9simulated6countsEv"]
    counts.restype = _Counts
    outcomes = {}
    for op in entries():
        if names not in full_name(op):
            continue
        with tempfile.TemporaryFile() as said:
            result = in_child(partial(_with_stderr, said.fileno(), partial(_run, op, count, counts)))
            said.seek(0)
            outcomes[full_name(op)] = _outcome(result, said.read().decode(errors="replace"))
        print(f"{full_name(op)}: {outcomes[full_name(op)].kind}", file=sys.stderr, flush=True)
    return outcomes


def show(outcomes: dict[str, Outcome], *, everything: bool) -> None:
    table = Table("entry", "", "graphs", "kernels", "what", box=None, pad_edge=False)
    for name, one in sorted(outcomes.items(), key=lambda item: (item[1].kind, item[0])):
        if everything or one.kind not in ("right", "random"):
            table.add_row(name, one.kind, str(one.graphs), str(one.kernels), one.text[:_TEXT_CHARS])
    Console(width=200).print(table)
    kinds = Counter(one.kind for one in outcomes.values())
    graphs = sum(one.graphs > 0 for one in outcomes.values())
    counted = ", ".join(f"{count} {kind}" for kind, count in kinds.most_common())
    print(f"{len(outcomes)} entries: {counted}; {graphs} of them encoded graphs")


def _with_stderr(descriptor: int, work: Any) -> Any:
    os.dup2(descriptor, 2)
    return work()


def _run(op: Any, count: int, counts: Any) -> Outcome:
    """Run one entry. For a child."""
    import torch

    from stress.commands.sweep.op_db import NOT_COMPARABLE
    from stress.commands.sweep.op_db import arguments
    from stress.commands.sweep.op_db import moved
    from stress.commands.sweep.op_db import samples
    from stress.commands.sweep.op_db import why_not_comparable

    torch.manual_seed(0)
    before = counts()
    kind, text = "right", ""
    for sample in islice(samples(op, torch.float32), count):
        given = arguments(sample)
        try:
            expected = op(given[0], *given[1], **given[2])
        except RuntimeError:
            continue  # Not for the CPU.
        there = moved(given, "mps")
        try:
            got = moved(op(there[0], *there[1], **there[2]), "cpu")
        except Exception as error:
            return Outcome("error", f"{type(error).__name__}: {error}".strip().partition("\n")[0])
        if why_not_comparable(op, NOT_COMPARABLE):
            kind = "random"
            continue
        try:
            torch.testing.assert_close(
                got, expected, equal_nan=True, check_stride=False, rtol=1e-4, atol=1e-5
            )
        except AssertionError as error:
            return Outcome("wrong", " ".join(str(error).split()))
    after = counts()
    return Outcome(kind, text, after.graphs - before.graphs, after.dispatches - before.dispatches)


def _outcome(result: Any, said: str) -> Outcome:
    if isinstance(result, Outcome):
        return result
    found = _ABORT.search(said)
    last = said.strip().splitlines()[-1:] or [""]
    reason = (found["what"] or found["rule"]) if found is not None else last[0]
    return Outcome("ended", f"{reason or result}")


if __name__ == "__main__":
    sys.exit(main())
