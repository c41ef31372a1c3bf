"""What an attempt says to its simulated Metal: the user's options, and the axis and the seed that its record names."""

from __future__ import annotations

import sys
from dataclasses import replace

import pytest

from stress.device import devices
from stress.device.core import loading
from stress.device.core.loading import metal_options
from stress.model.errors import LibraryError
from stress.model.spec import ChildSpec
from stress.model.spec import CoreSpec

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="a core is for Linux")

SPEC = ChildSpec("crew", seed=7, attempt=2, completion="delayed")


def test_the_same_attempt_says_the_same() -> None:
    assert metal_options(SPEC, "") == metal_options(replace(SPEC, folder="elsewhere", threads=2), "")
    assert metal_options(SPEC, "").startswith(";completion=delayed;seed=")


@pytest.mark.parametrize("other", [{"seed": 8}, {"attempt": 3}, {"kind": "reference"}])
def test_another_one_draws_other_pauses(other: dict[str, object]) -> None:
    assert metal_options(replace(SPEC, **other), "") != metal_options(SPEC, "")  # type: ignore[arg-type]


def test_the_users_own_come_first() -> None:
    assert metal_options(SPEC, "macos=13;memory_mb=512").startswith(
        "macos=13;memory_mb=512;completion=delayed;"
    )


@pytest.mark.parametrize("given", ["completion=in_order", "macos=13;seed=3"])
def test_what_is_drawn_cannot_be_given(given: str) -> None:
    with pytest.raises(
        LibraryError, match=r"MPS_STRESS_METAL=.*: each attempt draws its own (?:completion|seed), which"
    ):
        metal_options(SPEC, given)


class TestErrorsOfOperators:
    """Which threads get an error of the device depends on whose operators run."""

    @pytest.mark.parametrize(("tree_operators", "streams", "expected"), [
        (False, False, True), (True, False, False), (True, True, True),
    ])  # fmt: skip
    def test_own_errors(
        self, monkeypatch: pytest.MonkeyPatch, tree_operators: bool, streams: bool, expected: bool
    ) -> None:
        of_streams = {"streams", "own_errors"} if streams else set()
        monkeypatch.setattr(
            devices.Mps, "capabilities", lambda self: {"graph_path", "index_errors", *of_streams}
        )
        monkeypatch.setattr(loading._Prepared, "core", CoreSpec("core.so", tree_operators=tree_operators))
        found = object.__new__(devices.Core).capabilities()
        assert ("own_errors" in found) == ("index_errors" in found) == expected
        assert "graph_path" not in found
