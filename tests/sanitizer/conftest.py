"""A small harness, really built under ThreadSanitizer: the subject of the ways in which "0 races" can be false."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Mapping
from dataclasses import dataclass
from dataclasses import field
from pathlib import Path
from typing import Any

import pytest

from stress.device.clang import Toolchain
from stress.device.clang import ToolchainError
from stress.device.clang import find_toolchain
from stress.sanitizer.native.build import NativeBuilder
from stress.sanitizer.native.build import Program
from stress.sanitizer.native.case_runner import NativeRunner
from stress.sanitizer.native.harness import Harness
from stress.sanitizer.native.recipe import Recipe
from stress.sanitizer.tsan_options import TsanOptions

PROGRAMS = Path(__file__).parent / "programs"
SMALL = PROGRAMS / "small.toml"


@pytest.fixture(scope="session")
def toolchain() -> Toolchain:
    try:
        return find_toolchain()
    except ToolchainError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def small_program(toolchain: Toolchain, build_cache: Path) -> Program:
    """The small harness, built once for all tests of the session."""
    return NativeBuilder(Recipe.load(SMALL), toolchain).ensure(print)


@dataclass
class Opened:
    """A runner whose records are kept in a list."""

    runner: NativeRunner
    records: list[dict[str, Any]] = field(default_factory=list)


Open = Callable[..., Opened]


@pytest.fixture
def open_runner(tmp_path: Path) -> Open:
    """Return a function: a runner of this program, with these TSAN_OPTIONS of the user's."""

    def opened(
        program: Program,
        toolchain: Toolchain,
        given: str = "",
        deadline_s: float = 60.0,
        env: Mapping[str, str] | None = None,
    ) -> Opened:
        options = TsanOptions.make(toolchain, Recipe.load(SMALL).suppressions, given)
        harness = Harness.of(program, toolchain, options)
        if env is not None:
            harness = Harness(**{**vars(harness), "env": {**harness.env, **env}})
        records: list[dict[str, Any]] = []
        stems = iter(range(10**6))
        runner = NativeRunner(
            harness,
            lambda kind, **fields: records.append({"kind": kind, **fields}),
            lambda: f"run-{next(stems)}",
            tmp_path,
            "small.toml",
            1,
            deadline_s,
        )
        return Opened(runner, records)

    return opened


@pytest.fixture
def small(open_runner: Open, small_program: Program, toolchain: Toolchain) -> Callable[..., Opened]:
    """Return a function: a runner of the small harness."""

    def opened(given: str = "", deadline_s: float = 60.0) -> Opened:
        return open_runner(small_program, toolchain, given, deadline_s)

    return opened
