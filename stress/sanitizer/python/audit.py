"""Check build and suppressions before anything runs, for problems that no control could notice.

Every call of a scenario passes through torch and Python, and `race:` matches any frame of either stack, also of those
that say where a thread was created: a suppression that names one of them hides everything.
"""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
from collections.abc import Sequence
from pathlib import Path

from stress.device.torch_installation import find_torch
from stress.model.errors import BuildError
from stress.sanitizer import suppressions
from stress.sanitizer.instrumentation import CountError
from stress.sanitizer.python.build import TsanBuild
from stress.sanitizer.python.build import the_toolchain
from stress.sanitizer.suppressions import Suppression
from stress.sanitizer.tsan_options import TsanOptions

_OWN = ("mps_sim::", "at::mps::", "at::native::mps::", "torch::mps::", "-[", "+[")
_ANY_FRAME = ("race", "called_from_lib", "thread", "mutex", "deadlock")
_NM_TIMEOUT_S = 60.0


def audit(options: TsanOptions, build: TsanBuild) -> list[str]:
    """Return why silence would prove nothing; raise `SuppressionsError` or `CountError` where that cannot be determined."""
    reasons = []
    if build.instrumented != build.units:
        reasons.append(f"only {build.units_text}")
    file = options.suppressions
    entries = suppressions.read(file) if file is not None else []
    if entries:
        reasons += _through_everything(entries)
        own = [name for one in build.libraries for name in (one.name, *_functions(one))]
        reasons += suppressions.problems(entries, own)
    return reasons


def _through_everything(entries: Sequence[Suppression]) -> list[str]:
    """Return the entries that match a library or program which every call of a scenario passes through."""
    passed = [*_torch_libraries(), str(sysconfig.get_config_var("LDLIBRARY")), sys.executable]
    names = [name for path in passed for name in (path, Path(path).name)]
    return [
        f"suppression {one} (line {one.line}): it matches {hit}, through which every call of a scenario passes"
        for one in entries
        if one.kind in _ANY_FRAME and (hit := next((name for name in names if one.matches(name)), None))
    ]


def _torch_libraries() -> list[str]:
    try:
        folder = find_torch().library_folder
    except BuildError:
        return []
    return [str(path) for pattern in ("libtorch*.so", "libc10*.so") for path in sorted(folder.glob(pattern))]


def _functions(library: Path) -> list[str]:
    """Return the names of the device's own functions."""
    try:
        done = subprocess.run(
            [str(the_toolchain().nm), "--demangle", "--defined-only", str(library)],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_NM_TIMEOUT_S,
            check=True,
            env={**os.environ, "LC_ALL": "C"},
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise CountError(f"the symbols of {library} cannot be read ({error})") from error
    names = (line.split(" ", 2)[-1] for line in done.stdout.decode(errors="replace").splitlines())
    return [name for name in names if name.startswith(_OWN)]
