"""What an exported file imports beside torch and the standard library, and where that is found."""

from __future__ import annotations

import ast
import importlib.util
import sys
import sysconfig
from dataclasses import dataclass
from pathlib import Path

_OURS = frozenset({"torch", "functorch", "__future__", *sys.stdlib_module_names})


@dataclass(frozen=True)
class Foreign:
    """The top-level modules of other packages."""

    installed: tuple[str, ...] = ()
    local: tuple[str, ...] = ()
    """Found on `sys.path`, but not installed: the author's own code."""
    folders: tuple[str, ...] = ()
    """Where these are, in the order of `sys.path`."""

    @property
    def lines(self) -> list[str]:
        """Return what the head of a file says of them."""
        if not self.local and not self.installed:
            return ["It needs torch and the standard library alone."]
        lines = []
        if self.local:
            lines.append(
                f"It imports {', '.join(self.local)} from {', '.join(self.folders)}, which is put on sys.path below, as "
                "pytest had it."
            )
        if self.installed:
            lines.append(f"Install what it imports beside torch: {', '.join(self.installed)}.")
        return lines


def foreign_imports(text: str) -> Foreign:
    """Return what the text of a file imports, inside of functions, too."""
    names = sorted(_imported(ast.parse(text)) - _OURS)
    folders = {name: _folder(name) for name in names}
    local = tuple(name for name in names if folders[name] is not None)
    wanted = {one for one in folders.values() if one is not None}
    order = {str(Path(one or ".").resolve()): index for index, one in reversed(list(enumerate(sys.path)))}
    return Foreign(
        tuple(name for name in names if name not in local),
        local,
        tuple(sorted(wanted, key=lambda one: order.get(one, len(order)))),
    )


def is_foreign(line: str) -> bool:
    """Whether an import line is about another package."""
    return bool(_imported(ast.parse(line)) - _OURS)


def _imported(tree: ast.AST) -> set[str]:
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {one.name.partition(".")[0] for one in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level:
            found.add((node.module or "").partition(".")[0])
    return found


def _folder(name: str) -> str | None:
    """Return the folder of `sys.path` that a module is in; None for an installed one, and for one that is not there."""
    try:
        spec = importlib.util.find_spec(name)
    except (ImportError, ValueError):
        return None
    places = list(spec.submodule_search_locations or ()) if spec is not None else []
    origin = places[0] if places else spec.origin if spec is not None else None
    if origin is None or not Path(origin).exists():
        return None
    folder = Path(origin).resolve().parent
    installed = {Path(sysconfig.get_path(key)).resolve() for key in ("purelib", "platlib")}
    return None if folder in installed else str(folder)
