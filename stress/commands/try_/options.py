"""Run a model of yours from several threads: MODULE:NAME is a function or class that makes it, without arguments.

    mps-stress try chatserver.model:make_model --input=chatserver.model:make_batch --threads=8

One model is made, and every thread calls it with inputs of its own, in evaluation mode and without gradients. The
input's function takes a torch.Generator to draw from, or nothing; a tuple becomes the arguments of the call, a mapping
its keyword arguments. MODULE is found from this folder, or installed. All is written as a scenario into results/try,
which `replay`, `minimise` and `export` use and `mps-stress new` takes over. The exit status is 0 when every attempt
passed, 1 when not, 2 for bad input.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass
from pathlib import Path

from stress.commands import shared_options
from stress.model.spec import DEADLINE_S_DEFAULT
from stress.plugin.settings import ATTEMPTS_DEFAULT
from stress.scenario.scenario import ITERATIONS_DEFAULT

THREADS_DEFAULT = 8


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", metavar="MODULE:NAME", help="what makes the model")
    add_input(parser)
    shared_options.add(parser, "threads", default=str(THREADS_DEFAULT))
    shared_options.add(parser, "attempts", default=str(ATTEMPTS_DEFAULT))
    shared_options.add(parser, "iterations", default=str(ITERATIONS_DEFAULT))
    shared_options.add(
        parser,
        "device",
        default=device_default(),
        help="device to test (default: mps on macOS, elsewhere the CPU)",
    )
    shared_options.add(parser, "seed")
    shared_options.add(parser, "deadline", default=f"{DEADLINE_S_DEFAULT:g}")


def device_default() -> str:
    """Return the device for code of the user's own. The simulated one takes a minute to build and is about the tool."""
    return "mps" if sys.platform == "darwin" else "cpu"


def add_input(parser: argparse.ArgumentParser) -> None:
    """Declare `--input`."""
    parser.add_argument("--input", metavar="MODULE:NAME", help="what makes one input, on the CPU")


@dataclass(frozen=True)
class TryOptions:
    """Validated options."""

    model: str
    input: str
    rootdir: Path
    threads: int
    attempts: int
    iterations: int
    device: str
    seed: int
    deadline: float


def parse(args: argparse.Namespace) -> TryOptions:
    if args.input is None:
        raise ValueError(
            f"--input is missing: name a function that makes one input, as in --input={args.model.partition(':')[0]}:make_batch"
        )
    names = ("threads", "attempts", "iterations", "device", "seed", "deadline")
    return TryOptions(args.model, args.input, Path.cwd(), **shared_options.values(args, *names))
