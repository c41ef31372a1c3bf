"""Translate the Metal Shading Language, preprocessed, to C++ over the headers of `harness/metal_shaders/language`.

The text stays as it is, line for line, but for attributes, which C++ does not know in these places, explicit
instantiations, and threadgroup memory that a kernel declares. What attributes say is in the entries behind it: one
function for each kernel that makes its parameters, and the library's table.

Traps: a parameter without an attribute is numbered in order, and its attributes stand only in the kernel's definition,
while those of an explicit instantiation may be missing or wrong; kernels may have the names of functions, and be
overloaded. Metal has no double: clang's -cl-single-precision-constant is forgotten where a template is instantiated, so
each constant gets its suffix here.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from collections.abc import Sequence
from dataclasses import dataclass

from stress.device.core.shader_entries import Kernel
from stress.device.core.shader_entries import KernelEntry
from stress.device.core.shader_entries import Parameter
from stress.device.core.shader_entries import entries_text
from stress.device.core.shader_tokens import MetalSourceError
from stress.device.core.shader_tokens import MetalText
from stress.device.core.shader_tokens import NotCarried

BUFFERS = 31
_INDEXED = ("buffer", "threadgroup")
_POSITIONS = (
    "dispatch_simdgroups_per_threadgroup",
    "dispatch_threads_per_threadgroup",
    "simdgroup_index_in_threadgroup",
    "simdgroups_per_threadgroup",
    "thread_execution_width",
    "thread_index_in_simdgroup",
    "thread_index_in_threadgroup",
    "thread_position_in_grid",
    "thread_position_in_threadgroup",
    "threadgroup_position_in_grid",
    "threadgroups_per_grid",
    "threads_per_grid",
    "threads_per_simdgroup",
    "threads_per_threadgroup",
)
_WITHOUT_EFFECT = (
    "always_inline",
    "clang",
    "deprecated",
    "fallthrough",
    "host_name",
    "id",
    "kernel",
    "likely",
    "max_total_threads_per_threadgroup",
    "maybe_unused",
    "nodiscard",
    "noinline",
    "noreturn",
    "unlikely",
    "unroll",
)
_NOT_CARRIED = re.compile(
    r"(?:texture(?:1d|2d|3d|cube|_buffer)|depth2d|depthcube|imageblock|intersection_|visible_function_table)\w*"
    r"|sampler|intersector|quad_(?:sum|product|max|min|and|or|xor|all|any|ballot|broadcast|shuffle|is_first|prefix)\w*"
    r"|simdgroup_(?:async_copy|event)\w*"
)
"""Names that no header of ours has."""
_SHORT_TYPES = ("bfloat", "half")
_WITH_PARENTHESES = ("decltype", "__attribute__", "alignas")
_FLOATING = re.compile(
    r"(?:0[xX][\da-fA-F.]+[pP][+-]?\d+|(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)(?P<suffix>bf|BF|[hH]?)"
)
_SUFFIXED = {"": "{}f", "h": "((half){}f)", "bf": "((bfloat){}f)"}


@dataclass(frozen=True)
class Translation:
    """The C++ text, and the names of the kernels in it."""

    text: str
    names: tuple[str, ...]


def translate(preprocessed: str) -> Translation:
    """Return the C++ of a preprocessed Metal text; raise `MetalSourceError`, or `NotCarried`."""
    return _Translator(MetalText(preprocessed)).translate()


class _Translator:
    def __init__(self, source: MetalText) -> None:
        self.source = source
        self.tokens = source.tokens
        self.edits: list[tuple[int, int, str]] = []
        """Places in the text and what they become; a line's end in them stays."""
        self.attributes: dict[int, int] = {}
        """First token of each attribute -> its last."""
        self.kernels: list[Kernel] = []
        self.entries: list[KernelEntry] = []
        self.variables = 0

    def translate(self) -> Translation:
        self._refuse_what_is_not_carried()
        self._find_attributes()
        self._give_constants_their_type()
        self._make_functions_of_casts()
        self._read_declarations()
        text = (
            f'#include "metal.h"\n{self._edited()}\n# 1 "entries of the kernels"\n#include "entries.h"\n'
            + entries_text(self.entries, self.kernels)
            + '#include "callbacks.h"\n'
        )
        return Translation(text, tuple(one.host_name for one in self.entries))

    # ---- the text

    def _refuse_what_is_not_carried(self) -> None:
        for number, token in enumerate(self.tokens):
            if token.is_word and _NOT_CARRIED.fullmatch(token.text):
                raise NotCarried(f"{token.text} in a Metal shader ({self.source.place(number)})")

    def _give_constants_their_type(self) -> None:
        for token in self.tokens:
            if token.text[0] in "0123456789." and (found := _FLOATING.fullmatch(token.text)):
                suffix, digits = found["suffix"].lower(), token.text[: found.start("suffix")]
                if suffix or not digits.isdigit():
                    self.edits.append((token.begin, token.end, _SUFFIXED[suffix].format(digits)))

    def _make_functions_of_casts(self) -> None:
        """Make `shim::cast<bfloat>(x)` of `bfloat(x)`: clang converts no half to a bfloat, and none back."""
        for number, token in enumerate(self.tokens):
            is_cast = token.text in _SHORT_TYPES and self.source.is_mark(number + 1, "(")
            before = self.tokens[number - 1] if number else None
            if is_cast and (before is None or not before.is_word or before.text == "return"):
                self.edits.append((token.begin, token.end, f"metal::shim::cast<{token.text}>"))

    def _find_attributes(self) -> None:
        """Take out what stands in double brackets, and `kernel` with it."""
        number = 0
        while number + 1 < len(self.tokens):
            first, second = self.tokens[number], self.tokens[number + 1]
            if first.text == "[" and second.text == "[" and second.begin == first.end:
                last = self.source.matches[number]
                if self.source.matches[number + 1] != last - 1:
                    number += 1  # a[[...](){}()]: an index that begins with a lambda
                    continue
                self.attributes[number] = last
                self.edits.append((first.begin, self.tokens[last].end, ""))
                number = last
            number += 1

    def _edited(self) -> str:
        parts, at = [], 0
        for begin, end, instead in sorted(self.edits):
            if begin < at:
                continue  # inside of what was taken out already
            parts += [self.source.text[at:begin], instead, "\n" * self.source.text.count("\n", begin, end)]
            at = end
        return "".join([*parts, self.source.text[at:]])

    # ---- declarations

    def _read_declarations(self) -> None:
        """Walk over the declarations that are in no function or structure."""
        namespaces: list[str] = []
        number = 0
        while number < len(self.tokens):
            text = self.tokens[number].text
            if text == "}":
                namespaces.pop()
                number += 1
            elif text == "namespace" or (text == "inline" and self.source.is_mark(number + 1, "namespace")):
                name, number = self._namespace(number)
                if name is not None:
                    namespaces.append(name)
            elif text == ";":
                number += 1
            else:
                number = self._declaration(number, namespaces)

    def _namespace(self, number: int) -> tuple[str | None, int]:
        """Return what is opened, and where its inside begins; None for an alias."""
        name = []
        while self.tokens[number].text not in "{;":
            if self.tokens[number].text not in ("inline", "namespace"):
                name.append(self.tokens[number].text)
            number += 1
        return ("".join(name) if self.tokens[number].text == "{" else None), number + 1

    def _declaration(self, begin: int, namespaces: Sequence[str]) -> int:
        """Read one declaration, and return the token behind it."""
        header: list[int] = []
        number, body = begin, None
        if self.tokens[begin].text == "template" and self.source.is_mark(begin + 1, "<"):
            number = self.source.close_angle(begin + 1) + 1
            header += range(begin, number)
        is_kernel = False
        parentheses: int | None = None
        while True:
            if number >= len(self.tokens):
                raise MetalSourceError(f"{self.source.place(begin)}: a declaration does not end")
            text = self.tokens[number].text
            if number in self.attributes:
                last = self.attributes[number]
                is_kernel |= any(self.tokens[one].text == "kernel" for one in range(number, last))
                number = last + 1
                continue
            if text == ";":
                break
            if text == "{":
                body = number
                number = self.source.matches[number]
                if parentheses is not None or not self._goes_on(number):
                    break
            elif text == "(":
                if parentheses is None and self.tokens[number - 1].text not in _WITH_PARENTHESES:
                    parentheses = number
                header += range(number, self.source.matches[number] + 1)
                number = self.source.matches[number] + 1
                continue
            is_kernel |= text == "kernel"
            header.append(number)
            number += 1
        if is_kernel:
            self._kernel(begin, number, header, parentheses, body, namespaces)
        return number + 1

    def _goes_on(self, closing: int) -> bool:
        """Return whether more belongs to a declaration whose brace closes here: a structure's `;`, or a value."""
        return (
            closing + 1 < len(self.tokens)
            and (self.tokens[closing + 1].text in ";,=[" or self.tokens[closing + 1].is_word)
            and self._semicolon_comes_first(closing + 1)
        )

    def _semicolon_comes_first(self, number: int) -> bool:
        while number < len(self.tokens) and self.tokens[number].text not in ";{(":
            number += 1
        return self.source.is_mark(number, ";")

    def _kernel(
        self,
        begin: int,
        end: int,
        header: Sequence[int],
        parentheses: int | None,
        body: int | None,
        namespaces: Sequence[str],
    ) -> None:
        is_template = self.tokens[header[0]].text == "template"
        is_instantiation = is_template and not self.source.is_mark(header[1], "<")
        for number in header:
            if self.tokens[number].text == "kernel" and (parentheses is None or number < parentheses):
                self.edits.append((self.tokens[number].begin, self.tokens[number].end, ""))
        if is_instantiation:
            self.edits.append((self.tokens[begin].begin, self.tokens[end].end, ""))
        name = self._name(header, parentheses)
        callee = "::".join(["", *namespaces, name]) if not name.startswith("::") else name
        place = self.source.place(begin)
        host_name = self._host_name(begin, parentheses if parentheses is not None else end)
        parameters = [] if parentheses is None else self._parameters(parentheses)
        declarations = tuple(one.declaration for one in parameters)
        if is_instantiation:
            self.entries.append(
                KernelEntry(
                    host_name or name, callee, declarations if parentheses is not None else None, place
                )
            )
            return
        if body is None:
            return  # Declared before it is defined.
        before = self.variables
        self._threadgroup_variables(body, self.source.matches[body])
        self.kernels.append(
            Kernel(callee, tuple(_numbered(parameters)), is_template, self.variables > before, place)
        )
        if not is_template:
            self.entries.append(KernelEntry(host_name or name, callee, declarations, place))

    def _name(self, header: Sequence[int], parentheses: int | None) -> str:
        """Return the function's name with its template's arguments: what stands before the parameters."""
        last = len(header) if parentheses is None else header.index(parentheses)
        first = last
        depth = 0
        while first > 0:
            text = self.tokens[header[first - 1]].text
            depth += {">": 1, "<": -1}.get(text, 0)
            if depth == 0 and not (text in "<::" or self._is_name(header, first - 1, first < last)):
                break
            first -= 1
        name = "".join(f"{self.tokens[one].text} " for one in header[first:last])
        return (
            name.strip().replace(" ", "")
            if "<" not in name
            else name.strip().replace(" ::", "::").replace(":: ", "::")
        )

    def _is_name(self, header: Sequence[int], at: int, has_more: bool) -> bool:
        """Return whether a word belongs to a name: `fn`, or `ns` before `::`, and not the type before it."""
        token = self.tokens[header[at]]
        if not token.is_word:
            return False
        return not has_more or self.tokens[header[at + 1]].text in ("<", "::")

    def _host_name(self, begin: int, end: int) -> str | None:
        for first, last in self.attributes.items():
            if begin <= first <= end and self.tokens[first + 2].text == "host_name":
                return "".join(
                    self.tokens[one].text[1:-1]
                    for one in range(first, last)
                    if self.tokens[one].text[0] == '"'
                )
        return None

    def _parameters(self, parentheses: int) -> list[Parameter]:
        inside = range(parentheses + 1, self.source.matches[parentheses])
        return [self._parameter(part) for part in self.source.split(inside)]

    def _parameter(self, numbers: Sequence[int]) -> Parameter:
        kind, index, kept = None, None, []
        skip_to = -1
        for number in numbers:
            if number in self.attributes:
                skip_to = self.attributes[number]
                for name, value in self._attributes_in(number, skip_to):
                    if name in _INDEXED:
                        if value is None or not value.isdigit() or int(value) >= BUFFERS:
                            raise NotCarried(
                                f"[[{name}({value})]] in a Metal shader ({self.source.place(number)})"
                            )
                        kind, index = name, int(value)
                    elif name in _POSITIONS:
                        kind = name
                    elif name not in _WITHOUT_EFFECT:
                        raise NotCarried(f"[[{name}]] in a Metal shader ({self.source.place(number)})")
            elif number > skip_to:
                kept.append(number)
        return Parameter(kind, index, self.source.join(kept))

    def _attributes_in(self, first: int, last: int) -> Iterator[tuple[str, str | None]]:
        """Yield name and argument of each attribute between double brackets."""
        for part in self.source.split(range(first + 2, last - 1)):
            name = self.tokens[part[0]].text
            yield name, (self.source.join(part[2:-1]) if len(part) > 3 else None)

    # ---- threadgroup memory

    def _threadgroup_variables(self, begin: int, end: int) -> None:
        """Make references of the variables that a kernel declares in threadgroup memory: one for all its threads."""
        for number in range(begin + 1, end):
            if self.tokens[number].text == "threadgroup" and self.tokens[number - 1].text in "{};":
                last = number
                while self.tokens[last].text != ";":
                    last = self.source.matches.get(last, last) + 1
                parts = self.source.split(range(number + 1, last))
                if not any(self._points(part) for part in parts):
                    self._declare_variables(number, last, parts)

    def _points(self, part: Sequence[int]) -> bool:
        """Return whether a declaration makes a pointer or a reference into threadgroup memory, or a value."""
        depth = 0
        for number in part:
            text = self.tokens[number].text
            depth += {"<": 1, ">": -1}.get(text, 0)
            if depth == 0 and text in "*&=":
                return True
        return False

    def _declare_variables(self, first: int, last: int, parts: Sequence[Sequence[int]]) -> None:
        kind = ""
        text = []
        for place, part in enumerate(parts):
            bracket = next(
                (at for at, one in enumerate(part) if at > 0 and self._opens_bounds(part, at)), len(part)
            )
            name, bounds = self.tokens[part[bracket - 1]].text, self.source.join(part[bracket:])
            if place == 0:
                kind = self.source.join(part[: bracket - 1])
            made = f"metal_variable_{self.variables}"
            text.append(
                f"typedef {kind} {made} {bounds}; auto& {name} = metal::shim::variable<{made}>({self.variables});"
            )
            self.variables += 1
        self.edits.append((self.tokens[first].begin, self.tokens[last].end, " ".join(text)))

    def _opens_bounds(self, part: Sequence[int], at: int) -> bool:
        """Return whether an array's bounds begin here: the bracket is in no template's argument."""
        before = [self.tokens[one].text for one in part[:at]]
        return self.tokens[part[at]].text == "[" and before.count("<") == before.count(">")


def _numbered(parameters: Sequence[Parameter]) -> Iterator[Parameter]:
    """Give an index to the parameters that have none: the next that is free, as Metal does."""
    taken = {(one.kind, one.index) for one in parameters}
    for one in parameters:
        if one.kind is not None:
            yield one
            continue
        kind = "threadgroup" if one.declaration.split()[:1] == ["threadgroup"] else "buffer"
        index = next(free for free in range(BUFFERS) if (kind, free) not in taken)
        taken.add((kind, index))
        yield Parameter(kind, index, one.declaration)
