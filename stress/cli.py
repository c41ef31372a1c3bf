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
    args = _parse(argv)
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


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    """Return the arguments. What follows `--` belongs to a command's `arguments`, which argparse closes at the first option."""
    parser = make_parser()
    args, rest = parser.parse_known_args(argv)
    if rest and (rest[0] != "--" or not hasattr(args, "arguments")):
        parser.error(f"unrecognized arguments: {' '.join(rest)}")
    if rest:
        args.arguments += rest[1:]
    return args


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
