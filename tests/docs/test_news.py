"""News fragments: the configuration works, each fragment is of a known kind, and CI asks for one."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
import tomllib

import pytest

from tests.docs.pages import ROOT

CONFIG = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["towncrier"]
KINDS = {one["directory"] for one in CONFIG["type"]}
FRAGMENTS = [
    one for one in sorted((ROOT / CONFIG["directory"]).iterdir()) if one.name not in CONFIG["ignore"]
]


def test_each_fragment_has_a_kind_and_a_sentence() -> None:
    for one in FRAGMENTS:
        named = re.fullmatch(r"[\w+-]+\.(\w+)\.md", one.name)
        assert named is not None, f"{one.name}: NAME.TYPE.md"
        assert named[1] in KINDS, f"{one.name}: one of {', '.join(sorted(KINDS))}"
        assert one.read_text(encoding="utf-8").rstrip().endswith("."), one.name


def test_the_changelog_has_the_place_where_they_go() -> None:
    assert CONFIG["start_string"] in (ROOT / CONFIG["filename"]).read_text(encoding="utf-8")


def test_a_draft_holds_every_fragment() -> None:
    if importlib.util.find_spec("towncrier") is None:
        pytest.skip("towncrier is not installed here: make test installs it")
    done = subprocess.run(
        [sys.executable, "-m", "towncrier", "build", "--draft"],
        cwd=ROOT, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    for one in FRAGMENTS:
        assert one.read_text(encoding="utf-8").split()[0] in done.stdout
    assert done.stdout.startswith("## "), done.stdout


def test_ci_asks_for_one_in_a_pull_request() -> None:
    text = (ROOT / ".github" / "workflows" / "ci.yml").read_text()
    assert "python -m towncrier check" in text
    assert "no news" in text
    assert "`no news`" in (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8").replace("\n", " ").replace(
        "  ", " "
    )


def test_tools_are_pinned() -> None:
    pinned = {
        line.partition("==")[0]
        for line in (ROOT / "constraints.txt").read_text().splitlines()
        if "==" in line
    }
    groups = tomllib.loads((ROOT / "pyproject.toml").read_text())["dependency-groups"]
    assert {*groups["dev"], *groups["docs"]} - {"types-jsonschema", "types-psutil"} <= pinned
    setup = (ROOT / "tools" / "setup").read_text()
    assert all(
        re.search(rf"^ +install (?:.* )?{re.escape(one)}(?: |$)", setup, re.M)
        for one in [*groups["dev"], *groups["docs"]]
    )
