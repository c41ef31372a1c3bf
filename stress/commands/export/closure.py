"""Copies of what a scenario's code needs from its module and from this package; everything else stays an import."""

from __future__ import annotations

import ast
import importlib
import inspect
from collections.abc import Iterable
from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import dataclass
from dataclasses import field
from pathlib import Path
from types import ModuleType
from typing import Any

from stress.commands import CommandError
from stress.commands.export.members import FRAMEWORK_BASES
from stress.commands.export.members import ClassPart
from stress.commands.export.members import attributes_in
from stress.commands.export.members import class_edits
from stress.commands.export.members import keep_needed
from stress.commands.export.members import parts_of
from stress.commands.export.source import Edit
from stress.commands.export.source import Imported
from stress.commands.export.source import Source
from stress.commands.export.source import bound_names
from stress.commands.export.source import with_following

PACKAGE = "stress"
HERE = "here"
"""Name of the thread-local that stands for `stress.current()` in exported code."""

Key = tuple[str, str]
"""(module, top-level name)."""


@dataclass
class Copied:
    """The scenario's code without the framework."""

    imports: list[str] = field(default_factory=list)
    helpers: str = ""
    """Functions and classes of this package that it uses."""
    code: str = ""
    """Its own module's, its class last but for what stood below it."""
    step_fields: frozenset[str] = frozenset()
    """Which fields of `stress.current()` it asks for."""
    modules: frozenset[str] = frozenset()
    """Modules that are imported, by their first name."""


