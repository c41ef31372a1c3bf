"""`mps-stress explain`: explain each file; the exit status is that of the worst."""

from __future__ import annotations

import json
import os
import shutil
import sys

from stress.commands.explain.explain import explain
from stress.commands.explain.explanation import EXIT_UNREADABLE
from stress.commands.explain.options import ExplainOptions
from stress.commands.explain.printing import rendered
from stress.commands.explain.sarif import sarif_log
from stress.model.text import one_line

WIDTH_OF_A_PIPE = 120


def run(options: ExplainOptions) -> int:
    """Explain each file; the exit status is that of the worst."""
    color = sys.stdout.isatty() and "NO_COLOR" not in os.environ
    # A pipe has no width: as wide as two stacks want to be.
    width = shutil.get_terminal_size((WIDTH_OF_A_PIPE, 24)).columns if color else WIDTH_OF_A_PIPE
    statuses, explanations = [], []
    for name in options.files:
        explanation = explain(name, sys.stdin.buffer, options.rootdir, options.results)
        statuses.append(explanation.status)
        explanations.append(explanation)
        if options.json:
            print(json.dumps(explanation.as_json()), flush=True)
        if explanation.status == EXIT_UNREADABLE:
            shown = "standard input" if name == "-" else name
            print(f"mps-stress explain: {one_line(f'{shown}: {explanation.headline}')}", file=sys.stderr)
        elif not options.json and not options.sarif:
            print(
                rendered(explanation, width=width, color=color),
                end="\n\n" if len(options.files) > 1 else "\n",
            )
    if options.sarif:
        print(json.dumps(sarif_log(explanations), indent=1))
    return max(statuses)
