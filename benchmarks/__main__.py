"""`make bench`: run every benchmark of this folder, one after another."""

from __future__ import annotations

import pkgutil
import subprocess
import sys
from pathlib import Path


def main() -> int:
    """Run each benchmark in a separate interpreter; return the number of those that failed."""
    failed = 0
    for module in pkgutil.iter_modules([str(Path(__file__).parent)]):
        if module.ispkg:
            continue
        source = Path(__file__).parent / f"{module.name}.py"
        if module.name.startswith("__") or "def main(" not in source.read_text():
            continue
        print(f"== {module.name}", flush=True)
        done = subprocess.run(
            [sys.executable, "-m", f"benchmarks.{module.name}"], cwd=Path(__file__).parent.parent, check=False
        )
        failed += done.returncode != 0
    return failed


if __name__ == "__main__":
    sys.exit(main())
