"""`mps-stress explain --sarif`: order findings and ThreadSanitizer reports, both places of each, valid by the schema."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import jsonschema
import pydantic
import pytest
from pydantic_sarif.model import StaticAnalysisResultsFormatSarifVersion210JsonSchema  # type: ignore[import-untyped]

from stress.commands.explain.explain import explain
from stress.commands.explain.explanation import Explanation
from stress.commands.explain.explanation import FailureClass
from stress.commands.explain.explanation import RecordSummary
from stress.commands.explain.sarif import sarif_log
from stress.order.broken_promise import BrokenPromise
from stress.order.pair import PairSide
from stress.order.pair import UnorderedPair
from tests.acceptance import Ran
from tests.acceptance import run_in
from tests.order.test_option import SUBJECT
from tests.public_schemas import SARIF
from tests.public_schemas import at_hand
from tests.public_schemas import public

TSAN_TEXTS = Path(__file__).resolve().parents[1] / "sanitizer" / "reports" / "clang-19"
PAIR = UnorderedPair(
    "RAW",
    "stream-stream",
    "mps",
    "bytes 0-3 of float32 [1]",
    PairSide("aten::add.Tensor", "self", "stream 1", "racy.py:3", os.path.abspath("with space/racy.py"), 3),
    PairSide("aten::mm", "", "stream 0", "", "", 0),
    "nothing",
    "an event",
)
PROMISE = BrokenPromise("wait", "", "aten::add", "stream 1", "aten::mm", "stream 2", "", "a", "b", 3)


def of_records(
    *, pairs: tuple[UnorderedPair, ...] = (), promises: tuple[BrokenPromise, ...] = ()
) -> Explanation:
    failed = FailureClass("s", "unordered", 1, 1, "i", "h", None, None, None, "", pairs, promises)
    return Explanation(
        "r", "records", records=RecordSummary("r", "sim", True, True, {}, (failed,), (), 0, (), 0)
    )


def checked(log: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the results of a log that is valid by a model made from the public schema, and by that where it is to be had."""
    StaticAnalysisResultsFormatSarifVersion210JsonSchema.model_validate(log)
    schema = at_hand(SARIF)
    if schema is not None:
        jsonschema.Draft7Validator(json.loads(schema)).validate(log)
    assert log["version"] == "2.1.0"
    assert set(log) == {"$schema", "version", "runs"}
    [run] = log["runs"]
    driver = run["tool"]["driver"]
    assert driver["name"] == "mps-stress"
    rules = [one["id"] for one in driver["rules"]]
    assert len(rules) == len(set(rules))
    for one in run["results"]:
        assert rules[one["ruleIndex"]] == one["ruleId"]
        assert one["level"] == "error"
        assert one["message"]["text"]
        assert "_rule" not in one
        assert [place["id"] for place in one["relatedLocations"]] == list(
            range(1, len(one["relatedLocations"]) + 1)
        )
        for place in one["relatedLocations"]:
            where = place.get("physicalLocation", {"artifactLocation": {"uri": "x"}})
            assert where["artifactLocation"]["uri"]
            assert where.get("region", {"startLine": 1})["startLine"] >= 1
    return list(run["results"])


@pytest.mark.parametrize("change", [{"level": "fatal"}, {"ruleIndex": "first"}, {"unknown": 1}])
def test_the_public_model_refuses_what_the_schema_does(change: dict[str, Any]) -> None:
    log = sarif_log([of_records(pairs=(PAIR,))])
    log["runs"][0]["results"][0].update(change)
    with pytest.raises(pydantic.ValidationError):
        checked(log)
    assert not jsonschema.Draft7Validator(json.loads(public(SARIF))).is_valid(log)


def test_a_pair_has_both_places() -> None:
    [result] = checked(sarif_log([of_records(pairs=(PAIR,))]))
    assert result["ruleId"] == "order/stream-stream"
    later, earlier = result["relatedLocations"]
    assert later["physicalLocation"] == {
        "artifactLocation": {"uri": "with%20space/racy.py", "uriBaseId": "SRCROOT"},
        "region": {"startLine": 3},
    }
    assert "physicalLocation" not in earlier, "no line of the author's on that stack"
    assert earlier["logicalLocations"] == [{"fullyQualifiedName": "aten::mm"}]
    assert result["locations"][0]["physicalLocation"] == later["physicalLocation"]
    assert result["partialFingerprints"] == {"mpsStressSignature/v1": PAIR.signature}


def test_a_broken_promise_is_the_devices() -> None:
    log = sarif_log([of_records(promises=(PROMISE,), pairs=(PAIR, PAIR))])
    results = checked(log)
    assert [one["ruleId"] for one in results] == ["order/stream-stream", "order/stream-stream", "unkept/wait"]
    assert "The bug is the device's" in results[2]["message"]["text"]
    assert results[2]["occurrenceCount"] == 3
    assert log["runs"][0]["properties"] == {"simulated": True}


@pytest.mark.parametrize("path", sorted(TSAN_TEXTS.glob("*.txt")), ids=lambda path: path.stem)
def test_every_kind_of_report_of_thread_sanitizer(path: Path) -> None:
    explanation = explain(str(path), io.BytesIO())
    results = checked(sarif_log([explanation]))
    assert len(results) == len(explanation.parsed.reports if explanation.parsed is not None else ())
    for result in results:
        if result["ruleId"] == "tsan/data-race":
            assert len(result["relatedLocations"]) >= 2


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Ran:
    folder = tmp_path_factory.mktemp("sarif")
    return run_in(folder, SUBJECT, "--mps-attempts=1", "--mps-order=strict", "-k", "Unordered")


def command(ran: Ran, *arguments: str) -> subprocess.CompletedProcess[str]:
    assert ran.folder is not None
    return subprocess.run(
        [sys.executable, "-m", "stress", "explain", *arguments],
        cwd=ran.folder.parents[2],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def test_the_command_takes_an_attempt(ran: Ran) -> None:
    [end] = ran.ends("Unordered[t4]")
    done = command(ran, f"latest/{end['serial']}", "--sarif")
    assert done.returncode == 0, done.stderr
    results = checked(json.loads(done.stdout))
    assert [one["ruleId"] for one in results] == ["order/host-host"]
    uris = [one["physicalLocation"]["artifactLocation"]["uri"] for one in results[0]["relatedLocations"]]
    assert uris == ["scenarios/subject.py"] * 2


def test_an_attempt_without_findings_has_no_results(ran: Ran) -> None:
    [end] = ran.ends("Unordered[t4]", "reference")
    done = command(ran, f"latest/{end['serial']}", "--sarif")
    assert checked(json.loads(done.stdout)) == []


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("latest/999", "--sarif"), "999"),
        (("nothing/1", "--sarif"), "no run nothing in"),
        (("latest/1", "--sarif", "--json"), "not allowed with argument"),
    ],
)
def test_bad_input_ends_with_2_and_the_way_out(ran: Ran, arguments: tuple[str, ...], said: str) -> None:
    done = command(ran, *arguments)
    assert done.returncode == 2
    assert said in done.stderr
