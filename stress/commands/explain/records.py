"""Explain the records of a run: which failures it had, by name, and what is in the first one's stderr."""

from __future__ import annotations

import contextlib
import sys
from collections import Counter
from collections.abc import Iterator
from collections.abc import Mapping
from dataclasses import dataclass
from dataclasses import field
from pathlib import Path
from typing import Any
from typing import NamedTuple

from stress.commands.explain.explanation import Explanation
from stress.commands.explain.explanation import FailureClass
from stress.commands.explain.explanation import RecordSummary
from stress.commands.explain.proposal import propose_text
from stress.commands.explain.reading import explain_text
from stress.diagnose.signatures import SignatureMatch
from stress.diagnose.signatures import default_signatures
from stress.model.shared_write import from_data
from stress.model.shared_write import sentence
from stress.model.verdict import Verdict
from stress.order.broken_promise import BrokenPromise
from stress.order.pair import UnorderedPair
from stress.record import RecordError
from stress.record import RunFolder
from stress.record import RunReader
from stress.record import read_run
from stress.record.aggregate.side import side_text

CLASSES_MAX = 200
ITEMS_MAX = 10_000
PROBLEMS_SHOWN = 5
UNFINISHED_SHOWN = 5
PROPOSALS_MAX = 3


class _Key(NamedTuple):
    signature: str | None
    verdict: str
    shape: str
    """Of the headline, where there is no signature."""


@dataclass
class _Class:
    key: _Key
    first: Mapping[str, Any]
    shared: str = ""
    attempts: int = 0
    items: set[str] = field(default_factory=set)


def explain_records(name: str, path: Path, serial: int | None = None) -> Explanation:
    """Explain a run's folder, or one file of records in it; with a serial, that attempt alone."""
    try:
        reader = read_run(path)
        run, verdicts, classes = _read(reader, serial)
    except RecordError as error:
        return Explanation(name, "unreadable", headline=error.reason)
    if run is None and not verdicts and not classes:
        said = f"; {reader.problems[0]}" if reader.problems else ""
        return Explanation(name, "unreadable", headline=f"no records in it{said}")
    folder = RunFolder(path if path.is_dir() else path.parent)
    explained = tuple(_explained(key, one, folder) for key, one in classes.items())
    entries = (_proposal(one.first, folder) for one in classes.values() if one.key.signature is None)
    summary = RecordSummary(
        run=str((run or {}).get("run", folder.run)),
        device=str((run or {}).get("device", "?")),
        simulated=bool((run or {}).get("simulated", False)),
        ended=not reader.unfinished and not reader.torn_lines,
        verdicts=dict(verdicts),
        classes=explained,
        unfinished=tuple(
            f"{one.item} ({one.role} {one.attempt})" for one in reader.unfinished[:UNFINISHED_SHOWN]
        ),
        torn_lines=reader.torn_lines,
        problems=tuple(str(one) for one in reader.problems[:PROBLEMS_SHOWN]),
        problems_total=reader.problems_total,
    )
    known = {one.found.signature.id: one.found for one in explained if one.found is not None}
    return Explanation(
        name,
        "records",
        headline=explained[0].headline if explained else "no attempt failed",
        known=tuple(known.values()),
        proposals=tuple(dict.fromkeys(one for one in entries if one is not None))[:PROPOSALS_MAX],
        records=summary,
    )


def _read(
    reader: RunReader,
    serial: int | None = None,
) -> tuple[Mapping[str, Any] | None, Counter[str], dict[_Key, _Class]]:
    """Return the run's own record, the crew's attempts by verdict, and the classes of those that failed.

    Planted faults are left out: that they fail is right.
    """
    run: Mapping[str, Any] | None = None
    # What each attempt has added, for the record that amends it: by hash, since a run may have a million.
    ends: dict[int, tuple[str, _Key | None]] = {}
    verdicts: Counter[str] = Counter()
    classes: dict[_Key, _Class] = {}
    planted: set[str] = set()
    shared: dict[str, str] = {}
    for record in reader:
        if record["kind"] == "run" and run is None:
            run = dict(record)
        if record["kind"] == "attempt_start" and record.get("canary"):
            planted.add(record["item"])
        if record["kind"] == "attempt_end" and record.get("shared_writes") and len(shared) < ITEMS_MAX:
            shared[record["item"]] = sentence(from_data(record["shared_writes"]))
        if record["kind"] != "attempt_end" or record["role"] != "crew" or record["item"] in planted:
            continue
        if serial is not None and record["serial"] != serial:
            continue
        end: Mapping[str, Any] = dict(record)
        key = hash((end["run"], end["item"], end["attempt"]))
        if end.get("amends") and key in ends:
            verdict, earlier = ends[key]
            verdicts[verdict] -= 1
            if earlier is not None:
                classes[earlier].attempts -= 1
        verdicts[end["verdict"]] += 1
        ends[key] = (sys.intern(end["verdict"]), _count(end, classes, shared))
    kept = {key: one for key, one in classes.items() if one.attempts > 0}
    return run, +verdicts, dict(sorted(kept.items(), key=lambda pair: -pair[1].attempts))


