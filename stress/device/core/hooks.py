"""Write the adapter between libtorch and the tree's hooks, whose interfaces may differ.

libtorch calls the MPS backend through `MPSHooksInterface`, by a function's place in the table. A tree of another version,
or a fork, may have a function more in the middle. So the tree is compiled with its own interface under another name, and
an object with the installed torch's interface passes every call on, by name.
"""

from __future__ import annotations

import re
from pathlib import Path

from stress.device.core.versions import virtual_functions

RENAMED = (
    "MPSHooksInterface",
    "MPSHooksRegistry",
    "RegistererMPSHooksRegistry",
    "MPSHooksArgs",
    "getMPSHooks",
)
"""Names of the tree's interface; with `_of_tree` they are apart from those of the installed torch."""
RENAMING_FLAGS = tuple(f"-D{name}={name}_of_tree" for name in RENAMED)
_INTERFACES = ("AcceleratorHooksInterface", "MPSHooksInterface")
_SIGNATURE = re.compile(r"(?P<result>.+?)\b(?P<name>\w+)\((?P<types>.*)\)(?P<const> const)?")

_TEXT = """\
// Written by mps-stress: the installed torch's interface, in front of the tree's.
#include "{installed}"
{defines}
#include "{tree}"
{undefines}
#include <new>

namespace {{

struct Adapter final : at::MPSHooksInterface {{
  static const at::MPSHooksInterface_of_tree& of_tree() {{ return at::detail::getMPSHooks_of_tree(); }}
{functions}
}};

// libtorch makes its hooks at their first use, which may have been before this library was loaded: so the object is replaced,
// not only its maker. It has nothing but its table of functions.
static_assert(sizeof(Adapter) == sizeof(at::MPSHooksInterface));
__attribute__((constructor)) void replace() {{
  new (const_cast<at::MPSHooksInterface*>(&at::detail::getMPSHooks())) Adapter;
}}

}}  // namespace
"""
_FUNCTION = """\
  {result}{name}({parameters}) const override {{
    return [&](const auto& tree) -> {result}{{
      if constexpr (requires {{ tree.{name}({arguments}); }}) {{
        return tree.{name}({arguments});
      }} else {{
        return at::MPSHooksInterface::{name}({arguments});
      }}
    }}(of_tree());
  }}"""


def adapter(tree_header: Path, include: Path) -> str:
    """Return the adapter's source for the tree's header and the folder of the installed torch's headers."""
    detail = include / "ATen" / "detail"
    functions: dict[str, str] = {}
    for interface in _INTERFACES:
        text = (detail / f"{interface}.h").read_text(encoding="utf-8")
        for signature in virtual_functions(text, interface) or ():
            found = _SIGNATURE.fullmatch(signature)
            if found is not None and found["const"] and "~" not in signature:
                functions[found["name"]] = _function(found["result"], found["name"], found["types"])
    return _TEXT.format(
        installed=detail / "MPSHooksInterface.h",
        tree=tree_header,
        defines="\n".join(f"#define {name} {name}_of_tree" for name in RENAMED),
        undefines="\n".join(f"#undef {name}" for name in RENAMED),
        functions="\n".join(functions.values()),
    )


def _function(result: str, name: str, types: str) -> str:
    parts = [one.strip() for one in types.split(",")] if types else []
    result = result.strip()
    return _FUNCTION.format(
        # Types of the interface are at::'s.
        result=f"{_qualified(result)} ",
        name=name,
        parameters=", ".join(f"{_qualified(one)} a{number}" for number, one in enumerate(parts)),
        arguments=", ".join(f"a{number}" for number in range(len(parts))),
    )


def _qualified(text: str) -> str:
    return re.sub(r"\b(?:Generator|Allocator|DeviceIndex|Device|Stream)\b", r"at::\g<0>", text)
