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

namespace at::mps::detail {{
[[gnu::weak]] Generator createMPSGenerator(uint64_t seed);  // A tree may have none.
}}

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
_ADDED_LATER = {
    "isBuilt": "return true;",
    "isAvailable": "return of_tree().hasMPS();",
    "deviceCount": "return of_tree().hasMPS() ? 1 : 0;",
    "getCurrentDevice": "return 0;",
    "setCurrentDevice": "",
    "exchangeDevice": "return 0;",
    "maybeExchangeDevice": "return 0;",
    "getNewGenerator": "return at::mps::detail::createMPSGenerator(c10::default_rng_seed_val);",
    "getDeviceFromPtr": "return {at::DeviceType::MPS, 0};",
}
"""What the hooks of all accelerators have since, and an older tree's do not: its one device, as torch knew it then."""
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


def adapter(headers: Path, include: Path) -> str:
    """Return the adapter's source for the folders of the tree's headers and of the installed torch's."""
    tree_header = headers / "ATen" / "detail" / "MPSHooksInterface.h"
    known = " ".join(
        one.read_text(encoding="utf-8", errors="replace")
        for one in (tree_header, headers / "ATen" / "mps" / "MPSHooks.h")
        if one.is_file()
    )
    detail = include / "ATen" / "detail"
    functions: dict[str, str] = {}
    for interface in _INTERFACES:
        text = (detail / f"{interface}.h").read_text(encoding="utf-8")
        for signature in virtual_functions(text, interface) or ():
            found = _SIGNATURE.fullmatch(signature)
            if found is not None and found["const"] and "~" not in signature:
                body = None if re.search(rf"\b{found['name']}\b", known) else _ADDED_LATER.get(found["name"])
                functions[found["name"]] = _function(found["result"], found["name"], found["types"], body)
    return _TEXT.format(
        installed=detail / "MPSHooksInterface.h",
        tree=tree_header,
        defines="\n".join(f"#define {name} {name}_of_tree" for name in RENAMED),
        undefines="\n".join(f"#undef {name}" for name in RENAMED),
        functions="\n".join(functions.values()),
    )


def _function(result: str, name: str, types: str, body: str | None) -> str:
    """Return one function of the adapter; without a `body` it passes the call on to the tree."""
    parts = [one.strip() for one in types.split(",")] if types else []
    result = f"{_qualified(result.strip())} "  # Types of the interface are at::'s.
    parameters = ", ".join(f"{_qualified(one)} a{number}" for number, one in enumerate(parts))
    if body is not None:
        return f"  {result}{name}({parameters}) const override {{ {body} }}"
    arguments = ", ".join(f"a{number}" for number in range(len(parts)))
    return _FUNCTION.format(result=result, name=name, parameters=parameters, arguments=arguments)


def _qualified(text: str) -> str:
    return re.sub(r"\b(?:Generator|Allocator|DeviceIndex|Device|Stream)\b", r"at::\g<0>", text)
