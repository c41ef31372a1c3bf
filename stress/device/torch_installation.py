"""The installed torch, as a C++ extension must know it: headers, libraries, version, ABI.

The pytest process must not import torch, so everything about it is read from its files.
"""

from __future__ import annotations

import ast
import importlib.util
import os
import re
from dataclasses import dataclass
from pathlib import Path

from stress.model.errors import BuildError

KEY_VARIABLE = "MPS_STRESS_SIM_KEY"
_OTHER_ACCELERATORS = ("cuda", "hip", "xpu")
_CXX11_SYMBOL = re.compile(rb"_ZN3c10\w*__cxx11")


@dataclass(frozen=True)
class TorchInstallation:
    """A torch on the disk, with what a C++ extension of it must know."""

    root: Path
    version: str
    git: str
    accelerators: tuple[str, ...]
    """Which of cuda, hip and xpu it was built with."""
    spare_key: bool
    """Whether to use the spare key although torch's MPS key is free."""
    cxx11_abi: bool
    library_bytes: int
    """Size of libtorch_cpu: two builds of one commit with local changes differ in it."""

    @property
    def key(self) -> str:
        """Return the dispatch key to register on: torch's own MPS key is free where it has no accelerator.

        With CUDA in the build, autograd refuses a second accelerator ("Cannot have both MPS and cuda").
        """
        return "privateuseone" if self.accelerators or self.spare_key else "mps"

    @property
    def include_folders(self) -> tuple[Path, ...]:
        include = self.root / "include"
        return include, include / "torch" / "csrc" / "api" / "include"

    @property
    def library_folder(self) -> Path:
        return self.root / "lib"


def find_torch() -> TorchInstallation:
    """Return the torch that a child process would import; raise `BuildError` where none can be built for."""
    try:
        spec = importlib.util.find_spec("torch")
    except (ImportError, ValueError):
        spec = None
    if spec is None or spec.origin is None:
        raise BuildError("torch is not installed in this environment: pip install torch")
    return read_torch(Path(spec.origin).resolve().parent)


def read_torch(root: Path) -> TorchInstallation:
    """Return the description of the torch at `root`, read from its files."""
    needed = root / "include" / "torch" / "library.h"
    if not needed.is_file():
        raise BuildError(
            f"torch at {root} has no C++ headers ({needed} is missing): install a complete torch"
        )
    facts = _version_facts(root / "version.py")
    try:
        core = (root / "lib" / "libc10.so").read_bytes()
        library_bytes = (root / "lib" / "libtorch_cpu.so").stat().st_size
    except OSError as error:
        raise BuildError(f"torch's libraries cannot be read ({error}): reinstall torch") from error
    return TorchInstallation(
        root=root,
        version=str(facts.get("__version__", "unknown")),
        git=str(facts.get("git_version", "")),
        accelerators=tuple(name for name in _OTHER_ACCELERATORS if facts.get(name)),
        spare_key=_wants_spare_key(),
        # Which of libstdc++'s two string types torch was built with stands in libc10's symbols.
        cxx11_abi=_CXX11_SYMBOL.search(core) is not None,
        library_bytes=library_bytes,
    )


def _version_facts(path: Path) -> dict[str, object]:
    """Return the constants that version.py assigns, without running it."""
    try:
        module = ast.parse(path.read_text(encoding="utf-8"))
    except (OSError, SyntaxError, ValueError) as error:
        raise BuildError(f"{path} does not give torch's version ({error}): reinstall torch") from error
    facts: dict[str, object] = {}
    for one in module.body:
        targets = (
            one.targets
            if isinstance(one, ast.Assign)
            else [one.target]
            if isinstance(one, ast.AnnAssign)
            else []
        )
        value = getattr(one, "value", None)
        if isinstance(value, ast.Constant):
            facts.update({target.id: value.value for target in targets if isinstance(target, ast.Name)})
    return facts


def _wants_spare_key() -> bool:
    given = os.environ.get(KEY_VARIABLE, "")
    if given not in ("", "privateuseone"):
        raise BuildError(f"{KEY_VARIABLE}={given}: the only possible value is privateuseone; unset it")
    return bool(given)
