"""Run folders made by hand, for tests of what is computed from records: every number in them is known."""

from __future__ import annotations

import json
from collections.abc import Mapping
from collections.abc import Sequence
from pathlib import Path
from typing import Any

MAC: dict[str, Any] = {
    "host": "m2pro",
    "system": "Darwin",
    "macos": {"version": "26.1", "build": "25B78"},
    "chip": "Apple M2 Pro",
    "paravirtual": False,
    "cpu_count": 12,
    "env": {},
}
TORCH: dict[str, Any] = {
    "version": "2.15.0",
    "git": "cf30153c4c131c8164ee7798e5022d810682e2cb",
    "file": "/Users/someone/venv/lib/python3.12/site-packages/torch/__init__.py",
}
FORK: dict[str, Any] = {
    **TORCH,
    "version": "2.16.0a0+git1234567",
    "git": "1234567890123456789012345678901234567890",
    "extension": {"file": "/x/_C.so", "bytes": 9000, "modified": 1795200000.5},
}
CRASH = "-[AGXG14XFamilyCommandBuffer blitCommandEncoderCommon:]:836: failed assertion `A command encoder is already encoding to this command buffer'"


class Made:
    """One run that is being written."""

    def __init__(self, folder: Path, **fields: Any) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self.path = folder / "host-1-1000.jsonl"
        self.time = fields.pop("time", 1_795_166_220.0)
        self.fields: dict[str, Any] = {
            "argv": ["--mps-threads=8"],
            "rootdir": "/Users/someone/work",
            "seed": 7,
            "device": "mps",
            "simulated": False,
            "settings": {"perturb": "low", "streams": "auto", "iterations": None},
            "environment": MAC,
            "torch": TORCH,
            **fields,
        }
        self.write("run", **self.fields)
        self._attempts: dict[tuple[str, str], int] = {}

    def write(self, kind: str, **fields: Any) -> None:
        self.time += 0.25
        record = {"v": 1, "kind": kind, "run": self.folder.name, "time": self.time, **fields}
        if self.fields["simulated"] and kind != "run":
            record["simulated"] = True
        with self.path.open("a") as file:
            file.write(json.dumps(record) + "\n")

    def start(self, item: str, role: str = "crew", threads: int = 8, **more: Any) -> dict[str, Any]:
        """Write a start and return what names the attempt."""
        number = self._attempts.get((item, role), 0)
        self._attempts[item, role] = number + 1
        named = {"item": item, "role": role, "attempt": number}
        scenario = item.rpartition("::")[2].partition("[")[0]
        self.write(
            "attempt_start", **named, scenario=scenario, params={}, threads=threads, iterations=20, seed=11,
            command=f"pytest '{item}' --mps-threads={threads}", perturb="op", readback="every", **more,
        )  # fmt: skip
        return named

    def attempt(
        self, item: str, verdict: str = "pass", role: str = "crew", threads: int = 8, **end: Any
    ) -> None:
        named = self.start(item, role, threads)
        self.write("attempt_end", **named, verdict=verdict, seconds=0.5, **{"headline": "", **end})

    def attempts(self, item: str, verdicts: Mapping[str, int], threads: int = 8, **end: Any) -> None:
        """Write so many attempts of each verdict; `end` goes to those that are not green."""
        for verdict, count in verdicts.items():
            for _ in range(count):
                self.attempt(
                    item, verdict, threads=threads, **(end if verdict not in ("pass", "interesting") else {})
                )

    def item(self, item: str, verdict: str, counted: int, failures: int, **more: Any) -> None:
        self.write("item", item=item, verdict=verdict, seconds=1.0, attempts=counted, counted=counted,
                   failures=failures, verdicts={}, **more)  # fmt: skip

    def end(self, exit_status: int = 0) -> Made:
        self.write("run_end", seconds=12.0, exit_status=exit_status, verdicts={})
        return self


def run_of(folder: Path, items: Mapping[str, Mapping[str, int]], threads: int = 8, **fields: Any) -> Path:
    """Write a run with these items and return its folder."""
    made = Made(folder, **fields)
    for item, verdicts in items.items():
        made.attempts(item, verdicts, threads)
    made.end()
    return folder


def simulated(**more: Any) -> dict[str, Any]:
    """Return the fields of a run on the simulated device."""
    sim = {"design": "fork", "faults": [], "schedule": "free", **more}
    linux = {"host": "vm", "system": "Linux", "chip": "AMD EPYC", "cpu_count": 2, "env": {}}
    return {"device": "sim", "simulated": True, "sim": sim, "environment": linux}


def append_raw(folder: Path, *lines: bytes) -> None:
    """Append lines as they are, without a check."""
    with next(folder.glob("*.jsonl")).open("ab") as file:
        file.write(b"".join(line + b"\n" for line in lines))


def hostile_strings() -> Sequence[str]:
    """Return texts that harm a page, a terminal or a Markdown table where they are not escaped."""
    return (
        "<script>alert(1)</script>",
        "</style><img src=x onerror=alert(1)>",
        "\x1b]0;title\x07\x1b[2J",
        "a | b\n\n# heading\n```",
        "\u202eright to left",
        "[link](javascript:alert(1)) ![x](https://example.org/x.png)",
        "\x00\x07\x7f",
        "&amp;&#60;",
    )