class Closure:
    """Collects definitions, starting from a scenario's class."""

    def __init__(
        self, cls: type[Any], bound: Mapping[str, str], plain: Mapping[str, str] | None = None
    ) -> None:
        """`bound`: attribute -> Python expression, values that the class shall have. `plain`: see `GeneratedScenario.plain_members`."""
        self._plain = dict(plain or {})
        self._sources: dict[str, Source] = {}
        chain = [
            (self._source_of(one), one.__name__)
            for one in cls.__mro__
            if one is not object and one.__module__.partition(".")[0] != PACKAGE
        ]
        self._own = chain[0][0]
        self._parts = parts_of(chain)
        keep_needed(self._parts, bound, self._plain)
        asked = {
            attribute
            for part in self._parts
            for name in part.kept
            for attribute in attributes_in(
                ast.parse(self._plain[name]) if name in self._plain else part.members[name]
            )
        }
        self._bound = {name: value for name, value in bound.items() if name in asked}
        self._needed: dict[Key, ast.stmt] = {}
        self._imports: dict[str, Imported] = {}
        self._edits: dict[str, list[Edit]] = {}
        self._names: dict[Key, str] = {}
        self._fields: set[str] = set()
        self._taken = bound_names([self._own.tree])

    def copy(self) -> Copied:
        """Return the code; raise `CommandError` for what cannot be copied."""
        shown = self._shown_parts()
        emitted = {part.name for part in shown}
        for part in shown:
            attributes = self._bound if part is shown[0] else {}
            self._edits.setdefault(part.source.module, []).extend(
                class_edits(part, attributes, emitted, self._plain)
            )
            for name in part.kept - set(self._plain):
                self._visit(part.source, part.members[name])
            for decorator in part.node.decorator_list:
                self._visit(part.source, decorator)
            self._needed[part.source.module, part.name] = part.node
        for value in self._bound.values():
            self._visit(self._own, ast.parse(value, mode="eval"), edits=False)
        return self.text()

    def text(self) -> Copied:
        """Return what was collected so far."""
        helpers = self._text([one for one in self._sources if one.partition(".")[0] == PACKAGE])
        code = self._text([one for one in self._sources if one.partition(".")[0] != PACKAGE])
        above = self._plain.get("", "").strip("\n").splitlines()
        imports = [line for line in above if line.startswith(("import ", "from "))]
        above_text = "\n".join(line for line in above if line not in imports).strip("\n")
        code = "\n\n\n".join(filter(None, [above_text, code]))
        return Copied(
            sorted({*imports, *(one.text for one in self._imports.values())}, key=_import_order),
            helpers,
            code,
            frozenset(self._fields),
            frozenset(one.module.partition(".")[0] for one in self._imports.values()),
        )

    def _shown_parts(self) -> list[ClassPart]:
        """Return the classes that are copied: the scenario's own, and bases of which something is needed."""
        own, *bases = self._parts
        return [own, *(one for one in bases if one.kept)]

    def _source_of(self, cls: type[Any]) -> Source:
        try:
            path = Path(inspect.getfile(cls))
        except (OSError, TypeError) as error:
            raise CommandError(f"the source of {cls.__qualname__} is not there: {error}") from None
        if "." in cls.__qualname__:
            raise CommandError(
                f"{cls.__qualname__} is defined inside something else: move it to the top level"
            )
        if cls.__module__ not in self._sources:
            self._sources[cls.__module__] = Source.read(cls.__module__, path)
        return self._sources[cls.__module__]

    def need(self, module: str, name: str) -> None:
        """Copy one top-level name of a module of this package, with all that it needs."""
        if module not in self._sources:
            self._sources[module] = Source.of_module(module)
        source = self._sources[module]
        statement = source.definitions.get(name)
        if statement is None:
            raise CommandError(f"{module} has no {name} that could be copied")
        if (module, name) not in self._needed:
            self._needed[module, name] = statement
            self._visit(source, statement)

    def _visit(self, source: Source, node: ast.AST, *, edits: bool = True) -> None:
        """Note what `node` uses, and how its text changes."""
        into = self._edits.setdefault(source.module, []) if edits else []
        skip: set[int] = set()
        for one in ast.walk(node):
            if id(one) in skip:
                continue
            if isinstance(one, ast.ImportFrom) and (one.module or "").partition(".")[0] == PACKAGE:
                raise CommandError(
                    f"{source.path.name} imports {one.module} inside a function: what is exported stands alone"
                )
            if isinstance(one, ast.Call) and self._is_current(source, one.func):
                into.append(Edit(source.start(one), source.end(one), HERE))
                skip |= {id(child) for child in ast.walk(one)}
                self._fields |= {"thread_index", "iteration"} | _attributes(node)
            elif isinstance(one, ast.Attribute) and isinstance(one.value, ast.Name):
                module = self._package_module(source, one.value.id)
                if module is not None:
                    self.need(module, one.attr)
                    name = self._name(module, one.attr, one.value.id)
                    into.append(Edit(source.start(one), source.end(one), name))
                    skip.add(id(one.value))
            elif isinstance(one, ast.Name):
                self._use(source, one, into)

    def _use(self, source: Source, node: ast.Name, into: list[Edit]) -> None:
        name = node.id
        imported = source.imports.get(name)
        if name in source.definitions:
            if (source.module, name) in self._needed or any(
                part.source is source and part.name == name for part in self._parts
            ):
                return
            self._needed[source.module, name] = source.definitions[name]
            self._visit(source, source.definitions[name])
        elif imported is not None and imported.module.partition(".")[0] == PACKAGE:
            if imported.name is None or imported.name in FRAMEWORK_BASES:
                raise CommandError(f"{source.path.name} uses {imported.local}, which only the framework has")
            self.need(imported.module, imported.name)
            emitted = self._name(imported.module, imported.name, imported.module.rpartition(".")[2])
            if emitted != name:
                into.append(Edit(source.start(node), source.end(node), emitted))
        elif imported is not None:
            if imported.module.startswith("."):
                raise CommandError(
                    f"{source.path.name} imports {imported.local} from {imported.module}: an exported file stands alone; "
                    "move it into the scenario's file or into a package that can be imported by name"
                )
            self._imports[imported.local] = imported

    def _name(self, module: str, name: str, prefix: str) -> str:
        """Return what a copied name is called: its own name, unless the scenario's file uses that for another thing."""
        key = module, name
        if key not in self._names:
            others = {(self._names[one], one[0]) for one in self._names}
            clash = name in self._taken or any(used == name and of != module for used, of in others)
            self._names[key] = f"{prefix}_{name}" if clash else name
        return self._names[key]

    def _package_module(self, source: Source, local: str) -> str | None:
        """Return the module of this package that a name stands for: `streams` of `from stress import streams`."""
        imported = source.imports.get(local)
        if imported is None or imported.module.partition(".")[0] != PACKAGE or imported.name is None:
            return None
        named = getattr(importlib.import_module(imported.module), imported.name, None)
        return named.__name__ if isinstance(named, ModuleType) else None

    @staticmethod
    def _is_current(source: Source, function: ast.expr) -> bool:
        if isinstance(function, ast.Name):
            imported = source.imports.get(function.id)
            return imported is not None and (imported.module, imported.name) in (
                (PACKAGE, "current"),
                (f"{PACKAGE}.scenario.current", "current"),
            )
        return (
            isinstance(function, ast.Attribute)
            and function.attr == "current"
            and isinstance(function.value, ast.Name)
            and function.value.id == PACKAGE
        )

    def _text(self, modules: Iterable[str]) -> str:
        """Return the needed statements of these modules, in the order of their files."""
        pieces = []
        for module in modules:
            source = self._sources[module]
            edits = [*self._edits.get(module, []), *self._renames(source)]
            wanted = {id(one) for (of, _), one in self._needed.items() if of == module}
            for statement, following in with_following(source.tree.body):
                if id(statement) in wanted:
                    start, end = source.lines_of(statement, following)
                    pieces.append((statement, source.text(start, end, edits).strip("\n")))
        return _joined(pieces)

    def _renames(self, source: Source) -> list[Edit]:
        """Return edits for names of this module that are called something else in the exported code."""
        renamed = {
            name: new
            for (module, name), new in self._names.items()
            if module == source.module and new != name
        }
        edits = []
        for (module, _), statement in self._needed.items():
            if module != source.module or not renamed:
                continue
            for one in ast.walk(statement):
                if isinstance(one, ast.Name) and one.id in renamed:
                    edits.append(Edit(source.start(one), source.end(one), renamed[one.id]))
                elif (
                    one is statement
                    and isinstance(one, ast.FunctionDef | ast.ClassDef)
                    and one.name in renamed
                ):
                    at = source.data.index(one.name.encode(), source.start(one) + 3)
                    edits.append(Edit(at, at + len(one.name), renamed[one.name]))
        return edits


def _attributes(node: ast.AST) -> set[str]:
    """Return the attributes that are asked of anything in `node`, as far as they may be a step's."""
    fields = {"thread_count", "wave", "stream"}
    return fields & {one.attr for one in ast.walk(node) if isinstance(one, ast.Attribute)}


def _joined(pieces: Sequence[tuple[ast.stmt, str]]) -> str:
    """Put statements together with the blank lines that belong between them."""
    text = ""
    before: ast.stmt | None = None
    for statement, piece in pieces:
        block = isinstance(statement, ast.FunctionDef | ast.ClassDef)
        was_block = isinstance(before, ast.FunctionDef | ast.ClassDef)
        if before is not None:
            text += "\n\n\n" if block or was_block else "\n"
        text += piece
        before = statement
    return text


def _import_order(line: str) -> tuple[bool, bool, str]:
    third = "torch" in line.split()[1]
    return third, line.startswith("from"), line
