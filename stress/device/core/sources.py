"""What of a PyTorch tree is compiled, found by looking into it: releases and forks have different files.

Taken from the tree: all of ATen/mps, the core of ATen/native/mps, the hooks' interface, and torch/csrc/mps. For operators'
own sources see `operators.py`; every other header comes from the installed torch.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from stress.device.core.tree import ATEN
from stress.device.core.tree import OPERATIONS
from stress.device.core.tree import OPERATIONS_USED

_SUFFIXES = (".mm", ".cpp")
INCLUDED_SOURCE = re.compile(r'^#include "(torch/\w+\.cpp)"$', re.MULTILINE)
"""A source of ours that another one includes."""
_TORCH_HEADER = re.compile(r"^#include <(?:ATen|c10|torch)/", re.MULTILINE)
_GRAPH_HEADER = re.compile(r'^#include "(?:graph|nodes)\.h"$', re.MULTILINE)
_ALL_OPERATORS = re.compile(r"^#include <ATen/ATen\.h>", re.MULTILINE)
HEADERS_OF_TREE = {
    "ATen/mps": f"{ATEN}/mps",
    "ATen/native/mps": f"{ATEN}/native/mps",
    "ATen/detail/MPSHooksInterface.h": f"{ATEN}/detail/MPSHooksInterface.h",
    "torch/csrc/mps": "torch/csrc/mps",
}
"""As included -> path in the tree, of the only headers that are the tree's."""
DECLARED_BY_TORCHGEN = "native_declarations.h"
"""What torchgen's headers have: they replace it for the operators' sources."""
_FORCED = {
    "__is_target_os": "pretend_apple.h",
    ".fallback(": "fallback_left_out.h",
    "empty_mps(": DECLARED_BY_TORCHGEN,
    "std::vector<long long>": "long_vectors.h",
    "has_names()": "named_tensors.h",
    "namedinference::": "named_tensors.h",
    "NoNamesGuard": "named_tensors.h",
}
"""A word in a source -> the header of ours that is included before it, from harness/adapter."""
_DEFINED = {"API_AVAILABLE(": "API_AVAILABLE(...)=", ":TRUE": "TRUE=1", ":FALSE": "FALSE=0"}
"""A word in a source -> a macro of macOS's that it uses."""


@dataclass(frozen=True)
class CoreSource:
    """One translation unit."""

    path: Path
    name: str
    """As shown to a person: the path in the tree, or below harness/."""
    is_of_tree: bool = False

    @property
    def is_objective_c(self) -> bool:
        """The tree's own sources all are, so that they can share precompiled headers."""
        return self.is_of_tree or self.path.suffix == ".mm"

    @property
    def is_operator(self) -> bool:
        """Whether it is one of the tree's operators, which are compiled on request alone."""
        return self.is_of_tree and self.name.startswith(OPERATIONS) and self.path.name not in OPERATIONS_USED

    @cached_property
    def _text(self) -> str:
        return self.path.read_text(encoding="utf-8", errors="replace") if self.is_of_tree else ""

    @cached_property
    def uses_torch(self) -> bool:
        """Whether it includes torch's headers, which take seconds to read."""
        text = self.path.read_text(encoding="utf-8", errors="replace")
        # Headers of the graphs' interpreter include torch's.
        return any(one.search(text) for one in (_TORCH_HEADER, INCLUDED_SOURCE, _GRAPH_HEADER))

    @property
    def needs_all_operators(self) -> bool:
        """Whether it is a source of the tree in C++ that includes the header of all operators."""
        return self.path.suffix == ".cpp" and not self.is_operator and bool(_ALL_OPERATORS.search(self._text))

    @cached_property
    def forced(self) -> tuple[str, ...]:
        """Return our headers that must come before it, by what is in its text."""
        return tuple(dict.fromkeys(header for word, header in _FORCED.items() if word in self._text))

    @cached_property
    def defined(self) -> tuple[str, ...]:
        """Return macros that must be defined for it, by what is in its text."""
        return tuple(macro for word, macro in _DEFINED.items() if word in self._text)


def core_sources(tree: Path) -> list[CoreSource]:
    """Return the sources of the tree's backend, without those for Python."""
    found = [
        *_in(tree, f"{ATEN}/mps"),
        *_in(tree, f"{ATEN}/native/mps"),
        *(one for name in OPERATIONS_USED if (one := tree / OPERATIONS / name).is_file()),
        *(one for one in [tree / ATEN / "detail" / "MPSHooksInterface.cpp"] if one.is_file()),
    ]
    return [_of_tree(tree, one) for one in found]


def python_sources(tree: Path) -> list[CoreSource]:
    """Return the sources of the tree's functions for Python; none where only the backend was unpacked."""
    return [_of_tree(tree, one) for one in _in(tree, "torch/csrc/mps")]


def own_sources(harness: Path, *patterns: str) -> list[CoreSource]:
    """Return our own sources below `harness/` that match."""
    found = {one for pattern in patterns for one in harness.glob(pattern) if one.suffix in _SUFFIXES}
    return [CoreSource(one, one.relative_to(harness).as_posix()) for one in sorted(found)]


def link_headers(tree: Path, folder: Path) -> None:
    """Fill `folder` with links to the tree's own headers, in the places where they are included from."""
    for included, name in HEADERS_OF_TREE.items():
        if (tree / name).exists():
            link = folder / included
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to((tree / name).resolve())


def _in(tree: Path, folder: str) -> list[Path]:
    return sorted(one for one in (tree / folder).glob("*") if one.suffix in _SUFFIXES)


def _of_tree(tree: Path, path: Path) -> CoreSource:
    return CoreSource(path, path.relative_to(tree).as_posix(), is_of_tree=True)
