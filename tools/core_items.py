"""pytest plugin of `make core` (`-p tools.core_items --core-items=SHARE`): run one of the two shares of the collected items.

A run with a time budget ends before it has reached every item, and which ones it reaches is an accident of the machine's
load. So the items on the list of expected failures run in one pytest, without a budget, and all others in a second one.
An item belongs to exactly one share, by its name.
"""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

LIST = Path(__file__).with_name("core_failures.toml")
LISTED, OTHERS = "listed", "others"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--core-items", choices=(LISTED, OTHERS), required=True, help="the share of the items to run"
    )


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    entries = tomllib.loads(LIST.read_text(encoding="utf-8"))["failure"]
    listed = {one["item"] for one in entries}
    is_asked_for = config.getoption("--core-items") == LISTED
    out = [one for one in items if (one.name in listed) is not is_asked_for]
    config.hook.pytest_deselected(items=out)
    items[:] = [one for one in items if (one.name in listed) is is_asked_for]
