"""`python -m stress` is `mps-stress`."""

from __future__ import annotations

import sys

from stress.commands.cli import main

if __name__ == "__main__":
    sys.exit(main())
