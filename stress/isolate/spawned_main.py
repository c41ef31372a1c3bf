"""The main program of a fresh interpreter: `... SPEC PARENT`, or `... --spare LIBRARY PARENT` to wait for a spec.

A spare has torch imported and waits on stdin for a spec's path, so that on platforms that must not fork
an attempt after a crash starts as fast as any other.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from stress.child import process
from stress.child.program import run_program
from stress.model.spec import load_spec


def main() -> None:
    process.die_with_parent(int(sys.argv[-1]))
    if sys.argv[1] == "--spare":
        from stress.isolate.fork_server_main import preload

        preload(sys.argv[2])
        line = sys.stdin.readline()
        if not line:
            os._exit(0)
        spec = load_spec(Path(line.rstrip("\n")))
    else:
        spec = load_spec(Path(sys.argv[1]))
    try:
        process.prepare(spec)
        if spec.kind != "process":
            from stress.child import tasks

            tasks.run(spec)
            sys.stdout.flush()
            sys.stderr.flush()
    except BaseException as error:
        process.fail(spec, error)
    if spec.kind == "process":
        run_program(spec)  # and return: this process ends as any program does
    else:  # as a forked child does: how a process finalises is the subject of ProcessScenario alone
        os._exit(0)


if __name__ == "__main__":
    main()
