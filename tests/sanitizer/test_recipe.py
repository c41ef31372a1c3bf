"""Recipes: what goes into a program, and what cannot be meant."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from stress.model.shipped import shipped
from stress.sanitizer.instrumentation import opted_out
from stress.sanitizer.native.recipe import Recipe
from stress.sanitizer.native.recipe import RecipeError

SYSTEM = "darwin" if sys.platform == "darwin" else "linux"
OTHER = "linux" if sys.platform == "darwin" else "darwin"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("code/a.cpp", "code/b.mm", "code/aside/c.cpp", "code/a.h", "code/notes.txt"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("")
    return tmp_path


def load(folder: Path, text: str) -> Recipe:
    path = folder / "recipe.toml"
    path.write_text(text)
    return Recipe.load(path)


def test_units_headers_and_what_a_system_adds(folder: Path) -> None:
    recipe = load(
        folder,
        'name = "one"\nroot = "code"\nincludes = ["."]\nflags = ["-DROOT={root}"]\ninstrumented = ["*.cpp"]\n'
        'uninstrumented = ["aside/*.cpp"]\nsuppressions = "none.txt"\n'
        f'[{SYSTEM}]\ninstrumented = ["*.mm"]\nlink = ["-lx"]\n[{OTHER}]\ninstrumented = ["nothing/*"]\n',
    )
    assert [(one.name, one.instrumented) for one in recipe.units] == [
        ("a.cpp", True),
        ("b.mm", True),
        ("aside/c.cpp", False),
    ]
    assert [one.name for one in recipe.headers] == ["a.h"]
    assert recipe.flags == (f"-DROOT={folder / 'code'}",)
    assert recipe.link == ("-lx",)
    assert recipe.suppressions == folder / "none.txt"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("name = ", "not TOML"),
        ('root = "code"\ninstrumented = ["*.cpp"]', "name must be a plain word"),
        ('name = "../x"\nroot = "code"\ninstrumented = ["*.cpp"]', "name must be a plain word"),
        ('name = "x"\nroot = "code"', "no instrumented source, so no race could be seen"),
        ('name = "x"\nroot = "code"\ninstrumented = ["*.c"]', r"\*\.c matches no \.cpp or \.mm file"),
        ('name = "x"\nroot = "code"\ninstrumented = "*.cpp"', "instrumented must be a list of texts"),
        (
            'name = "x"\nroot = "code"\ninstrumented = ["*.cpp"]\ncolour = 1',
            "unknown key 'colour'; known are",
        ),
        (
            'name = "x"\nroot = "code"\ninstrumented = ["*.cpp"]\nuninstrumented = ["a.cpp"]',
            "a.cpp is both instrumented and uninstrumented",
        ),
    ],
)
def test_what_cannot_be_meant(folder: Path, text: str, problem: str) -> None:
    with pytest.raises(RecipeError, match=problem):
        load(folder, text)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="cannot be read"):
        Recipe.load(tmp_path / "none.toml")


@pytest.mark.skipif(sys.platform != "linux", reason="on a Mac it needs torch's headers")
def test_the_shipped_one_leaves_out_no_source_of_the_harness() -> None:
    """A file in a new folder would be neither built nor missed."""
    recipe = Recipe.load(shipped("tsan", "harness.toml"))
    root = recipe.root
    sources = {
        path
        for folder in ("native", "runtime", "simulated_metal", "metal_shaders")
        for path in (root / folder).rglob("*")
        if path.suffix in (".cpp", ".mm") and root / "native" / "mps" not in path.parents
    }
    assert {one.source for one in recipe.units} == sources
    assert [one.name for one in recipe.units if not one.instrumented] == [
        "native/uninstrumented/on_report.cpp"
    ]


@pytest.mark.skipif(sys.platform != "linux", reason="on a Mac it needs torch's headers")
def test_nothing_under_test_in_the_shipped_one_asks_not_to_be_watched() -> None:
    """All of its cases would be inconclusive."""
    recipe = Recipe.load(shipped("tsan", "harness.toml"))
    assert opted_out(recipe.under_test, recipe.root) == []


@pytest.mark.parametrize(("attribute", "opts_out"), [
    ('no_sanitize("thread")', True), ("no_sanitize_thread", True), ("disable_sanitizer_instrumentation", True),
    ('no_sanitize("kernel-address")', False), ('no_sanitize("address")', False),
])  # fmt: skip
def test_what_takes_code_out_of_sight(folder: Path, attribute: str, opts_out: bool) -> None:
    (folder / "code" / "a.h").write_text(f"__attribute__(({attribute})) inline int one() {{ return 1; }}\n")
    text = 'name = "one"\nroot = "code"\ninstrumented = ["*.cpp"]\n'
    recipe = load(folder, text)
    assert opted_out(recipe.under_test, recipe.root) == (["a.h:1"] if opts_out else [])
    allowed = load(folder, f'{text}not_under_test = ["a.h"]\n')
    assert opted_out(allowed.under_test, allowed.root) == []
    with pytest.raises(RecipeError, match=r"not_under_test: a\.cpp is no header in"):
        load(folder, f'{text}not_under_test = ["a.cpp"]\n')
