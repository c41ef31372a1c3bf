"""The pages themselves: size, links, and that every word, option and name of the code has its row."""

from __future__ import annotations

import importlib.util
import inspect
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import stress
from stress import ProcessScenario
from stress import Scenario
from stress import Verdict
from stress.device.sim.zoo import DESIGNS
from stress.device.sim.zoo import FAULTS
from stress.model.verdict import WRONG_VALUE_NAMES
from stress.plugin import option_table
from stress.scenario.capabilities import CAPABILITIES
from tests.docs.pages import DOCS
from tests.docs.pages import PAGES
from tests.docs.pages import README
from tests.docs.pages import ROOT
from tests.docs.pages import anchors
from tests.docs.pages import blocks
from tests.docs.pages import prose

WIDTH_MAX = 120
HELPERS = ("exact", "streams", "memory", "handover", "growth", "spawned_process")
"""Modules that authors import from `stress`."""


def page(name: str) -> str:
    return (DOCS / name).read_text(encoding="utf-8")


class TestText:
    def test_the_readme_is_short(self) -> None:
        assert len(README.read_bytes()) <= 15_000

    @pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
    def test_lines_of_prose_fit_a_window(self, path: Path) -> None:
        lines = enumerate(prose(path).splitlines(), start=1)
        long = [at for at, line in lines if len(line) > WIDTH_MAX and not line.startswith("|")]
        assert not long, f"{path.name}: more than {WIDTH_MAX} columns"

    @pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
    def test_no_place_waits_for_a_figure(self, path: Path) -> None:
        assert not re.findall(r"@@|\bT[B]D\b|\bX{3}\b", prose(path))

    @pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
    def test_blocks_say_what_they_hold(self, path: Path) -> None:
        known = {"sh", "python", "text", "ini"}
        assert {block.language for block in blocks(path)} <= known

    @pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
    def test_plain_words(self, path: Path) -> None:
        """Words of a translator; the first of each line is what people say."""
        found = re.findall(r"\b(?:is told|are told|held against|of its own|anew|gone on with)\b", prose(path))
        assert not found, f"{path.name}: reported or shown; compared with; own; again; resumed"


