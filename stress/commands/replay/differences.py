"""Differences between the machine that recorded an attempt and this one."""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any

from stress.commands.replay.recorded import Recorded
from stress.isolate.device_choice import DeviceInfo


def differences(recorded: Recorded, now: DeviceInfo, environment: Mapping[str, Any]) -> Sequence[str]:
    """Return what has changed: a different torch build makes the comparison worth nothing."""
    lines = []
    was, build = recorded.torch, now.torch
    for name, what in (("version", "version"), ("git", "commit")):
        if was.get(name) != build.get(name):
            lines.append(
                f"ANOTHER TORCH BUILD: {what} {was.get(name)} was recorded, this is {build.get(name)}"
            )
    sizes = [(one.get("extension") or {}).get("bytes") for one in (was, build)]
    times = [(one.get("extension") or {}).get("modified") for one in (was, build)]
    if not lines and (sizes[0] != sizes[1] or times[0] != times[1]):
        lines.append(
            "PERHAPS ANOTHER TORCH BUILD: the same version and commit, but another file (rebuilt since?)"
        )
    commit = str((environment.get("git") or {}).get("commit", ""))
    if recorded.commit and commit and commit != recorded.commit:
        lines.append(f"the checkout was at {recorded.commit[:10]}, and is at {commit[:10]} now")
    return lines
