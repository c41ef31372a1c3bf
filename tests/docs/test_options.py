"""The documentation has a row for every option, and for no other."""

from __future__ import annotations

import re
from pathlib import Path

from stress.plugin import option_table

PAGE = Path(__file__).resolve().parents[2] / "README.md"


def test_every_option_is_described_and_no_other() -> None:
    described = re.findall(r"^\| `--mps-([a-z-]+)", PAGE.read_text(), re.M)
    assert set(described) == set(option_table.BY_NAME)