class TestLinks:
    @pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
    def test_lead_somewhere(self, path: Path) -> None:
        for target in re.findall(r"\]\(([^)\s]+)\)", prose(path)):
            if target.startswith("https://"):
                continue
            name, _, anchor = target.partition("#")
            file = (path.parent / name).resolve() if name else path
            assert file.exists(), f"{path.name}: {target}"
            assert not anchor or anchor in anchors(file), f"{path.name}: {target}"
            # The site holds the pages alone.
            assert path.parent != DOCS or file.is_relative_to(DOCS), (
                f"{path.name}: {target} is not in the site"
            )

    def test_every_page_is_in_the_navigation(self) -> None:
        listed = re.findall(r": ([a-z-]+\.md)$", (ROOT / "mkdocs.yml").read_text(), re.M)
        assert sorted(listed) == sorted(one.name for one in DOCS.glob("*.md"))

    @pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
    def test_files_of_the_repository_that_are_named_exist(self, path: Path) -> None:
        pattern = (
            r"`((?:stress|scenarios|tests|tools|harness|results|templates|docs|news|\.github)/[\w./-]*[\w/])`"
        )
        named = set(re.findall(pattern, prose(path))) - {"results/runs/", "results/runs"}
        gone = [
            one for one in sorted(named) if not (ROOT / one).exists() and not one.startswith("results/runs/")
        ]
        assert not set(gone) - EXAMPLES, f"{path.name}: {gone}"

    def test_the_site_is_built_without_a_warning(self, tmp_path: Path) -> None:
        if importlib.util.find_spec("mkdocs") is None or importlib.util.find_spec("material") is None:
            pytest.skip("mkdocs-material is not installed here: make docs builds the site, strictly")
        command = [sys.executable, "-m", "mkdocs", "build", "--strict", f"--site-dir={tmp_path / 'site'}"]
        done = subprocess.run(
            command, cwd=ROOT, env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
            capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        assert "WARNING" not in done.stdout + done.stderr
        assert (tmp_path / "site" / "verdicts.html").is_file()


EXAMPLES = {
    "scenarios/my_model.py", "scenarios/attention.py", "scenarios/SUBJECT.py", "news/NAME.TYPE.md", "stress/commands/NAME/",
    "results/known/own.toml",
}  # fmt: skip
"""Files that a reader writes."""


class TestOptions:
    def test_each_has_a_row_and_no_other_has(self) -> None:
        described = re.findall(r"^\| `--mps-([a-z-]+)", page("options.md"), re.M)
        assert sorted(described) == sorted(option_table.BY_NAME)


class TestVerdicts:
    def test_each_has_a_row_with_its_letter_and_a_section(self) -> None:
        text = page("verdicts.md")
        rows = dict(re.findall(r"^\| \[`([A-Z ]+)`\]\(#[a-z-]+\) \| `(.)` \|", text, re.M))
        words = {one.word: one.letter for one in Verdict}
        assert rows == {**words, "CANARY FOUND": "."}
        sections = re.split(r"^## ", text, flags=re.M)[1:]
        told = {one.partition("\n")[0]: one for one in sections}
        assert set(rows) <= set(told)
        assert all("**Next:**" in told[one] for one in words if one != "INCONCLUSIVE")

    def test_meanings_rates_and_green_are_as_in_the_code(self) -> None:
        for one in Verdict:
            (cells,) = re.findall(
                rf"^\| \[`{one.word}`\].*? \| `.` \| (.*) \| (yes|no) \| (yes|no) \|$",
                page("verdicts.md"),
                re.M,
            )
            assert cells == (one.meaning, "yes" if one.enters_rate else "no", "yes" if one.is_green else "no")

    def test_names_of_wrong_values(self) -> None:
        for name in WRONG_VALUE_NAMES:
            assert f"\n| `{name}` |" in page("verdicts.md")


class TestScenarios:
    def described(self) -> set[str]:
        """Return the names in the first cells of the page's tables."""
        cells = re.findall(r"^\| (`[^|]+`) \|", page("scenarios.md"), re.M)
        return {name for cell in cells for name in re.findall(r"`(\w+)", cell)}

    def test_every_member_of_a_scenario_is_described(self) -> None:
        public = {
            name
            for cls in (Scenario, ProcessScenario)
            for one in cls.__mro__[:-1]
            for name in {*vars(one), *one.__annotations__}
            if not name.startswith("_")
        }
        text = page("scenarios.md")
        assert {name for name in public if f"`{name}" not in text} == set()

    def test_every_public_name_is_described(self) -> None:
        text = page("scenarios.md")
        assert {name for name in stress.__all__ if f"`{name}" not in text} == set()

    @pytest.mark.parametrize("name", HELPERS)
    def test_every_function_of_a_helper_is_described(self, name: str) -> None:
        module = getattr(stress, name)
        (section,) = re.findall(rf"^### `{name}`.*?(?=^##)", page("scenarios.md"), re.M | re.S)
        public = {
            one
            for one, value in vars(module).items()
            if not one.startswith("_")
            and (inspect.isfunction(value) or inspect.isclass(value))
            and value.__module__ == module.__name__
        }
        assert public
        assert {one for one in public if f"`{one}" not in section} == set()


class TestDevices:
    def test_capabilities_and_designs(self) -> None:
        text = page("devices.md")
        rows = set(re.findall(r"^\| `([a-z_0-9-]+)` \|", text, re.M))
        assert set(CAPABILITIES) | set(DESIGNS) <= rows
        assert f"{len(FAULTS)} seeded faults" in text
        assert {one.name for one in FAULTS} == set(
            re.findall(r"^\|[^|]*\| `(\w+)` \|", page("power.md"), re.M)
        )


class TestRooms:
    def test_tables_have_the_order_that_imports_are_checked_against(self) -> None:
        contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
        (layers,) = [one["layers"] for one in contracts if one["type"] == "layers"]
        order = [room for layer in layers for room in layer.split(" | ")]
        text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
        table = text[text.index("<!-- rooms -->") : text.index("<!-- /rooms -->")]
        section = page("design.md").partition("## The eleven rooms")[2].partition("\n## ")[0]
        for one in (table, section):
            cells = re.findall(r"^\| (`\w+/`[^|]*) \|", one, re.M)
            assert [room for cell in cells for room in re.findall(r"`(\w+)/`", cell)] == order
