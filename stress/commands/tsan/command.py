"""`mps-stress tsan`: `pytest tsan` under another name, with its own options, texts and exit statuses."""

from __future__ import annotations

import contextlib
import os
import sys

from stress.commands import CommandError
from stress.commands.core.build import about
from stress.commands.core.build import built
from stress.commands.hand_over import hand_over
from stress.commands.session import say
from stress.commands.tsan.options import TsanCommandOptions
from stress.commands.tsan.plugin import TsanPlugin
from stress.device.core.build import core_builder
from stress.model.errors import BuildError
from stress.sanitizer.native.core_driver import require_driver
from stress.sanitizer.native.harness import default_recipe


def run(options: TsanCommandOptions) -> int:
    """Run what the options ask for, print it, and return the exit status."""
    if options.pytorch is not None:
        _build_core(options.pytorch, force=options.force)
    recipe = options.recipe or default_recipe()
    plugin = TsanPlugin(options, recipe)
    # What belongs to the folder, its ini file and conftest.py, is for its tests. stdout is for the result alone.
    apart = ("-c", os.devnull, "--rootdir=.", "--noconftest", "-s")
    with contextlib.redirect_stdout(sys.stderr):
        status = hand_over(plugin, [*apart, str(recipe), *options.pytest_arguments])
    if plugin.text:
        print(plugin.text)
    return status


def _build_core(given: str, *, force: bool) -> None:
    """Build the tree now if need be, with its progress and with `force`: pytest then finds it."""
    try:
        builder = core_builder(given, "thread")
        for line in about(builder):
            say(line)
        require_driver(builder, built(builder, force=force))
    except BuildError as error:
        raise CommandError(f"--pytorch={given}: {error}") from None
