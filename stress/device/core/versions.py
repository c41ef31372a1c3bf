"""Whether a tree and the installed torch fit: their versions, and the slots of the interfaces between them.

libtorch calls the MPS backend through a few abstract classes. Where a tree's header has a virtual function more, or in
another place, than the header that libtorch was compiled with, a call lands in the wrong function, without any error. So
the ordered virtual functions of both headers are compared. The headers are read as text: comments, preprocessor lines
and function bodies are taken out, and what is left of a class is declarations.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from stress.device.core.tree import PytorchTree
from stress.device.core.tree import is_used
from stress.device.torch_installation import TorchInstallation
from stress.model.errors import BuildError
from stress.model.errors import OptionError

_MAJOR_MINOR = re.compile(r"(\d+)\.(\d+)")


@dataclass(frozen=True)
class Interface:
    """An abstract class through which libtorch and the MPS backend call each other."""

    name: str
    header: str
    """As it is included: `ATen/...` or `c10/...`."""

    @property
    def path_in_tree(self) -> str:
        return f"aten/src/{self.header}" if self.header.startswith("ATen/") else self.header


INTERFACES = (
    Interface("MPSHooksInterface", "ATen/detail/MPSHooksInterface.h"),
    Interface("AcceleratorHooksInterface", "ATen/detail/AcceleratorHooksInterface.h"),
    Interface("DeviceGuardImplInterface", "c10/core/impl/DeviceGuardImplInterface.h"),
    Interface("IMPSAllocator", "ATen/mps/MPSAllocatorInterface.h"),
    Interface("Allocator", "c10/core/Allocator.h"),
    Interface("GeneratorImpl", "c10/core/GeneratorImpl.h"),
)
ADAPTED = "MPSHooksInterface"
"""libtorch calls the tree's hooks through an adapter: see `hooks.py`."""


@dataclass(frozen=True)
class ComparedInterface:
    """The virtual functions of one interface, as declared on both sides; None where the header or class is missing."""

    interface: Interface
    tree: tuple[str, ...] | None
    torch: tuple[str, ...] | None

    @property
    def is_known(self) -> bool:
        """Return whether both sides have the class: a tree of which only a part was unpacked lacks some headers."""
        return self.tree is not None and self.torch is not None

    @property
    def is_same(self) -> bool:
        return self.is_known and self.tree == self.torch

    @property
    def treatment(self) -> str:
        """Return what a difference means for a build."""
        if self.interface.name == ADAPTED:
            return "calls are passed on by name"
        if is_used(self.interface.path_in_tree):
            return "the tree's own is used"
        return "torch's own is used"

    def differences(self) -> list[str]:
        """Return a line for each place where the two differ; slots count from 0 in the interface's own functions."""
        theirs, ours = self.torch or (), self.tree or ()
        lines = []
        matcher = difflib.SequenceMatcher(None, theirs, ours, autojunk=False)
        for kind, start, end, first, last in matcher.get_opcodes():
            if kind == "equal":
                continue
            parts = [
                f"the tree {verb} {', '.join(names)}"
                for verb, names in (("lacks", theirs[start:end]), ("adds", ours[first:last]))
                if names
            ]
            lines.append(f"slot {start}: {' and '.join(parts)}")
        return lines


def compare_interfaces(tree: PytorchTree, torch: TorchInstallation) -> list[ComparedInterface]:
    """Return every interface with what the tree's and the installed torch's headers declare."""
    include = torch.include_folders[0]
    return [
        ComparedInterface(
            one, _functions_of(tree.root / one.path_in_tree, one), _functions_of(include / one.header, one)
        )
        for one in INTERFACES
    ]


def require_matching(tree: PytorchTree, torch: TorchInstallation) -> None:
    """Raise `OptionError` where the tree's version is another one than the installed torch's."""
    found = _MAJOR_MINOR.match(torch.version)
    if found is None:
        raise BuildError(f"the installed torch calls itself {torch.version!r}, which is no version")
    theirs = int(found[1]), int(found[2])
    if theirs != tree.major_minor:
        wanted = ".".join(map(str, tree.major_minor))
        raise OptionError(
            f"this is PyTorch {tree.version}, and the installed torch is {torch.version} ({torch.root})",
            option=f"pytorch={tree.given}",
            way_out=f": install torch=={wanted}.* into this environment, or take a tree of {found[0]}; "
            "with --force, mps-stress core build tries",
        )


