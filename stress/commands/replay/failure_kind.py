"""The kind of an attempt's failure: what must be equal for two attempts to have failed in the same way."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from stress.model.verdict import Verdict

_EXCEPTION = re.compile(r"([A-Za-z_][\w.]*)(?::|$)")


@dataclass(frozen=True)
class FailureKind:
    """A verdict, and the name of what happened where it has one that does not change from run to run.

    The name is the signature of a known failure, else the signal of a crash, else the type of an exception. How a
    wrong number is wrong (stale, torn, ...) is chance: it is not part of the kind.
    """

    verdict: str
    name: str = ""

    @classmethod
    def of(cls, end: Mapping[str, Any]) -> FailureKind:
        """Return the kind of an `attempt_end` record."""
        verdict = str(end["verdict"])
        if (
            verdict == Verdict.AGED
        ):  # where it shows again, it is what it was before fresh processes were asked
            verdict = str(end.get("was", verdict))
        if verdict in (Verdict.PASS, Verdict.INTERESTING):
            return cls("pass")
        name = end.get("signature") or ""
        if not name and verdict == Verdict.CRASH:
            name = end.get("signal") or ""
        if not name and verdict == Verdict.RACE:
            name = _exception(end)
        return cls(verdict, str(name))

    @property
    def is_failure(self) -> bool:
        return Verdict(self.verdict).is_failure

    def __str__(self) -> str:
        """Return it as a person reads it."""
        word = "passed" if self.verdict == "pass" else self.verdict.upper()
        return f"{word} {self.name}".rstrip()


def _exception(end: Mapping[str, Any]) -> str:
    """Return the type of the first exception among the findings: wrong values may stand before it."""
    for one in end.get("findings") or ():
        if isinstance(one, dict) and one.get("verdict") == Verdict.RACE:
            found = _EXCEPTION.match(str(one.get("text")))
            return found.group(1) if found else ""
    return ""
