"""The subcommands of `mps-stress`: each module is one, and its docstring is what `--help` says.

A module defines `add_arguments(parser)` and `run(args)`, which returns the exit status and raises
`CommandError` for input that cannot be meant. It imports at its top what is cheap and no torch: all of them
are imported for `mps-stress --help`.
"""

from __future__ import annotations


class CommandError(Exception):
    """Bad input, or a machine that lacks something: one sentence with the way out, and exit status 2."""
