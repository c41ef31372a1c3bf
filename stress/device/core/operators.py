"""A tree's own operators: which of its sources are compiled, which families stay with torch's CPU kernels, and their names.

A family is a file of `ATen/native/mps/operations`, or some of its functions. What a family that is not carried would need
(a part of MPSGraph or MPS that has no interpreter yet) ends the process with its name; so its operators are not registered,
and torch's CPU kernels run on the tree's stream in their place, as with `--mps-core-operators=cpu`.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Collection
from collections.abc import Iterable
from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from stress.device.core.sources import CoreSource
from stress.device.core.tree import OPERATIONS
from stress.device.core.tree import OPERATIONS_USED
from stress.model.errors import BuildError

_SUFFIXES = (".mm", ".cpp")
_NATIVE = re.compile(rb"_ZNK?2at6native(?P<length>\d+)(?P<rest>\w+)")
_STRUCTURED = "structured_"
_NM_TIMEOUT_S = 120.0


@dataclass(frozen=True)
class Family:
    """Operators that are not carried yet."""

    name: str
    """As a person reads it in the header."""
    files: tuple[str, ...] = ()
    """Names in `operations/`, without suffix."""
    functions: tuple[str, ...] = ()
    """Of files that are carried otherwise."""


NOT_CARRIED = (Family("RNN", files=("RnnOps",)),)


def operator_sources(tree: Path) -> list[CoreSource]:
    """Return the sources of the tree's operators that are carried, without those that every core has."""
    left_out = {stem for family in NOT_CARRIED for stem in family.files}
    found = sorted(one for one in (tree / OPERATIONS).glob("*") if one.suffix in _SUFFIXES)
    return [
        CoreSource(one, one.relative_to(tree).as_posix(), is_of_tree=True)
        for one in found
        if one.name not in OPERATIONS_USED and one.stem not in left_out
    ]


def left_out_families(tree: Path, failed: Iterable[CoreSource]) -> tuple[str, ...]:
    """Return the names of families that stay with the CPU's kernels: those not carried, and files that do not compile."""
    present = {one.stem for one in (tree / OPERATIONS).glob("*")}
    known = [one.name for one in NOT_CARRIED if one.functions or present.intersection(one.files)]
    return (*known, *(_readable(one.path.stem) for one in failed))


def left_out_functions(kernels: Mapping[str, str], defined: Collection[str]) -> set[str]:
    """Return the functions that must not be registered: of families that are not carried, or defined nowhere."""
    named = {one for family in NOT_CARRIED for one in family.functions}
    return {one for one in kernels.values() if one in named or one.rpartition("::")[2] not in defined}


def defined_functions(nm: Path, objects: Sequence[Path], libraries: Sequence[Path]) -> set[str]:
    """Return the names in at::native that these define; of structured kernels without the prefix of their class."""
    listed = [
        _listed([str(nm), "--defined-only", *map(str, objects)]),
        *(_listed([str(nm), "-D", "--defined-only", str(one)]) for one in libraries),
    ]
    return {name for text in listed for name in _names(text)}


def _names(text: bytes) -> Iterator[str]:
    for found in _NATIVE.finditer(text):
        rest = found["rest"].decode()
        yield rest[: int(found["length"])].removeprefix(_STRUCTURED)


def _listed(command: Sequence[str]) -> bytes:
    try:
        done = subprocess.run(command, capture_output=True, timeout=_NM_TIMEOUT_S, check=True)
    except (OSError, subprocess.SubprocessError) as error:
        raise BuildError(f"{command[0]} cannot list what was compiled ({error})") from error
    return done.stdout


def _readable(stem: str) -> str:
    """Return a file's name as words: "RnnOps" as "rnn ops"."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", " ", stem).lower()
