"""The JSON route: what on_report.cpp wrote beside each recorded text, and what a damaged file does."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

import pytest

from stress.diagnose.tsan.json_lines import LINE_BYTES_MAX
from stress.diagnose.tsan.json_lines import VERSION
from stress.diagnose.tsan.json_lines import parse_json_text
from stress.diagnose.tsan.json_lines import report_from_json
from stress.diagnose.tsan.parser import parse_file
from stress.diagnose.tsan.parser import text_lines
from stress.diagnose.tsan.report import Parsed
from stress.diagnose.tsan.report import Report

REPORTS = Path(__file__).parent / "reports"
CASES = sorted(path.stem for path in (REPORTS / "clang-19").glob("*.txt"))

# What the debugging API does not tell: build ids, locks held, a global's size and module, the size that it gives to an
# access of a tagged object, the number of a signal; and what only the text's words hold.
_TEXT_ALONE = frozenset({"build_id", "header", "summary", "type", "signal", "object_type"})


def parse_json_lines(path: Path) -> Parsed:
    with path.open("rb") as file:
        return parse_json_text(text_lines(file, bytes_max=LINE_BYTES_MAX))


def report_to_json(report: Report) -> dict[str, object]:
    """Return a report as on_report.cpp would write it; what is None or empty is left out."""
    return {"v": VERSION, "kind": report.kind, **_compact(asdict(report))}


def _compact(value: Mapping[str, object]) -> dict[str, object]:
    kept: dict[str, object] = {}
    for key, one in value.items():
        if isinstance(one, Mapping):
            kept[key] = _compact(one)
        elif isinstance(one, tuple | list):
            if one or key == "mutexes":  # No lock held is something else than not known.
                kept[key] = [_compact(each) if isinstance(each, Mapping) else each for each in one]
        elif one is not None and one is not False:
            kept[key] = one
    return kept


def comparable(report: Report) -> object:
    """Return what both routes know of a report."""
    tagged = report.kind == "external-race"

    def kept(value: object, key: str = "", kind: object = None) -> object:
        if isinstance(value, Mapping):
            return {
                name: kept(one, name, value.get("kind"))
                for name, one in value.items()
                if name not in _TEXT_ALONE
                and not (key == "access" and (name == "mutexes" or (name == "size" and tagged)))
                and not (value.get("kind") == "global" and name in ("size", "module", "offset"))
            }
        return [kept(one) for one in value] if isinstance(value, list) else value

    return kept(report_to_json(report))


def assert_routes_agree(text: Parsed, lines: Parsed) -> None:
    assert (lines.signatures, lines.total, lines.unparsed_lines) == (text.signatures, text.total, 0)
    for one, other in zip(text.reports, lines.reports, strict=True):
        assert comparable(one) == comparable(other)


@pytest.mark.parametrize("case", CASES)
def test_both_routes_tell_the_same(case: str) -> None:
    folder = REPORTS / "clang-19"
    text, lines = parse_file(folder / f"{case}.txt"), parse_json_lines(folder / f"{case}.jsonl")
    assert_routes_agree(text, lines)
    for report in lines.reports:
        assert all(one.access.mutexes is None for one in report.accesses if one.access)


@pytest.mark.parametrize("compiler", ["clang-19", "clang-14", "gcc-12", "shared"])
def test_a_report_survives_as_json(compiler: str) -> None:
    for path in sorted((REPORTS / compiler).glob("*.txt")):
        for report in parse_file(path).reports:
            assert report_from_json(json.loads(json.dumps(report_to_json(report)))) == report


class TestDamage:
    LINE = (REPORTS / "clang-19" / "race_global.jsonl").read_text()

    @pytest.mark.parametrize(
        "line",
        [
            "{}",
            "[]",
            "not JSON",
            "\x00\x01",
            '{"v":2,"kind":"data-race"}',
            '{"v":1}',
            '{"v":1,"kind":7}',
            '{"v":1,"kind":"data-race","pid":"7"}',
            '{"v":1,"kind":"data-race","pid":1e400}',
            '{"v":1,"kind":"data-race","pid":' + "9" * 5000 + "}",
            '{"v":1,"kind":"data-race","stacks":{}}',
            '{"v":1,"kind":"data-race","stacks":[{"frames":[7]}]}',
            '{"v":1,"kind":"data-race","stacks":[{"access":{"size":4}}]}',
            '{"v":1,"kind":"data-race","threads":[{"name":"x"}]}',
            '{"v":1,"kind":"data-race","threads":[{"id":true}]}',
            '{"v":1,"kind":"data-race","threads":[{"id":1,"running":1}]}',
            '{"v":1,"kind":"data-race","stacks":[{"access":[4]}]}',
            '{"v":1,"kind":"data-race","stacks":[{"access":{"address":4,"mutexes":[7]}}]}',
            '{"v":1,"kind":"data-race","summary":{"a":1}}',
            '{"v":1,"kind":"data-race","type":["x"]}',
            '{"v":1,"kind":["data-race"]}',
            '{"v":true,"kind":"data-race"}',
            '{"v":1,"kind":"data-race","mutexes":[' + "{}," * 1000 + "{}]}",
            '{"v":1,"kind":"data-race","stacks":' + "[" * 100_000,
        ],
    )
    def test_is_counted_and_never_trusted(self, line: str) -> None:
        parsed = parse_json_text([f"{line}\n", self.LINE])
        assert (parsed.total, parsed.unparsed_lines, len(parsed.unparsed)) == (1, 1, 1)
        assert not parsed.cut_off

    def test_a_torn_last_line(self) -> None:
        for at in range(1, len(self.LINE) - 1, 97):
            parsed = parse_json_text([self.LINE, self.LINE[:at]])
            assert (parsed.total, parsed.cut_off, parsed.unparsed_lines) == (1, True, 0)

    def test_text_that_no_terminal_could_show(self) -> None:
        parsed = parse_json_text(
            ['{"v":1,"kind":"data-race","stacks":[{"frames":[{"function":"a\\ud800b"}]}]}\n']
        )
        assert parsed.reports[0].stacks[0].frames[0].function == "a?b"

    def test_what_is_not_told_is_the_default(self) -> None:
        line = '{"v":1,"kind":"data-race","stacks":[{"kind":""}],"mutexes":[{}],"locations":[{"x":[7]}],"pid":null,"count":-3}\n'
        (report,) = parse_json_text([line]).reports
        assert (report.type, report.pid, report.count) == ("data race", None, 1)
        assert [one.kind for one in report.stacks] == ["event"]
        assert [one.id for one in report.mutexes] == ["M?"]
        assert [one.kind for one in report.locations] == ["?"]
