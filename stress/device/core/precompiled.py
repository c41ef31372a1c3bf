"""Headers that are read once for many units: which there are, for which units, and how the compiler keeps them.

A precompiled header is kept by content among the object files, so that one edited source does not make it anew. The compiler
looks at what it was made of by path: so the tree's headers get a path that is the same for every tree and every build, by a map
for the compiler (no folder).
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from stress.device.core import hooks
from stress.device.core import sources

TREE_ROOT = Path("/mps-stress-tree")
"""Where the compiler finds the tree's headers; nothing lies there."""
OBJECTIVE_C = (
    "-x",
    "objective-c++",
    "-fobjc-exceptions",
    "-fno-objc-arc",
    "-fconstant-string-class=NSConstantString",
)
OWN_RUNTIME = (*OBJECTIVE_C, "-fobjc-runtime=gcc")
"""The layer's: it has a place for each variable of a class, where the other asks the class's library."""
TREE_RUNTIME = (*OBJECTIVE_C, "-fobjc-runtime=objfw")
_MAKING = (
    "-fpch-instantiate-templates",
    # Another checkout has the same content with other times, and clang would read its headers a second time. What they are is in
    # the key; what else was read, clang still compares by size.
    "-Xclang",
    "-fno-pch-timestamp",
)


@dataclass(frozen=True)
class Precompiled:
    """A header below harness/adapter and the flags of the units that share it, apart from those that all units have."""

    name: str
    header: str
    flags: tuple[str, ...]
    knows_tree: bool = True

    def making_flags(self) -> list[str]:
        """Return the flags that make it."""
        flags = ["objective-c++-header" if one == "objective-c++" else one for one in self.flags]
        language = [] if "-x" in flags else ["-x", "c++-header"]
        return [*flags, *language, *_MAKING]

    def using_flags(self, made: Path) -> list[str]:
        """Return the flags of a unit that uses it."""
        return [*self.flags, "-include-pch", str(made)]


OF_TREE = Precompiled(
    "precompiled_tree",
    "precompiled.h",
    ("-DAT_PER_OPERATOR_HEADERS", *hooks.RENAMING_FLAGS, *TREE_RUNTIME),
)
OF_TORCH = Precompiled("precompiled_torch", "precompiled_torch.h", (*hooks.RENAMING_FLAGS, *OWN_RUNTIME))
OF_LAYER = Precompiled("precompiled_layer", "precompiled_layer.h", OWN_RUNTIME, knows_tree=False)
OF_LAYER_CPP = Precompiled("precompiled_layer_cpp", "precompiled_layer.h", (), knows_tree=False)
ALL = (OF_TREE, OF_TORCH, OF_LAYER_CPP, OF_LAYER)
"""In the order in which they are made: most units wait for the first."""


def write_overlay(tree: Path, target: Path) -> None:
    """Write the compiler's map from `TREE_ROOT` to the tree's headers."""
    roots = []
    for included, name in sources.HEADERS_OF_TREE.items():
        path = (tree / name).resolve()
        if path.exists():
            kind = "directory-remap" if path.is_dir() else "file"
            roots.append(
                {
                    "type": kind,
                    "name": str(TREE_ROOT / included),
                    "external-contents": str(path),
                    "use-external-name": False,
                }
            )
    target.write_text(
        json.dumps({"version": 0, "use-external-names": False, "roots": roots}), encoding="utf-8"
    )