def _count(end: Mapping[str, Any], classes: dict[_Key, _Class], shared: Mapping[str, str]) -> _Key | None:
    if Verdict(end["verdict"]).is_green:
        return None
    signature = end.get("signature")
    # What has a name is one class, whatever its text says; what has none is distinguished by its text's beginning.
    key = _Key(signature, end["verdict"], "" if signature else _shape(end["headline"]))
    if key not in classes and len(classes) >= CLASSES_MAX:
        key = _Key(None, end["verdict"], "(others)")
    if key not in classes:
        classes[key] = _Class(key, end, shared.get(end["item"], ""))
    one = classes[key]
    one.attempts += 1
    if len(one.items) < ITEMS_MAX:
        one.items.add(end["item"])
    return one.key


def _shape(headline: str) -> str:
    """Return what two failures of one class have in common: the words, without numbers."""
    return " ".join("#" if any(map(str.isdigit, word)) else word for word in headline[:200].split())


def _explained(key: _Key, one: _Class, folder: RunFolder) -> FailureClass:
    signature, verdict, _ = key
    stderr = one.first.get("stderr")
    found = next((SignatureMatch(each, "") for each in default_signatures() if each.id == signature), None)
    return FailureClass(
        signature=signature,
        verdict=verdict,
        attempts=one.attempts,
        items=len(one.items),
        item=one.first["item"],
        headline=one.first["headline"],
        stderr=stderr,
        found=found,
        explanation=_of_stderr(stderr, folder) or _of_stderr(one.first.get("tsan_log"), folder),
        shared=one.shared if Verdict(verdict).is_failure else "",
        pairs=tuple(pairs_of(one.first)),
        broken_promises=tuple(broken_promises_of(one.first)),
    )


def pairs_of(end: Mapping[str, Any]) -> Iterator[UnorderedPair]:
    """Yield an attempt's unordered pairs, as far as the record can be read."""
    order = end.get("order")
    pairs = order.get("pairs") if isinstance(order, Mapping) else None
    for one in pairs if isinstance(pairs, list) else ():
        with contextlib.suppress(ValueError):
            yield UnorderedPair.from_data(one)


def broken_promises_of(end: Mapping[str, Any]) -> Iterator[BrokenPromise]:
    """Yield what the attempt's device did not keep, as far as the record can be read."""
    broken = end.get("unkept")
    for one in broken if isinstance(broken, list) else ():
        with contextlib.suppress(ValueError):
            yield BrokenPromise.from_data(one)


def _proposal(end: Mapping[str, Any], folder: RunFolder) -> str | None:
    """Return an entry for what the process or an exception said: nothing else is searched for signatures."""
    if end["verdict"] == Verdict.CRASH:
        return propose_text(end["headline"], side_text(folder.path, end.get("stderr")) or "")
    for one in end.get("findings") or ():
        text = one.get("text")
        if one.get("name") in ("exception", "out-of-memory") and isinstance(text, str) and text.strip():
            return propose_text(text.strip().splitlines()[0], text)
    return None


def _of_stderr(name: str | None, folder: RunFolder) -> Explanation | None:
    """Return what a side file holds of ThreadSanitizer's; the name is a record's, so it is checked again."""
    if not name:
        return None
    try:
        path = folder.side(name)
        if path.is_symlink() or not path.is_file():
            return None
        with path.open("rb") as file:
            explanation = explain_text(name, file)
    except (OSError, RecordError):
        return None
    return explanation if explanation.parsed is not None and explanation.parsed.total else None
