"""Findings as SARIF 2.1.0, which code hosts and editors read: order findings and ThreadSanitizer's reports, both places of each."""

from __future__ import annotations

import os
from collections.abc import Iterable
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from stress import __version__
from stress.commands.explain.explanation import Explanation
from stress.diagnose.tsan.names import naming_frame
from stress.diagnose.tsan.names import short_name
from stress.diagnose.tsan.report import Parsed
from stress.diagnose.tsan.report import Report
from stress.diagnose.tsan.report import Stack
from stress.order.broken_promise import PROMISES
from stress.order.broken_promise import BrokenPromise
from stress.order.pair import KINDS
from stress.order.pair import PairSide
from stress.order.pair import UnorderedPair

SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
_Json = dict[str, Any]


def sarif_log(explanations: Iterable[Explanation]) -> _Json:
    """Return one log with one run: a result for each finding of these files, in their order."""
    explanations = list(explanations)
    found = [result for one in explanations for result in _results(one)]
    rules = {one["ruleId"]: one.pop("_rule") for one in found}
    for one in found:
        one["ruleIndex"] = list(rules).index(one["ruleId"])
    simulated = any(one.records is not None and one.records.simulated for one in explanations)
    return {
        "$schema": SCHEMA,
        "version": "2.1.0",
        "runs": [
            {
                "tool": {
                    "driver": {
                        "name": "mps-stress",
                        "version": __version__,
                        "rules": [
                            {"id": id, "shortDescription": {"text": text}} for id, text in rules.items()
                        ],
                    }
                },
                "originalUriBaseIds": {"SRCROOT": {"uri": f"{Path.cwd().as_uri()}/"}},
                "columnKind": "unicodeCodePoints",
                "results": found,
                "properties": {"simulated": simulated},
            }
        ],
    }


def _results(explanation: Explanation) -> Iterator[_Json]:
    if explanation.parsed is not None:
        yield from _of_tsan(explanation.parsed)
    for one in explanation.records.classes if explanation.records is not None else ():
        if one.explanation is not None and one.explanation.parsed is not None:
            yield from _of_tsan(one.explanation.parsed)
        yield from map(_of_pair, one.pairs)
        yield from map(_of_promise, one.broken_promises)


def _result(
    rule: str, rule_text: str, text: str, signature: str, places: list[_Json], count: int = 1
) -> _Json:
    numbered = [{"id": number, **place} for number, place in enumerate(places, 1)]
    where = next((one for one in places if "physicalLocation" in one), places[0] if places else None)
    return {
        "ruleId": rule,
        "level": "error",
        "message": {"text": text},
        **({"locations": [where]} if where is not None else {}),
        "relatedLocations": numbered,
        "partialFingerprints": {"mpsStressSignature/v1": signature},
        "occurrenceCount": count,
        "_rule": rule_text,
    }


def _place(text: str, function: str, file: str | None = None, line: int | None = None) -> _Json:
    """Return a location; without a file it has a name only."""
    place: _Json = {"message": {"text": text}, "logicalLocations": [{"fullyQualifiedName": function}]}
    if file:
        region = {"region": {"startLine": line}} if line else {}
        place["physicalLocation"] = {"artifactLocation": _artifact(file), **region}
    return place


def _artifact(file: str) -> _Json:
    path = Path(os.path.abspath(file))
    if path.is_relative_to(Path.cwd()):
        # Not as_uri() of the whole: a code host knows files by their place in the repository.
        base = Path("/") / path.relative_to(Path.cwd())
        return {"uri": base.as_uri().removeprefix("file:///"), "uriBaseId": "SRCROOT"}
    return {"uri": path.as_uri()}


def _of_pair(pair: UnorderedPair) -> _Json:
    def place(word: str, side: PairSide) -> _Json:
        op = f"{side.op}({side.argument})" if side.argument else side.op
        return _place(f"{word}: {op}, {side.where}", op, side.file or None, side.number or None)

    text = f"{pair.title}. Known order: {pair.known}. Would do: {pair.remedy}."
    places = [place("later", pair.later), place("earlier", pair.earlier)]
    return _result(f"order/{pair.kind}", f"not ordered: {KINDS[pair.kind]}", text, pair.signature, places)


def _of_promise(one: BrokenPromise) -> _Json:
    text = f"{PROMISES[one.promise]}: promised: {one.promised}. Kept: {one.kept}. The bug is the device's."
    sides = (("later", one.op, one.where), ("earlier", one.prior, one.prior_where))
    places = [_place(f"{word}: {op}, {where}", op) for word, op, where in sides]
    rule_text = f"promised and not kept: {PROMISES[one.promise]}"
    return _result(one.name, rule_text, text, one.signature, places, one.count)


def _of_tsan(parsed: Parsed) -> Iterator[_Json]:
    for report, signature in zip(parsed.reports, parsed.signatures, strict=True):
        yield _of_report(report, signature)


def _of_report(report: Report, signature: str) -> _Json:
    places = []
    for stack in report.stacks:
        frame = naming_frame(stack.frames)
        if frame is not None and stack.kind != "sleep":
            places.append(_place(_side(stack), short_name(frame), frame.file, frame.line))
    text = f"ThreadSanitizer: {report.type}: {signature.partition(' ')[2] or signature}"
    return _result(
        f"tsan/{report.kind}", f"ThreadSanitizer: {report.type}", text, signature, places, report.count
    )


def _side(stack: Stack) -> str:
    access = stack.access
    if access is None:
        return f"{stack.kind} {stack.mutex or ''}, thread {stack.thread}".replace(" ,", ",")
    size = f" of {access.size} bytes" if access.size else ""
    return f"{'write' if access.write else 'read'}{size}, thread {stack.thread}"
