"""`mps-stress core compare`, with the small harness as the driver of both trees: one has a fault, the other has not."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from stress.commands import cli
from stress.commands.core.comparison import CaseRuns
from stress.commands.core.comparison import FindingRow
from stress.commands.core.comparison import rows_of
from stress.device import cache
from stress.device.clang import Toolchain
from stress.device.clang import ToolchainError
from stress.device.clang import find_toolchain
from stress.device.core.compile import Built
from stress.device.torch_installation import find_torch
from stress.sanitizer import instrumentation
from stress.sanitizer.instrumentation import Marks
from stress.sanitizer.instrumentation import marks_of
from stress.sanitizer.native.build import NativeBuilder
from stress.sanitizer.native.listing import Told
from stress.sanitizer.native.recipe import Recipe
from tests.core_device.trees import STREAM
from tests.core_device.trees import small_tree

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="a core is for Linux")
SMALL = Path(__file__).parents[1] / "sanitizer" / "programs" / "small.toml"
RUNS = 4


@pytest.fixture(scope="module")
def program(build_cache: Path) -> Path:
    """Return the small harness, built under ThreadSanitizer."""
    try:
        return NativeBuilder(Recipe.load(SMALL), find_toolchain(), cache=build_cache).ensure(print).path
    except ToolchainError as error:
        pytest.skip(str(error))


Compare = Callable[..., tuple[int, str]]


@pytest.fixture
def compare(
    program: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Compare:
    """Return a function: compare trees whose drivers have these faults, and return status and output."""
    monkeypatch.setenv(cache.CACHE_VARIABLE, str(tmp_path / "cache"))
    version = ".".join(find_torch().version.split(".")[:2]) + ".0"

    def build(tree: Path, output: Path, *, sanitizer: str | None, **_: object) -> Built:
        assert sanitizer == "thread"
        fault = (tree / STREAM).read_text().partition("fault=")[2].strip()
        script = f'case "$*" in *--case=counter*) set -- "$@" --fault={fault};; esac\n' if fault else ""
        driver = output / "driver"
        driver.write_text(f'#!/bin/sh\n{script}exec "{used[0]}" "$@"\n')
        driver.chmod(0o755)
        (output / "libcore.so").write_text("")
        return Built(output / "libcore.so", None, driver, (STREAM,), 1.0, {"library": 0, "driver": 3}, ())

    used = [program]

    def marks(path: Path, toolchain: Toolchain) -> Marks:
        """Return those of the program that the script starts; the library has none."""
        return marks_of(used[0], toolchain) if path.name == "driver" else Marks(0, 0)

    monkeypatch.setattr(instrumentation, "marks_of", marks)

    def run(base: str, patched: str, *arguments: str, program: Path = program) -> tuple[int, str]:
        used[0] = program
        trees = []
        for name, fault in (("base", base), ("patched", patched)):
            root = small_tree(tmp_path / name, version)
            (root / STREAM).write_text(f"// {name} fault={fault}\n")
            trees.append(f"--pytorch={root}")
        monkeypatch.setattr("stress.device.core.compile.build", build)
        words = [
            "core",
            "compare",
            *trees,
            "--case=counter",
            f"--runs={RUNS}",
            "--threads=4",
            "--seed=1",
            *arguments,
        ]
        status = cli.main(words)
        printed = capsys.readouterr()
        return status, printed.out + printed.err

    return run


@pytest.mark.parametrize(
    ("fault", "finding"),
    [
        ("counter_unlocked", "tsan/data-race"),
        ("encoder_taken_twice", "crash: metal/"),
        ("count_lost", "invariant: count"),
    ],
)
def test_what_only_the_base_finds_went(compare: Compare, fault: str, finding: str) -> None:
    status, text = compare(fault, "")
    assert status == 0, text
    (line,) = [one for one in text.splitlines() if one.startswith("went ")]
    assert f"counter  {finding}" in line
    assert line.split()[-2:] == [f"{RUNS}/{RUNS}", f"0/{RUNS}"]
    assert "1 case: 0 came, 0 stayed, 1 went, 0 cannot be told apart\n" in text
    assert "simulated Metal: this is about these trees' host code" in text


def test_what_only_the_patched_finds_came_and_fails(compare: Compare) -> None:
    status, text = compare("", "counter_unlocked")
    assert status == 1, text
    assert any(line.startswith("came ") and "tsan/data-race" in line for line in text.splitlines())


def test_what_a_crash_may_have_hidden_neither_came_nor_went(compare: Compare) -> None:
    status, text = compare("encoder_taken_twice", "counter_unlocked")
    assert status == 0, text
    (race,) = [one for one in text.splitlines() if "tsan/data-race" in one]
    assert race.startswith("cannot be told apart")
    assert race.split()[-2:] == ["0/0", f"{RUNS}/{RUNS}"]
    assert any(one.startswith("went ") and "crash: metal/" in one for one in text.splitlines())
    assert "1 case: 0 came, 0 stayed, 1 went, 1 cannot be told apart: give more --runs" in text
    assert (
        f"base: ended by a crash or a hang: counter {RUNS}/{RUNS}; such a run counts for what it shows"
        in text
    )


def test_what_both_find_stayed(compare: Compare) -> None:
    status, text = compare("counter_unlocked", "counter_unlocked")
    assert status == 0, text
    assert any(line.startswith("stayed ") for line in text.splitlines())


def test_silence_of_a_program_that_is_not_instrumented_proves_nothing(
    compare: Compare, build_cache: Path
) -> None:
    plain = NativeBuilder(Recipe.load(SMALL), find_toolchain(), tsan=False, cache=build_cache).ensure(print)
    status, text = compare("", "", program=plain.path)
    assert status == 3, text
    assert "base: silence proves nothing: canary not found" in text
    assert (
        "base: silence proves nothing: the linked program has 0 instrumented units, its objects had 3" in text
    )
    assert "patched: silence proves nothing: canary not found" in text


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["build", "--pytorch=a", "--pytorch=b"], "build takes one tree: give --pytorch once"),
        (["compare", "--pytorch=a"], "compare takes two trees, BASE and PATCHED: give --pytorch twice"),
        (["build", "--pytorch=a", "--case=b"], "--case=b: only for compare"),
        (["compare", "--pytorch=a", "--pytorch=b", "--runs=0"], "--runs=0: expected a whole number"),
    ],
)
def test_bad_arguments(arguments: list[str], reason: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["core", *arguments]) == 2
    assert reason in capsys.readouterr().err


def test_an_unknown_case_is_named(compare: Compare) -> None:
    status, text = compare("", "", "--case=no_such")
    assert status == 2
    assert "there is no case 'no_such'; known are counter" in text


def judged(*crashes: str) -> CaseRuns:
    """Return runs that ended in these crashes; an empty one came to its end."""
    told = {name: Told(end={"kind": "end"} if not name else None) for name in crashes}
    runs = [SimpleNamespace(told=told[name], name=name, unavailable="") for name in crashes]
    return CaseRuns(runs)  # type: ignore[arg-type]


def test_one_fault_that_shows_as_two_crashes_is_summed_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "stress.commands.core.comparison.found_in",
        lambda run: Counter({f"crash: {run.name}": 1} if run.name else {}),
    )
    rows = rows_of({"case": judged("a", "b", "b")}, {"case": judged("", "", "")})
    assert [(one.finding, one.base, one.patched, one.fate) for one in rows] == [
        ("any crash or hang", (3, 3), (0, 3), "went"),
        ("crash: a", (1, 3), (0, 3), "cannot be told apart"),
        ("crash: b", (2, 3), (0, 3), "cannot be told apart"),
    ]
    (row,) = rows_of({"case": judged("a", "a", "a")}, {"case": judged("", "", "")})
    assert (row.finding, row.fate) == ("crash: a", "went")


@pytest.mark.parametrize(
    ("base", "patched", "fate"),
    [
        ((0, 5), (5, 5), "came"),
        ((5, 5), (0, 5), "went"),
        ((5, 5), (5, 5), "stayed"),
        ((2, 5), (4, 5), "stayed"),
        ((1, 5), (0, 5), "cannot be told apart"),
        ((0, 5), (2, 5), "cannot be told apart"),
        ((0, 0), (5, 5), "cannot be told apart"),
        ((5, 5), (0, 0), "cannot be told apart"),
    ],
)
def test_a_finding_came_or_went_only_where_chance_is_excluded(
    base: tuple[int, int], patched: tuple[int, int], fate: str
) -> None:
    assert FindingRow("case", "finding", base, patched).fate == fate
