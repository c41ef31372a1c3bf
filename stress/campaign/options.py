"""What the user may ask of `mps-stress campaign`, checked. Imports no torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stress import command_options

SECONDS_DEFAULT = 3600
THREADS_DEFAULT = "8"
DISK_MB_DEFAULT = 2048
DISK_MB_MAX = 10**8
BYTES_PER_MB = 10**6


@dataclass(frozen=True)
class CampaignOptions:
    """Validated options; what pytest checks itself stays text."""

    seconds: float
    results: Path
    disk_bytes_max: int
    baseline: tuple[Path, ...]
    resume: bool
    pytest_arguments: tuple[str, ...]

    @classmethod
    def parse(cls, given: Mapping[str, Any]) -> CampaignOptions:
        """Return the options; raise `ValueError` with a sentence that names the option and the way out."""
        results = Path(given["results"]).resolve()
        disk_mb = command_options.count(given["disk_mb"], "--disk-mb", DISK_MB_MAX)
        sim = [f"--mps-sim-faults={given['sim_faults']}"] if given["sim_faults"] is not None else []
        deadline = [f"--mps-deadline={given['deadline']}"] if given["deadline"] is not None else []
        return cls(
            seconds=command_options.seconds(given["seconds"]),
            results=results,
            disk_bytes_max=(disk_mb or DISK_MB_DEFAULT) * BYTES_PER_MB,
            baseline=tuple(map(Path, given["baseline"] or ())),
            resume=given["resume"],
            pytest_arguments=(
                "--mps-profile=full",
                *given["arguments"],
                f"--mps-threads={given['threads']}",
                f"--mps-device={given['device']}",
                f"--mps-results={results}",
                *sim,
                *deadline,
            ),
        )
