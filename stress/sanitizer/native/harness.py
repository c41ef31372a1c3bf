"""One harness, opened: toolchain found, program built, options fixed, list read, audit made."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from stress.device.clang import Toolchain
from stress.device.clang import ToolchainError
from stress.device.clang import find_toolchain
from stress.device.core.tree import PytorchTree
from stress.model.errors import BuildError
from stress.model.errors import UserError
from stress.model.shipped import shipped
from stress.sanitizer.native import controls
from stress.sanitizer.native.build import NativeBuilder
from stress.sanitizer.native.build import Program
from stress.sanitizer.native.controls import Audit
from stress.sanitizer.native.listing import Listing
from stress.sanitizer.native.listing import ListingError
from stress.sanitizer.native.listing import read_listing
from stress.sanitizer.native.recipe import Recipe
from stress.sanitizer.native.recipe import RecipeError
from stress.sanitizer.tsan_options import VARIABLE
from stress.sanitizer.tsan_options import OptionsError
from stress.sanitizer.tsan_options import TsanOptions

LIST_TIMEOUT_S = 30.0
METAL_VARIABLE = "MPS_STRESS_METAL"
"""Options of the simulated Metal, in which it is told how completions come: harness/simulated_metal/options.h."""
_LISTING_OPTIONS = "report_bugs=0"
"""For `--list` alone, which runs nothing: whatever else is wrong with the options shows in the controls."""

Say = Callable[[str], None]


class HarnessError(UserError):
    """The harness cannot be used; the text says why and names the way out."""


class NoToolchainError(HarnessError):
    """No compiler for the harness was found: a reason to skip, not a mistake."""


def default_recipe() -> Path:
    """Return the recipe of the harness that comes with the package."""
    return shipped("tsan", "harness.toml")


@dataclass(frozen=True)
class Harness:
    """Everything that is the same for every run of one program."""

    program: Program
    toolchain: Toolchain
    options: TsanOptions
    listing: Listing
    audit: Audit
    env: Mapping[str, str]
    core: PytorchTree | None = None
    """The source tree whose own backend the program drives; None for a recipe's program."""

    @classmethod
    def open(cls, recipe_path: Path, say: Say) -> Harness:
        """Build the recipe's program if need be and inspect it; raise `HarnessError`."""
        try:
            recipe = Recipe.load(recipe_path)
            toolchain = find_toolchain()
            options = TsanOptions.make(toolchain, recipe.suppressions, os.environ.get(VARIABLE, ""))
            program = NativeBuilder(recipe, toolchain).ensure(say)
            return cls.of(program, toolchain, options)
        except ToolchainError as error:
            raise NoToolchainError(str(error)) from None
        except (RecipeError, OptionsError, ListingError) as error:
            raise HarnessError(str(error)) from None
        except BuildError as error:
            raise HarnessError(f"{recipe_path.name} cannot be built: {error}") from None

    @classmethod
    def of(
        cls, program: Program, toolchain: Toolchain, options: TsanOptions, core: PytorchTree | None = None
    ) -> Harness:
        """Inspect a built program; raise `ListingError` where it cannot list its cases."""
        env = controls.clean_environment()
        listing = listed(program.path, env)
        audit = controls.audit(program, toolchain, options, env)
        return cls(program, toolchain, options, listing, audit, env, core)

    @property
    def platform(self) -> str:
        """Return one of `PLATFORMS`: Metal is real on a Mac and simulated elsewhere, "core" with a tree's own backend."""
        if self.core is not None:
            return "core"
        return "metal" if self.toolchain.is_apple else "simulated"

    @property
    def simulated(self) -> bool:
        """Whether Metal, at least, is a model of ours."""
        return self.platform != "metal"

    @property
    def subject(self) -> str:
        """Return what the cases run on, for a person."""
        if self.core is not None:
            return f"{self.core.describe()} on simulated Metal"
        return "simulated Metal" if self.simulated else "Metal"

    def to_data(self) -> dict[str, object]:
        """Return what the run record keeps."""
        return {
            "program": self.program.name,
            "sha256": self.program.sha256,
            "compiler": self.program.compiler,
            "options": dict(self.options.values),
            "options_given": dict(self.options.given),
            "platform": self.platform,
            "metal": self.env.get(METAL_VARIABLE, ""),
            **self.audit.to_data(),
        }


def listed(program: Path, env: Mapping[str, str]) -> Listing:
    """Return what a program offers; raise `ListingError`."""
    return read_listing(_list(program, env))


def _list(program: Path, env: Mapping[str, str]) -> str:
    try:
        done = subprocess.run(
            [program, "--list"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=LIST_TIMEOUT_S,
            check=False,
            env={**env, VARIABLE: _LISTING_OPTIONS},
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise ListingError(f"{program.name} --list does not run ({error})") from error
    if done.returncode:
        text = done.stderr.decode(errors="replace").strip()[-500:] or "no text on stderr"
        raise ListingError(f"{program.name} --list ended with status {done.returncode}: {text}")
    return done.stdout.decode(errors="replace")
