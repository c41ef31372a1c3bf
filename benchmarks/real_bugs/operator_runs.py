"""Runs of `operator_cases` in a tree's core with its own operators, judged as those of the native cases are."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Callable
from collections.abc import Mapping
from dataclasses import dataclass
from dataclasses import field
from pathlib import Path

from stress.device.core.build import CoreBuilder
from stress.model.errors import BuildError
from stress.plugin import tsan_run
from stress.sanitizer.native.harness import METAL_VARIABLE
from stress.sanitizer.native.judge import JudgedRun
from stress.sanitizer.native.judge import RunRequest
from stress.sanitizer.native.judge import judge
from stress.sanitizer.native.run import Place
from stress.sanitizer.native.run import run_program
from stress.sanitizer.python.build import the_toolchain
from stress.sanitizer.python.children import Children
from stress.sanitizer.python.children import python_options

_PROGRAM = "benchmarks.real_bugs.operator_cases"
_ROOT = Path(__file__).resolve().parents[2]

Say = Callable[[str], None]


@dataclass
class OperatorPrograms:
    """One tree with its own operators, built when it is first needed: as it is, and under ThreadSanitizer."""

    builder: CoreBuilder
    say: Say
    _libraries: dict[str | None, Path] = field(default_factory=dict)
    _children: Children | None = None

    def run(self, asked: RunRequest, sanitizer: str | None, *, deadline_s: float, metal: str) -> JudgedRun:
        """Run a case once; raise `BuildError`, `OptionError` or `StartError`."""
        library = self._library(sanitizer)
        command = [sys.executable, "-m", _PROGRAM, f"--library={library}", *asked.arguments()]
        options = python_options(the_toolchain(), {})
        env: Mapping[str, str] = {**os.environ, METAL_VARIABLE: metal, "PYTHONPATH": str(_ROOT)}
        if sanitizer is not None:
            children = self._under_tsan(library)
            command.append("--tsan")
            options, env = children.options, {**env, **children.env()}
        with tempfile.TemporaryDirectory(prefix="mps-core-") as folder:
            place = Place(Path(folder), "run")
            return judge(asked, run_program(command, place, options, deadline_s=deadline_s, env=env))

    def _library(self, sanitizer: str | None) -> Path:
        if sanitizer not in self._libraries:
            builder = CoreBuilder(
                self.builder.tree, self.builder.torch, self.builder.toolchain, self.builder.cache, sanitizer
            )
            built = builder.ensure(self.say, lambda step, done: None, force=True)
            if built.python_module is None:
                raise BuildError(f"{self.builder.tree.given} has no functions for Python")
            self._libraries[sanitizer] = built.python_module
        return self._libraries[sanitizer]

    def _under_tsan(self, library: Path) -> Children:
        if self._children is None:
            self._children = tsan_run.children_of(library, self.say)
        return self._children
