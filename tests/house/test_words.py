"""A class name has one meaning: a reader who meets it must not have to look in which module he is."""

from __future__ import annotations

import ast
from collections import defaultdict
from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[2] / "stress"
AMBIGUOUS_MAX = 1
"""How many names have more than one meaning; it may only fall. `Event` stays: torch.mps.Event and the methods of it."""


def ambiguous(package: Path) -> dict[str, list[str]]:
    """Return public class name -> the modules that define it, for each that more than one defines."""
    modules = defaultdict(list)
    for path in sorted(package.rglob("*.py")):
        own = {node.name for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.ClassDef)}
        for name in own:
            if not name.startswith("_"):
                modules[name].append(path.relative_to(package).as_posix())
    return {name: where for name, where in sorted(modules.items()) if len(where) > 1}


def test_as_few_class_names_as_possible_have_several_meanings() -> None:
    found = ambiguous(PACKAGE)
    listed = "\n".join(f"{name}: {', '.join(where)}" for name, where in found.items())
    assert len(found) <= AMBIGUOUS_MAX, f"rename the new one:\n{listed}"
    assert len(found) >= AMBIGUOUS_MAX, (
        f"set AMBIGUOUS_MAX = {len(found)}, so that it stays as good:\n{listed}"
    )


def test_a_second_meaning_is_found_wherever_it_stands(tmp_path: Path) -> None:
    (tmp_path / "room").mkdir()
    (tmp_path / "one.py").write_text("class Case: ...\nclass _Own: ...\nclass Alone: ...\n")
    (tmp_path / "room" / "two.py").write_text("def make():\n    class Case: ...\nclass _Own: ...\n")
    assert ambiguous(tmp_path) == {"Case": ["one.py", "room/two.py"]}
