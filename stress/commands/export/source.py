"""One module's source, parsed: what its top-level names are, and pieces of its text with edits applied."""

from __future__ import annotations

import ast
import importlib.util
from collections.abc import Iterable
from collections.abc import Iterator
from dataclasses import dataclass
from dataclasses import field
from pathlib import Path

from stress.commands import CommandError


@dataclass(frozen=True)
class Imported:
    """What a top-level import binds: `module`, or `name` of it."""

    module: str
    name: str | None
    local: str

    @property
    def text(self) -> str:
        """Return the import as a separate line."""
        if self.name is None:
            return f"import {self.module}" + (f" as {self.local}" if self.local != self._own else "")
        return f"from {self.module} import {self.name}" + (
            f" as {self.local}" if self.local != self.name else ""
        )

    @property
    def _own(self) -> str:
        return self.module.partition(".")[0]


@dataclass(frozen=True)
class Edit:
    """Replace the bytes from `start` to `end`."""

    start: int
    end: int
    text: str


@dataclass
class Source:
    """A module's text and syntax tree. Offsets are in bytes, as those of `ast` are."""

    module: str
    path: Path
    data: bytes
    tree: ast.Module
    definitions: dict[str, ast.stmt] = field(default_factory=dict)
    imports: dict[str, Imported] = field(default_factory=dict)

    @classmethod
    def read(cls, module: str, path: Path) -> Source:
        """Parse a file; raise `CommandError` for one that cannot be."""
        try:
            data = path.read_bytes()
            tree = ast.parse(data, str(path))
        except (OSError, SyntaxError, ValueError) as error:
            raise CommandError(f"{path} cannot be read as Python: {error}") from None
        source = cls(module, path, data, tree)
        for statement in tree.body:
            source._bind(statement)
        source._starts = [0]
        for line in data.splitlines(keepends=True):
            source._starts.append(source._starts[-1] + len(line))
        return source

    @classmethod
    def of_module(cls, module: str) -> Source:
        """Find and parse an importable module of this package; it is imported already or cheap."""
        spec = importlib.util.find_spec(module)
        if spec is None or spec.origin is None:
            raise CommandError(f"the source of {module} is not there")
        return cls.read(module, Path(spec.origin))

    _starts: list[int] = field(default_factory=list)

    def _bind(self, statement: ast.stmt) -> None:
        if isinstance(statement, ast.Import):
            for alias in statement.names:
                local = alias.asname or alias.name.partition(".")[0]
                self.imports[local] = Imported(alias.name, None, local)
        elif isinstance(statement, ast.ImportFrom):
            for alias in statement.names:
                local = alias.asname or alias.name
                self.imports[local] = Imported(self._absolute(statement), alias.name, local)
        elif isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            self.definitions[statement.name] = statement
        else:
            for name in bound_names([statement]):
                self.definitions.setdefault(name, statement)

    def _absolute(self, statement: ast.ImportFrom) -> str:
        """Return the module that is imported from, also where the dots are: what is exported is in no package."""
        package = self.module.rsplit(".", statement.level)[0] if "." in self.module else ""
        return ".".join(filter(None, [package if statement.level else "", statement.module or ""]))

    def start(self, node: ast.expr | ast.stmt) -> int:
        return self._starts[node.lineno - 1] + node.col_offset

    def end(self, node: ast.expr | ast.stmt) -> int:
        assert node.end_lineno is not None
        assert node.end_col_offset is not None
        return self._starts[node.end_lineno - 1] + node.end_col_offset

    def lines_of(self, statement: ast.stmt, following: ast.stmt | None = None) -> tuple[int, int]:
        """Return the bytes of a statement's whole lines: with its decorators, the comment above and its docstring below."""
        decorators = getattr(statement, "decorator_list", [])
        first = min([statement.lineno, *(one.lineno for one in decorators)])
        while first > 1 and self._line(first - 1).lstrip().startswith(b"#"):
            first -= 1
        last = statement.end_lineno or statement.lineno
        if isinstance(statement, ast.Assign | ast.AnnAssign) and is_text(following):
            assert following is not None
            last = following.end_lineno or following.lineno
        return self._starts[first - 1], self._starts[last]

    def _line(self, number: int) -> bytes:
        return self.data[self._starts[number - 1] : self._starts[number]]

    def text(self, start: int, end: int, edits: Iterable[Edit]) -> str:
        """Return a stretch of the source with the edits that lie in it."""
        parts, at = [], start
        for one in sorted(edits, key=lambda one: (one.start, one.end)):
            if one.start < at or one.end > end:
                continue  # inside something that was replaced as a whole, or elsewhere
            parts += [self.data[at : one.start], one.text.encode()]
            at = one.end
        parts.append(self.data[at:end])
        return b"".join(parts).decode()


def is_text(statement: ast.stmt | None) -> bool:
    """Whether a statement is a string alone: the docstring of what stands above it."""
    return (
        isinstance(statement, ast.Expr)
        and isinstance(statement.value, ast.Constant)
        and isinstance(statement.value.value, str)
    )


def with_following(body: list[ast.stmt]) -> Iterator[tuple[ast.stmt, ast.stmt | None]]:
    """Yield each statement with the one after it."""
    for index, one in enumerate(body):
        yield one, body[index + 1] if index + 1 < len(body) else None


def bound_names(nodes: Iterable[ast.AST]) -> set[str]:
    """Return all names that are assigned, imported, defined or taken as arguments anywhere in `nodes`."""
    found: set[str] = set()
    for node in nodes:
        for one in ast.walk(node):
            if isinstance(one, ast.Name) and isinstance(one.ctx, ast.Store | ast.Del):
                found.add(one.id)
            elif isinstance(one, ast.arg):
                found.add(one.arg)
            elif isinstance(one, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.ExceptHandler):
                found |= {one.name} if one.name else set()
    return found
