"""The end of a translated Metal library: one function for each kernel that the host can name, and the library's table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from stress.device.core.shader_tokens import NotCarried


@dataclass(frozen=True)
class Parameter:
    """One parameter of a kernel: where its value comes from, and its declaration without attributes."""

    kind: str | None
    index: int | None
    declaration: str


@dataclass(frozen=True)
class Kernel:
    """A kernel that is defined, as a template or plainly."""

    name: str
    """As it is called from the end of the text, with its namespaces."""
    parameters: tuple[Parameter, ...]
    is_template: bool
    has_variables: bool
    place: str


@dataclass(frozen=True)
class KernelEntry:
    """What the host finds under a name."""

    host_name: str
    callee: str
    """The function, with its template's arguments."""
    declarations: tuple[str, ...] | None
    """Of the parameters, as the instantiation has them; None where it names none."""
    place: str


def entries_text(entries: Sequence[KernelEntry], kernels: Sequence[Kernel]) -> str:
    """Return the C++ behind the library's text; raise `NotCarried` where an entry's kernel is not found."""
    rows = ", ".join(f"&metal_entry_of_{number}" for number in range(len(entries)))
    return (
        "".join(_entry(number, one, _definition(one, kernels)) for number, one in enumerate(entries))
        + '# 1 "the table of the kernels"\n'
        + f"static const metal_abi::Entry* const metal_entries[] = {{{rows or 'nullptr'}}};\n"
        + 'extern "C" {\nextern const metal_abi::Library metal_library;\n'
        + '__attribute__((visibility("default"))) const metal_abi::Library metal_library = '
        + f"{{metal_abi::kVersion, {len(entries)}, metal_entries, __ehdr_start, _end}};\n}}\n"
    )


def _definition(entry: KernelEntry, kernels: Sequence[Kernel]) -> Kernel:
    name = entry.callee.split("<")[0].strip()
    same = [one for one in kernels if one.name == name]
    if entry.declarations is not None and len(same) > 1:
        same = [one for one in same if len(one.parameters) == len(entry.declarations)]
    if len(same) != 1:
        what = "is not defined in this library" if not same else "is overloaded with as many parameters"
        raise NotCarried(f"a Metal kernel that {what}: {name} ({entry.place})")
    return same[0]


def _entry(number: int, entry: KernelEntry, definition: Kernel) -> str:
    if entry.declarations is None:
        signature = f"decltype({entry.callee})"
    else:
        signature = f"decltype(metal_signature_{number})"
    arguments = ", ".join(
        f"metal::shim::parameter<metal::shim::parameter_of<{signature}, {at}>, metal::shim::Kind::{one.kind}, {one.index or 0}>(self)"
        for at, one in enumerate(definition.parameters)
    )
    made = (
        ""
        if entry.declarations is None
        else f"void metal_signature_{number}({', '.join(_for_host(one) for one in entry.declarations)});\n"
    )
    sizes = ", ".join(
        f"[{one.index}] = metal::shim::structure_bytes<metal::shim::parameter_of<{signature}, {at}>>()"
        for at, one in sorted(enumerate(definition.parameters), key=lambda item: item[1].index or 0)
        if one.kind == "buffer"
    )
    return (
        f'# 1 "kernel {entry.host_name}"\n{made}static void metal_entry_{number}(metal_abi::Thread& self) '
        f"{{ {entry.callee}({arguments}); }}\n"
        f'static const metal_abi::Entry metal_entry_of_{number} = {{"{entry.host_name}", metal_entry_{number}, '
        f"{{{sizes}}}, {int(definition.has_variables)}}};\n"
    )


def _for_host(declaration: str) -> str:
    """Return a parameter's declaration without the words of address spaces, whose macros are gone behind the text."""
    words = {"constant": "const", "device": "", "thread": "", "threadgroup": ""}
    return " ".join(one for word in declaration.split() if (one := words.get(word, word)))
