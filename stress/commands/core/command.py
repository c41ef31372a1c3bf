"""`mps-stress core`: one of its actions, with what cannot be built said in a sentence."""

from __future__ import annotations

import importlib

from stress.commands import CommandError
from stress.commands.core.options import CoreOptions
from stress.model.errors import BuildError


def run(options: CoreOptions) -> int:
    """Do what the options name, and return the exit status."""
    # Only this action's module: finding a build that is there takes less time than importing what compares two trees.
    action = importlib.import_module(f"stress.commands.core.{options.action}")
    try:
        status: int = getattr(action, options.action)(options)
    except BuildError as error:
        raise CommandError(f"the core cannot be built: {error}") from None
    return status
