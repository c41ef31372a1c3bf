"""`mps-stress tsan`: `pytest tsan` under another name, with its own options, texts and exit statuses."""

from __future__ import annotations

import contextlib
import os
import sys

from stress.commands.hand_over import hand_over
from stress.commands.tsan.options import TsanCommandOptions
from stress.commands.tsan.plugin import TsanPlugin
from stress.sanitizer.native.harness import default_recipe


def run(options: TsanCommandOptions) -> int:
    """Run what the options ask for, print it, and return the exit status."""
    recipe = options.recipe or default_recipe()
    plugin = TsanPlugin(options, recipe)
    # What belongs to the folder, its ini file and conftest.py, is for its tests. stdout is for the result alone.
    apart = ("-c", os.devnull, "--rootdir=.", "--noconftest", "-s")
    with contextlib.redirect_stdout(sys.stderr):
        status = hand_over(plugin, [*apart, str(recipe), *options.pytest_arguments])
    if plugin.text:
        print(plugin.text)
    return status
