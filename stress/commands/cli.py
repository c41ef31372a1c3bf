"""`mps-stress COMMAND`. Each command is a folder: `options.py` asks, `command.py` does.

The docstring of `options` is the help; `add_arguments(parser)` declares, `parse(args)` checks and returns a frozen
dataclass. `command.run(options)` returns the exit status. `ValueError` from `parse` and `UserError` from `run` are bad
input: one sentence on stderr, here and nowhere else. No torch before a command runs.
"""

from __future__ import annotations

import argparse
import importlib
import keyword
import os
import sys
from collections.abc import Iterator
from collections.abc import Sequence
from types import ModuleType
from typing import Any

from stress import __version__
from stress.commands.exit_status import EXIT_INTERRUPTED
from stress.commands.exit_status import EXIT_USAGE
from stress.model.errors import UserError
from stress.model.quiet import ignore_numpy_warning

COMMANDS = (
    "bisect",
    "campaign",
    "compare",
    "core",
    "doctor",
    "evidence",
    "explain",
    "export",
    "minimise",
    "new",
    "power",
    "replay",
    "report",
    "runs",
    "show",
    "sweep",
    "throughput",
    "try",
    "tsan",
    "upstream",
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status: 2 for bad input, with one sentence on stderr. None: print what there is."""
    ignore_numpy_warning()
    args = _parse(argv)
    if args.command is None:
        make_parser().print_help()
        return 0
    try:
        options = _checked(args)
        status: int = _module(args.command, "command").run(options)
        sys.stdout.flush()
    except UserError as error:
        print(f"mps-stress {args.command}: {error.told('--')}", file=sys.stderr)
        return EXIT_USAGE
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        # The reader (head, less) has seen enough; a flush at exit would complain once more.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    return status


def _checked(args: argparse.Namespace) -> Any:
    try:
        return _module(args.command, "options").parse(args)
    except ValueError as error:
        raise UserError(str(error)) from None


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    """Return the arguments. What follows `--` belongs to a command's `arguments`, which argparse closes at the first option."""
    words = sys.argv[1:] if argv is None else argv
    parser = make_parser(words[0] if words and words[0] in COMMANDS else None)
    args, rest = parser.parse_known_args(argv)
    if rest and (rest[0] != "--" or not hasattr(args, "arguments")):
        parser.error(f"unrecognized arguments: {' '.join(rest)}")
    if rest:
        args.arguments += rest[1:]
    return args


def make_parser(only: str | None = None) -> argparse.ArgumentParser:
    """Return the parser of all commands, or of one: the options of the others take longer to import than many a command runs."""
    parser = argparse.ArgumentParser(
        prog="mps-stress",
        description="Stress and race detection for PyTorch's MPS backend.",
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"mps-stress {__version__}")
    choices = parser.add_subparsers(dest="command", metavar="COMMAND")
    for name, module in command_modules(COMMANDS if only is None else (only,)):
        text = module.__doc__ or ""
        one = choices.add_parser(
            name,
            help=text.partition("\n")[0],
            description=text,
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )
        module.add_arguments(one)
    return parser


def command_modules(names: Sequence[str] = COMMANDS) -> Iterator[tuple[str, ModuleType]]:
    """Yield (name, module of its options) of these commands, in this order; all are sorted by name."""
    for name in names:
        yield name, _module(name, "options")


def folder_of(command: str) -> str:
    """Return the name of a command's folder, which no keyword of Python can be."""
    return f"{command}_" if keyword.iskeyword(command) else command


def _module(command: str, part: str) -> ModuleType:
    return importlib.import_module(f"stress.commands.{folder_of(command)}.{part}")


if __name__ == "__main__":
    sys.exit(main())
