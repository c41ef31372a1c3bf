"""The README tells what is there: every option, and no other. Its coverage table has a test of its own."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from stress.plugin import option_table

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text()


class TestOptions:
    @pytest.mark.parametrize("name", option_table.NAMES)
    def test_every_option_is_described(self, name: str) -> None:
        assert f"| `--mps-{name}" in README

    def test_no_other_option_is_described(self) -> None:
        known = set(option_table.NAMES)
        assert set(re.findall(r"^\| `--mps-([a-z-]+)", README, re.M)) == known
