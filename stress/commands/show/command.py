"""`mps-stress show`: find the run or the attempt, print it."""

from __future__ import annotations

import json

from stress.commands import CommandError
from stress.commands.replay.find import find
from stress.commands.replay.find import is_attempt
from stress.commands.replay.find import run_folder
from stress.commands.runs.summary import summarise_run
from stress.commands.show.attempt import attempt_text
from stress.commands.show.options import ShowOptions
from stress.commands.show.run import run_text


def run(options: ShowOptions) -> int:
    """Print the records, as text or as they are."""
    if is_attempt(options.what):
        found = find(options.what, options.rootdir, options.results)
        if options.json:
            for record in filter(None, (found.run, found.start, found.end)):
                print(json.dumps(record))
        else:
            print(attempt_text(found))
        return 0
    folder = run_folder(options.what, options.rootdir, options.results)
    summary = summarise_run(folder)
    if not summary.record:
        raise CommandError(f"{folder}: {summary.problem}; a folder of results/runs was expected")
    if options.json:
        for record in (summary.record, *summary.items.values()):
            print(json.dumps(record))
    else:
        print(run_text(summary))
    return 0
