"""The explanation of one file."""

from __future__ import annotations

from dataclasses import dataclass

from stress.diagnose.ips import CrashReport
from stress.diagnose.signatures import SignatureMatch
from stress.diagnose.tsan.report import Parsed
from stress.diagnose.tsan.signature import deadly_signature
from stress.order.broken_promise import BrokenPromise
from stress.order.pair import UnorderedPair

EXIT_EXPLAINED = 0
EXIT_UNKNOWN = 1
EXIT_UNREADABLE = 2

KINDS = {
    "tsan": "ThreadSanitizer text",
    "tsan-json": "ThreadSanitizer reports as JSON lines",
    "crash-report": "macOS crash report",
    "records": "records of a run",
    "text": "text, none of it ThreadSanitizer's",
    "binary": "binary data",
    "empty": "empty",
    "unreadable": "cannot be read",
}


@dataclass(frozen=True)
class FailureClass:
    """Failed attempts of a run that have the same name, or that nobody has named."""

    signature: str | None
    verdict: str
    attempts: int
    items: int
    item: str
    """The first one's."""
    headline: str
    stderr: str | None
    """Name of the first one's file beside the record."""
    found: SignatureMatch | None
    explanation: Explanation | None
    """Of that file, where it holds ThreadSanitizer's reports."""
    shared: str = ""
    """What the first one's steps write of that which all threads share, in a sentence; empty where it is not known."""
    pairs: tuple[UnorderedPair, ...] = ()
    """The pairs of accesses that nothing orders, of the first one where it checked the order."""
    broken_promises: tuple[BrokenPromise, ...] = ()
    """The orders that the first one's simulated device promised and did not keep."""

    @property
    def order_reports(self) -> list[str]:
        """Return the reports of both."""
        return [*(one.text for one in self.broken_promises), *(one.text for one in self.pairs)]


@dataclass(frozen=True)
class RecordSummary:
    """What the records of a run say."""

    run: str
    device: str
    simulated: bool
    ended: bool
    """Every process of the run wrote its last record."""
    verdicts: dict[str, int]
    """Attempts of the crew by verdict."""
    classes: tuple[FailureClass, ...]
    unfinished: tuple[str, ...]
    torn_lines: int
    problems: tuple[str, ...]
    problems_total: int

    @property
    def is_explained(self) -> bool:
        """Whether there were attempts, all with an end that can be read, and every failure has a name."""
        is_whole = self.ended and not self.problems_total and bool(self.verdicts)
        return is_whole and all(one.signature for one in self.classes)


@dataclass(frozen=True)
class Explanation:
    """One file, explained as far as it goes."""

    name: str
    kind: str
    """A key of `KINDS`."""
    headline: str = ""
    """The line that matters, or why there is nothing to say."""
    parsed: Parsed | None = None
    known: tuple[SignatureMatch, ...] = ()
    """Known failures, the one that names it first."""
    proposals: tuple[str, ...] = ()
    """Entries for results/known, for what is not known."""
    crash: CrashReport | None = None
    records: RecordSummary | None = None

    @property
    def status(self) -> int:
        """Exit status: whether everything here has a name."""
        if self.kind == "unreadable":
            return EXIT_UNREADABLE
        if self.records is not None:
            return EXIT_EXPLAINED if self.records.is_explained else EXIT_UNKNOWN
        if self.parsed is not None and (self.parsed.total or self.parsed.deadly):
            return EXIT_EXPLAINED
        return EXIT_EXPLAINED if self.known else EXIT_UNKNOWN

    @property
    def signatures(self) -> list[str]:
        """Names of what was found: of reports, then of known failures."""
        names: list[str] = []
        if self.parsed is not None:
            names += [*self.parsed.signatures, *(deadly_signature(one) for one in self.parsed.deadly)]
        names += [one.signature.id for one in self.known]
        if self.records is not None:
            names += [one.signature for one in self.records.classes if one.signature]
        return list(dict.fromkeys(names))

    @property
    def reports(self) -> int | None:
        """How many reports ThreadSanitizer made; None where none can mean anything but "no races"."""
        parsed = self.parsed
        if parsed is None or not parsed.is_tsan:
            return None
        # Zero is a number only where the runtime came to its end and said so.
        said = parsed.announced is not None or bool(parsed.suppressions)
        return parsed.total if parsed.total or (said and not parsed.fatal and not parsed.deadly) else None

    def as_json(self) -> dict[str, object]:
        parsed = self.parsed
        data: dict[str, object] = {
            "file": self.name,
            "reports": self.reports,
            "types": list(dict.fromkeys(one.type for one in parsed.reports)) if parsed else [],
            "signatures": self.signatures,
            "unparsed_lines": parsed.unparsed_lines if parsed else 0,
            "kind": self.kind,
            "headline": self.headline,
            "known": [
                {
                    "id": one.signature.id,
                    "meaning": one.signature.meaning,
                    "since": one.signature.since or None,
                    "links": list(one.signature.links),
                    "next": one.signature.next or None,
                }
                for one in self.known
            ],
            "proposals": list(self.proposals),
        }
        if parsed is not None and parsed.is_tsan:
            data["counts"] = [one.count for one in parsed.reports]
            data["announced"] = parsed.announced
            data["complete"] = parsed.complete
            data["fatal"] = list(parsed.fatal)
        if self.records is not None:
            data["unparsed_lines"] = self.records.problems_total
            data["run"] = self.records.run
            data["simulated"] = self.records.simulated
            data["attempts"] = self.records.verdicts
            data["failures"] = [
                {
                    "signature": one.signature,
                    "verdict": one.verdict,
                    "attempts": one.attempts,
                    "item": one.item,
                    "headline": one.headline,
                    "shared": one.shared or None,
                    "unordered": [pair.text for pair in one.pairs],
                    "unkept": [broken.text for broken in one.broken_promises],
                }
                for one in self.records.classes
            ]
        return data