def virtual_functions(text: str, name: str) -> tuple[str, ...] | None:
    """Return the functions that a class declares as virtual, in order, without names of parameters and defaults.

    These are its own slots in the table of virtual functions: a function that overrides a base's (`override` alone) has
    the base's slot. None where the text does not define the class.
    """
    body = _class_body(_plain(text), name)
    if body is None:
        return None
    declarations = (_ACCESS.sub("", " ".join(one.split())).strip() for one in _declarations(body))
    return tuple(_signature(one) for one in declarations if _VIRTUAL.search(one.partition("(")[0]))


def _functions_of(path: Path, interface: Interface) -> tuple[str, ...] | None:
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    return virtual_functions(text, interface.name)


_COMMENT_OR_STRING = re.compile(r'//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\\n])*"', re.DOTALL)
_PREPROCESSOR = re.compile(r"^[ \t]*#(?:\\\r?\n|[^\n])*", re.MULTILINE)
_ATTRIBUTE = re.compile(r"\[\[.*?\]\]", re.DOTALL)
_ACCESS = re.compile(r"^(?:(?:public|protected|private)\s*:\s*)+")
_VIRTUAL = re.compile(r"\bvirtual\b")
_TOKEN = re.compile(r"[A-Za-z_]\w*|\S")
_TYPE_WORDS = frozenset(
    (
        "const",
        "volatile",
        "unsigned",
        "signed",
        "int",
        "long",
        "short",
        "char",
        "double",
        "float",
        "bool",
        "void",
    )
)


def _plain(text: str) -> str:
    """Return the text without comments, strings' content, preprocessor lines and attributes."""
    text = _COMMENT_OR_STRING.sub(lambda found: '""' if found[0].startswith('"') else " ", text)
    return _ATTRIBUTE.sub(" ", _PREPROCESSOR.sub("", text))


def _class_body(text: str, name: str) -> str | None:
    start = re.search(
        rf"\b(?:class|struct)\b[^;{{}}()]*\b{re.escape(name)}\b(?:\s+final)?\s*(?::[^;{{}}]*)?{{", text
    )
    if start is None:
        return None
    depth = 1
    for place in range(start.end(), len(text)):
        depth += {"{": 1, "}": -1}.get(text[place], 0)
        if not depth:
            return text[start.end() : place]
    return None


def _declarations(body: str) -> Iterator[str]:
    """Yield what stands at the outermost level, cut at every `;` and function body."""
    depth, part = 0, ""
    for char in body:
        if char == "{":
            depth += 1
        elif char == "}":
            depth -= 1
            if not depth:
                yield part
                part = ""
        elif depth:
            continue
        elif char == ";":
            yield part
            part = ""
        else:
            part += char


def _signature(declaration: str) -> str:
    """Return a declaration in one form: return type, name, types of the parameters, const."""
    head, _, rest = declaration.partition("(")
    parameters, qualifiers = _until_closed(rest)
    words = [
        one for one in _TOKEN.findall(_VIRTUAL.sub("", head)) if one not in ("inline", "TORCH_API", "C10_API")
    ]
    types = ", ".join(filter(None, map(_parameter_type, _split(parameters))))
    # Of the qualifiers, const alone makes another function; with noexcept it has the same slot.
    const = " const" if "const" in _TOKEN.findall(qualifiers.partition("=")[0]) else ""
    return f"{_joined(words)}({types}){const}"


def _until_closed(text: str) -> tuple[str, str]:
    """Return what stands before and after the bracket that closes the one before `text`."""
    depth = 1
    for place, char in enumerate(text):
        depth += {"(": 1, ")": -1}.get(char, 0)
        if not depth:
            return text[:place], text[place + 1 :]
    return text, ""


def _split(parameters: str) -> Iterator[str]:
    """Yield parameters: cut at commas outside all brackets."""
    depth, part = 0, ""
    for char in parameters:
        depth += {"<": 1, "(": 1, "{": 1, ">": -1, ")": -1, "}": -1}.get(char, 0)
        if char == "," and not depth:
            yield part
            part = ""
        else:
            part += char
    yield part


def _parameter_type(parameter: str) -> str:
    tokens = _TOKEN.findall(parameter.partition("=")[0])
    # `Device` is a type, `Device device` a type and a name; `unsigned major` too, `unsigned int` a type of two words.
    is_name = len(tokens) > 1 and tokens[-1].isidentifier() and tokens[-1] not in _TYPE_WORDS
    if is_name and tokens[-2] != ":" and tokens[:-1] not in (["const"], ["volatile"]):
        tokens = tokens[:-1]
    return "" if tokens == ["void"] else _joined(tokens)


def _joined(tokens: list[str]) -> str:
    """Return tokens as one text, with a space between words alone."""
    text = ""
    for token in tokens:
        text += f" {token}" if re.match(r"\w", token) and re.search(r"[\w>*&,]$", text) else token
    return text
