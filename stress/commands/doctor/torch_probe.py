"""Look at torch from inside a child process: importing it may fail, hang or kill the process. Prints one JSON object.

`look` starts it, as children of a run are started.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

from stress.isolate.backend import interpreter
from stress.model import system

PROBE_TIMEOUT_S = 120.0
_OPENMP = re.compile(r"lib(?:gomp|iomp5|omp)[-.\w]*\.(?:so|dylib)[.\d]*$")
_MARK = "mps-stress probe: "


def look(timeout_s: float = PROBE_TIMEOUT_S) -> dict[str, Any] | str:
    """Return what the child says, or a sentence on why it could not say anything."""
    try:
        done = subprocess.run(
            interpreter("stress.commands.doctor.torch_probe"),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=timeout_s,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return f"importing torch and looking at its device did not end within {timeout_s:.0f} s"
    except OSError as error:
        return f"no child process can be started: {error}"
    for line in done.stdout.decode("utf-8", "replace").splitlines():
        if line.startswith(_MARK):
            data: dict[str, Any] = json.loads(line.removeprefix(_MARK))
            return data
    text = done.stderr.decode("utf-8", "replace").strip().splitlines()
    return f"the child ended with status {done.returncode}: {text[-1][:500] if text else 'no text'}"


def openmp_of(paths: list[str]) -> list[str]:
    """Return the OpenMP runtimes among loaded libraries, each file once."""
    return sorted({str(Path(one).resolve()) for one in paths if _OPENMP.search(one)})


def main() -> None:
    """Import torch, look, print."""
    from stress.record.torch_build import fingerprint

    data: dict[str, Any] = {"fingerprint": fingerprint(), "openmp": openmp_of(system.loaded_libraries())}
    if sys.platform == "darwin":
        data["mps"] = _mps()
    print(_MARK + json.dumps(data), flush=True)


def _mps() -> dict[str, Any]:
    """Return whether the device can be used, and what it can do: one operation is run on it."""
    from stress.device.devices import open_device
    from stress.device.devices import visibility

    reason = visibility("mps")
    if reason is not None:
        return {"unavailable": reason}
    import torch

    try:
        device = open_device("mps")
        value = float((torch.ones(4, device="mps") + 1).sum().cpu())
        works = None if value == 8.0 else f"1 + 1 gave {value / 4} on the device"
        return {"unavailable": works, "capabilities": sorted(device.capabilities())}
    except Exception as error:
        return {"unavailable": f"the first operation raises {type(error).__name__}: {error}"[:500]}


if __name__ == "__main__":
    main()
