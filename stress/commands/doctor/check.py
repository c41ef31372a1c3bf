"""One line of the doctor: what was looked at, what was found, and the way out."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Status(StrEnum):
    """`NOT_APPLICABLE` and `NOT_KNOWN` are never `OK`: nothing was found to be right."""

    OK = "ok"
    WARNING = "warning"
    MISSING = "missing"
    NOT_APPLICABLE = "n/a"
    NOT_KNOWN = "unknown"


@dataclass(frozen=True)
class CheckResult:
    """What was found about one thing."""

    section: str
    name: str
    status: Status
    detail: str
    way_out: str = ""

    def to_data(self) -> dict[str, str]:
        return {
            "section": self.section,
            "name": self.name,
            "status": str(self.status),
            "detail": self.detail,
            "way_out": self.way_out,
        }


def mac_only(section: str, name: str, system: str) -> CheckResult:
    """Return the line of something that only a Mac has."""
    return CheckResult(section, name, Status.NOT_APPLICABLE, system)
