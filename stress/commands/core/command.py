"""`mps-stress core`: one of its actions, with what cannot be built said in a sentence."""

from __future__ import annotations

from stress.commands import CommandError
from stress.commands.core.build import build
from stress.commands.core.compare import compare
from stress.commands.core.options import CoreOptions
from stress.model.errors import BuildError
from stress.sanitizer.native.run import StartError
from stress.sanitizer.tsan_options import OptionsError

_ACTIONS = {"build": build, "compare": compare}


def run(options: CoreOptions) -> int:
    """Do what the options name, and return the exit status."""
    try:
        return _ACTIONS[options.action](options)
    except (BuildError, OptionsError, StartError) as error:
        raise CommandError(f"the core cannot be built or run: {error}") from None
