"""The main program of a fresh interpreter: `... SPEC PARENT`, or `... --spare LIBRARY PARENT` to wait for orders on stdin.

A spare has torch imported, so that on platforms that must not fork an attempt after a crash starts as fast as any other.
"""

from __future__ import annotations

import gc
import os
import socket
import sys
from pathlib import Path

from stress.child import process
from stress.child import serving
from stress.child.program import run_program
from stress.model import system
from stress.model.spec import load_spec


def main() -> None:
    system.die_with_parent(int(sys.argv[-1]))
    if sys.argv[1] == "--spare":
        # Another number than 0, which steps may read from, and which what they start would inherit.
        connection = socket.socket(fileno=os.dup(0))
        from stress.isolate.fork_server_main import preload

        preload(sys.argv[2])
        gc.collect()
        gc.freeze()  # the collector, which looks at all between two attempts, need not look at this again
        serving.serve(connection)
    spec = load_spec(Path(sys.argv[1]))
    try:
        if spec.kind == "process":
            process.prepare(spec)
        else:
            serving.run_alone(spec)
    except BaseException as error:
        process.fail(spec, error)
    if spec.kind == "process":
        run_program(spec)  # and return: this process ends as any program does
    else:  # as a forked child does: how a process finalises is the subject of ProcessScenario alone
        os._exit(0)


if __name__ == "__main__":
    main()
