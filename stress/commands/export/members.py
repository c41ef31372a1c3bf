"""The parts of a scenario's class that a run needs, and how the class reads without the framework."""

from __future__ import annotations

import ast
import textwrap
from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import dataclass
from dataclasses import field

from stress.commands import CommandError
from stress.commands.export.source import Edit
from stress.commands.export.source import Source
from stress.commands.export.source import is_text
from stress.commands.export.source import with_following

CALLED = (
    "setup",
    "make_input",
    "step",
    "steps",
    "main_step",
    "finish",
    "reference",
    "compare",
    "body",
)
"""What the framework calls, and the exported code calls in its place."""
FRAMEWORK_BASES = ("Scenario", "ProcessScenario")


@dataclass
class ClassPart:
    """One class of the chain from the scenario up to the framework's own, and its members by name."""

    source: Source
    node: ast.ClassDef
    members: dict[str, ast.stmt]
    kept: set[str] = field(default_factory=set)

    @property
    def name(self) -> str:
        return self.node.name


def parts_of(chain: Sequence[tuple[Source, str]]) -> list[ClassPart]:
    """Return the classes of `chain` ((source, class name), the scenario's own first)."""
    parts = []
    for source, name in chain:
        node = source.definitions.get(name)
        if not isinstance(node, ast.ClassDef):
            raise CommandError(f"{source.path}: {name} is not a class at the top level of its file")
        members: dict[str, ast.stmt] = {}
        for one in node.body:
            if isinstance(one, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                members[one.name] = one
            elif isinstance(one, ast.Assign):
                members |= {target.id: one for target in one.targets if isinstance(target, ast.Name)}
            elif isinstance(one, ast.AnnAssign) and isinstance(one.target, ast.Name):
                members[one.target.id] = one
        parts.append(ClassPart(source, node, members))
    return parts


def keep_needed(parts: Sequence[ClassPart], bound: Mapping[str, str], plain: Mapping[str, str]) -> None:
    """Mark the members that a run needs: what is called, and whatever that mentions as an attribute.

    `bound` are the attributes that get their own value in the exported class, `plain` members with their own
    source. Where `super()` is used,
    members that are overridden are needed too.
    """
    uses_super = any(
        isinstance(one, ast.Name) and one.id == "super" for part in parts for one in ast.walk(part.node)
    )
    wanted = [name for name in CALLED if any(name in part.members for part in parts)]
    if any("steps" in part.members for part in parts):
        wanted.remove("step") if "step" in wanted else None
    seen: set[str] = set()
    while wanted:
        name = wanted.pop()
        if name in seen or name in bound:
            continue
        seen.add(name)
        for part in parts:
            if name not in part.members:
                continue
            part.kept.add(name)
            wanted += attributes_in(ast.parse(plain[name]) if name in plain else part.members[name])
            if not uses_super:
                break  # the most derived one hides the others


def attributes_in(node: ast.AST) -> list[str]:
    """Return the names of all attributes that a piece of code asks for, of whatever."""
    return [one.attr for one in ast.walk(node) if isinstance(one, ast.Attribute)]


def class_edits(
    part: ClassPart, attributes: Mapping[str, str], emitted: set[str], plain: Mapping[str, str]
) -> list[Edit]:
    """Return the edits that make a class stand alone: its bases, the members it needs, its values.

    `attributes` are values to set in this class, `emitted` the classes that will be there to inherit from, `plain`
    members that get another source.
    """
    source, node = part.source, part.node
    edits = [_bases(part, emitted)]
    body = list(with_following(node.body))
    text = source.lines_of(node.body[0])[1] if is_text(node.body[0]) else None
    lines = "".join(f"    {name} = {value}\n" for name, value in attributes.items())
    has_methods = False
    for number, (one, following) in enumerate(body):
        if is_text(one):
            continue
        start, end = source.lines_of(one, following)
        if kept := part.kept & _names(part, one):
            has_methods = True
            edits += [
                Edit(start, end, textwrap.indent(plain[name].strip("\n") + "\n", "    "))
                for name in kept
                if name in plain
            ]
            continue
        last = number + 1 == len(body)
        edits.append(Edit(start, end if last else _next_start(source, body, number, end), ""))
    inset = lines
    if text is not None:
        inset = (f"\n{lines}" if lines else "") + ("\n" if has_methods else "")
        edits.append(Edit(text, _first_statement(source, body, text), inset))
    else:
        place = source.lines_of(node.body[0])[0]
        edits.append(Edit(place, place, lines + ("\n" if lines and has_methods else "")))
    if not (attributes or part.kept or text is not None):
        edits.append(Edit(source.end(node), source.end(node), "    pass\n"))
    return edits


def _names(part: ClassPart, statement: ast.stmt) -> set[str]:
    return {name for name, one in part.members.items() if one is statement}


def _next_start(source: Source, body: list[tuple[ast.stmt, ast.stmt | None]], number: int, end: int) -> int:
    """Return where the statement after this one begins, its docstring skipped; blank lines go with what is left out."""
    for one, _ in body[number + 1 :]:
        start = source.lines_of(one)[0]
        if start >= end:
            return start
    return end


def _first_statement(source: Source, body: list[tuple[ast.stmt, ast.stmt | None]], after: int) -> int:
    for one, _ in body[1:]:
        return max(after, source.lines_of(one)[0])
    return after


def _bases(part: ClassPart, emitted: set[str]) -> Edit:
    """Return the edit that leaves only those bases that are there."""
    source, node = part.source, part.node
    kept = [ast.unparse(one) for one in node.bases if _base_name(one) in emitted]
    end = max([source.end(one) for one in [*node.bases, *(key.value for key in node.keywords)]], default=0)
    name_end = source.data.index(node.name.encode(), source.start(node) + len(b"class")) + len(node.name)
    if not end:
        return Edit(name_end, name_end, "")
    close = source.data.index(b")", end) + 1
    return Edit(name_end, close, f"({', '.join(kept)})" if kept else "")


def _base_name(base: ast.expr) -> str:
    return base.attr if isinstance(base, ast.Attribute) else getattr(base, "id", "")
