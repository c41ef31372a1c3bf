"""`mps-stress COMMAND`: one subcommand per module of `stress.commands`. Imports no torch before a command runs."""

from __future__ import annotations

import argparse
import importlib
import os
import pkgutil
import sys
from collections.abc import Iterator
from collections.abc import Sequence
from types import ModuleType

from stress import commands
from stress.commands import CommandError

EXIT_USAGE = 2
EXIT_INTERRUPTED = 130


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status: 2 for bad input, with one sentence on stderr."""
    args = make_parser().parse_args(argv)
    try:
        status: int = args.run(args)
        sys.stdout.flush()
    except CommandError as error:
        print(f"mps-stress {args.command}: {error}", file=sys.stderr)
        return EXIT_USAGE
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        # The reader (head, less) has seen enough; a flush at exit would complain once more.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    return status


def make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="mps-stress",
        description="Stress and race detection for PyTorch's MPS backend.",
        allow_abbrev=False,
    )
    choices = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name, module in command_modules():
        text = module.__doc__ or ""
        one = choices.add_parser(
            name,
            help=text.partition("\n")[0],
            description=text,
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )
        module.add_arguments(one)
        one.set_defaults(run=module.run)
    return parser


def command_modules() -> Iterator[tuple[str, ModuleType]]:
    """Yield (name, module) of every command, sorted by name."""
    for info in sorted(pkgutil.iter_modules(commands.__path__), key=lambda one: one.name):
        yield info.name.replace("_", "-"), importlib.import_module(f"{commands.__name__}.{info.name}")


if __name__ == "__main__":
    sys.exit(main())
