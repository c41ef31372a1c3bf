"""The README tells what is there: every option, and no other. Its coverage table has a test of its own."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from stress import options

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text()


class TestOptions:
    @pytest.mark.parametrize(
        "name", [name for name, *_ in options._VALUED] + [name for name, _ in options._FLAGS]
    )
    def test_every_option_is_described(self, name: str) -> None:
        assert f"| `--mps-{name}" in README

    def test_no_other_option_is_described(self) -> None:
        known = {name for name, *_ in options._VALUED} | {name for name, _ in options._FLAGS}
        assert set(re.findall(r"^\| `--mps-([a-z-]+)", README, re.M)) == known
