"""Write what describes records from the types and comments in `stress.record.schema`: their JSON Schema, and tables.

The schema is `results/record.schema.json`; the tables of fields stand between two marks in `results/README.md`.

python -m tools.record_schema --write     # after a change of a field
python -m tools.record_schema --check     # exit status 1 where the file is out of date
"""

from __future__ import annotations

import argparse
import ast
import inspect
import json
import types
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from typing import Literal
from typing import NotRequired
from typing import Union
from typing import get_args
from typing import get_origin
from typing import get_type_hints

from stress.model.verdict import Verdict
from stress.record import schema

FILE = Path(__file__).resolve().parent.parent / "results" / "record.schema.json"
README = FILE.with_name("README.md")
BEGIN, END = "<!-- fields: made by python -m tools.record_schema --write -->\n", "<!-- end of fields -->\n"
DIALECT = "https://json-schema.org/draft/2020-12/schema"
_SCALARS: dict[object, dict[str, Any]] = {
    int: {"type": "integer"},
    float: {"type": "number"},
    str: {"type": "string"},
    bool: {"type": "boolean"},
    type(None): {"type": "null"},
    object: {},
    schema.SideFile: {"$ref": "#/$defs/side_file"},
    schema.VerdictName: {"enum": [str(one) for one in Verdict]},
}
_SIDE_FILE = {
    "description": "Plain name of a file beside the record.",
    "type": "string",
    "pattern": f"^{schema.SIDE_NAME.pattern}$",
    "not": {"pattern": r"\.\.|\.jsonl$"},
}


def document() -> dict[str, Any]:
    """Return the schema of one line. Keys that it does not list are allowed, and so are kinds, as for any reader."""
    kinds = schema.TYPES
    return {
        "$schema": DIALECT,
        "title": "A line of a record of mps-stress",
        "description": "Lines are described in results/README.md. Keys and kinds that are not listed here may come.",
        "type": "object",
        "required": ["v", "kind", "run", "time"],
        "properties": {"v": {"const": schema.SCHEMA_VERSION}, "kind": {"type": "string"}},
        "allOf": [
            {"if": {"properties": {"kind": {"const": kind}}}, "then": {"$ref": f"#/$defs/{kind}"}}
            for kind in kinds
        ],
        "$defs": {**{kind: _record(its_type) for kind, its_type in kinds.items()}, "side_file": _SIDE_FILE},
    }


def _record(record_type: type) -> dict[str, Any]:
    hints = get_type_hints(record_type, include_extras=True)
    comments = _comments()
    names = [base.__name__ for base in (schema.Common, record_type)]
    fields = {}
    for field, hint in hints.items():
        told = next((comments[name][field] for name in names if field in comments[name]), None)
        fields[field] = {**({"description": told} if told else {}), **_of(hint)}
    return {
        "description": inspect.cleandoc(record_type.__doc__ or ""),
        "properties": fields,
        "required": [field for field, hint in hints.items() if get_origin(hint) is not NotRequired],
    }


def _of(hint: Any) -> dict[str, Any]:
    """Return the schema of one of the few annotations that `stress.record.schema` uses."""
    if hint in _SCALARS:
        return _SCALARS[hint]
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is NotRequired:
        return _of(arguments[0])
    if origin is Literal:
        return {"const": arguments[0]} if len(arguments) == 1 else {"enum": list(arguments)}
    if origin in (Union, types.UnionType):
        return {"anyOf": [_of(one) for one in arguments]}
    if origin is list:
        return {"type": "array", "items": _of(arguments[0])}
    if origin is dict:
        return {"type": "object", "additionalProperties": _of(arguments[1])}
    raise TypeError(f"no JSON Schema for annotation {hint}")


def _comments() -> dict[str, dict[str, str]]:
    """Return class -> field -> the text that stands below the field, which is no docstring to Python."""
    found: dict[str, dict[str, str]] = {}
    for node in ast.parse(inspect.getsource(schema)).body:
        if isinstance(node, ast.ClassDef):
            fields = found.setdefault(node.name, {})
            for field, text in zip(node.body, node.body[1:], strict=False):
                if (
                    isinstance(field, ast.AnnAssign)
                    and isinstance(field.target, ast.Name)
                    and isinstance(text, ast.Expr)
                    and isinstance(text.value, ast.Constant)
                ):
                    fields[field.target.id] = " ".join(str(text.value.value).split())
    return found


def text() -> str:
    return json.dumps(document(), indent=1) + "\n"


def tables() -> str:
    """Return a table of fields for what all records have, and one for each kind."""
    kinds = ", ".join(f"`{one}`" for one in schema.KINDS)
    said = f"All records have a `kind` ({kinds}), `simulated` = true in a run on the simulated device or on core, and"
    parts = [f"{said}\n\n{_table(schema.Common, skip=frozenset())}"]
    common = frozenset(schema.Common.__annotations__)
    for kind, record_type in schema.TYPES.items():
        said = " ".join(inspect.cleandoc(record_type.__doc__ or "").split())
        parts.append(f"`{kind}`: {said}\n\n{_table(record_type, skip=common | {'kind', 'simulated'})}")
    return "\n" + "\n".join(parts) + "\n"


def _table(record_type: type, skip: frozenset[str]) -> str:
    hints = get_type_hints(record_type, include_extras=True)
    comments = _comments()[record_type.__name__]
    rows, plain = [], []
    for field, hint in hints.items():
        name = f"`{field}`{' ?' if get_origin(hint) is NotRequired else ''}"
        if field in skip:
            continue
        if field in comments:
            rows.append(f"| {name} | {comments[field].replace('|', chr(92) + '|')} |\n")
        else:
            plain.append(name)
    more = f"\nAlso {', '.join(plain)}.\n" if plain else ""
    return "".join(["| field | meaning |\n| --- | --- |\n", *rows, more]) if rows else more.lstrip("\n")


def readme() -> str:
    """Return results/README.md with its tables as they are to be."""
    text = README.read_text()
    return f"{text[: text.index(BEGIN)]}{BEGIN}{tables()}{END}{text.partition(END)[2]}"


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument("--write", action="store_true")
    which.add_argument("--check", action="store_true")
    if parser.parse_args(argv).write:
        FILE.write_text(text())
        README.write_text(readme())
        return 0
    if FILE.read_text() == text() and README.read_text() == readme():
        return 0
    print(f"{FILE} or {README} is out of date: python -m tools.record_schema --write")
    return 1


if __name__ == "__main__":
    raise SystemExit(main())
