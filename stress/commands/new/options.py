"""Write a scenario that runs as it is, to be filled with code of yours: `mps-stress new scenarios/my_model.py`.

With `--model` and `--input`, which are as for `try`, it is about that model. The exit status is 2 where the file exists.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

from stress.commands.try_.options import add_input


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", metavar="FILE", help="the file to write, as in scenarios/my_model.py")
    parser.add_argument("--model", metavar="MODULE:NAME", help="what makes a model of yours")
    add_input(parser)


@dataclass(frozen=True)
class NewOptions:
    """Validated options."""

    file: Path
    model: str | None
    input: str | None
    rootdir: Path


def parse(args: argparse.Namespace) -> NewOptions:
    file = Path(args.file)
    if file.suffix != ".py" or not file.stem.isidentifier():
        raise ValueError(f"{file}: expected the name of a Python file, as in scenarios/my_model.py")
    if (args.model is None) != (args.input is None):
        missing = "--model" if args.model is None else "--input"
        raise ValueError(f"{missing} is missing: --model and --input go together")
    return NewOptions(file, args.model, args.input, Path.cwd())
