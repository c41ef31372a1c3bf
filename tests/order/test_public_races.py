"""The missing orders that were reported in public: found without their order, and nothing with it."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import pytest

from stress.commands.explain.explain import explain
from stress.commands.explain.printing import rendered
from tests.acceptance import Ran
from tests.acceptance import run_in

SHIPPED = Path(__file__).resolve().parents[2] / "scenarios" / "public_races.py"
SUBJECT = """
import importlib.util
from stress import streams

spec = importlib.util.spec_from_file_location("public_races", {path!r})
module = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)

class CopyWithoutWait(module.CopyOnATransferStream):
    ordered = False

class StashWithoutRecord(module.StashOnASideStream):
    ordered = False

class OverwrittenInput(module.StaticInputOfAReplay):
    ordered = False

class FarFromTheOwn:
    # A side stream that no thread has anyway: the fork's pool counts its threads' streams from 1, too.
    def setup(self, device):
        for _ in range(8):
            streams.new_stream(device)
        return super().setup(device)

class CopyWaits(FarFromTheOwn, module.CopyOnATransferStream):
    pass

class StashRecords(module.StashOnASideStream):
    pass

class InputWaits(FarFromTheOwn, module.StaticInputOfAReplay):
    pass
"""
RACY = {
    "CopyWithoutWait": ("stream-stream", "RAW"),
    "StashWithoutRecord": ("reuse", "WAR"),
    "OverwrittenInput": ("stream-stream", "WAR"),
}
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the simulated device is for Linux")


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Ran:
    source = SUBJECT.format(path=str(SHIPPED))
    folder = tmp_path_factory.mktemp("public")
    return run_in(folder, source, "--mps-device=sim", "--mps-threads=2", "--mps-attempts=1", "--mps-order")


@pytest.mark.parametrize("name", RACY)
def test_without_its_order_it_is_found_in_one_attempt(ran: Ran, name: str) -> None:
    [end] = ran.ends(f"{name}[t2]")
    assert end["verdict"] in ("unordered", "mismatch")
    found = {(one["kind"], one["hazard"]) for one in end["order"]["pairs"]}
    assert RACY[name] in found
    assert not end.get("unkept"), "the order that is missing is the scenario's, not the device's"
    assert {kind for kind, _ in found} == {RACY[name][0]}


@pytest.mark.parametrize("name", ["CopyWaits", "StashRecords", "InputWaits"])
def test_with_it_nothing_is(ran: Ran, name: str) -> None:
    [end] = ran.ends(f"{name}[t2]")
    assert (end["verdict"], end["order"]["pairs"]) == ("pass", [])
    assert end["order"]["accesses"] > 50


@pytest.fixture(scope="module")
def broken(tmp_path_factory: pytest.TempPathFactory) -> Ran:
    """The same on a device whose waits come one position too early, without `--mps-order`."""
    source = SUBJECT.format(path=str(SHIPPED))
    options = (
        "--mps-device=sim",
        "--mps-threads=2",
        "--mps-attempts=2",
        "--mps-sim-faults=event_wrong_ticket:1",
    )
    return run_in(tmp_path_factory.mktemp("broken"), source, *options, "-k", "CopyWaits or InputWaits")


def test_an_order_that_the_device_breaks_is_the_devices(broken: Ran) -> None:
    for name in ("CopyWaits[t2]", "InputWaits[t2]"):
        for end in broken.ends(name):
            assert end["verdict"] in ("unkept", "mismatch")
            assert "wait" in {one["promise"] for one in end["unkept"]}
            assert end["signature"] == ("unkept/wait" if end["verdict"] == "unkept" else None)
            wrong = [one["text"] for one in end["findings"] if one["verdict"] == "mismatch"]
            assert not wrong or "that it promised (wait" in wrong[0], "a wrong value says whose it is"
    assert "owner         the device: the program did what orders the two" in broken.text


def test_explain_prints_what_the_device_broke(broken: Ran) -> None:
    assert broken.folder is not None
    explanation = explain(str(broken.folder), io.BytesIO())
    assert "promise=wait hazard=" in rendered(explanation, width=120, color=False)
    assert any(one["unkept"] for one in explanation.as_json()["failures"])  # type: ignore[attr-defined]
