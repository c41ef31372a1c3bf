"""Known failures as data: `results/known/*.toml`, the package's and the user's own, matched by text that is stable across macOS versions.

The form is that of Go's watchflakes: patterns under version control with links to the issues, the first
match in file order names the failure, and what matches nothing stays loudly unnamed.

Matching is bounded by construction, because the text is what a dying process left (maybe gigabytes of one
letter): the text is cut, lines are cut, and `signature_file` takes no pattern whose cost has no bound.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import NamedTuple

from stress.diagnose.signature_file import Signature
from stress.diagnose.signature_file import SignatureError
from stress.diagnose.signature_file import load_file
from stress.model.shipped import shipped

TEXT_CHARS_MAX = 1_000_000  # Kept at each end of a text.
LINE_CHARS_MAX = 2_000  # Kept at each end of a line.

OWN_FOLDER = ("results", "known")
"""Where a user's own signatures lie, from the project's folder: beside `results/runs`."""


class SignatureMatch(NamedTuple):
    signature: Signature
    line: str
    """The line, frame or stack line that matched."""


def load_signatures(folders: Sequence[Path] | None = None) -> list[Signature]:
    """Return the signatures of all `*.toml` in `folders`, in order of file name within each folder.

    By default the ones that came with this package and then the user's own (`own_folder`); of an id that both have, the
    package's. Raise `SignatureError` for anything wrong in a file.
    """
    if folders is None:
        return list(default_signatures())
    signatures, fixes = _read(folders)
    if unknown := sorted(set(fixes) - set(signatures)):
        raise SignatureError(f"{fixes[unknown[0]].path}: fixed: no signature has the id {unknown[0]!r}")
    return list(_with_fixes(signatures, fixes).values())


class _Fix(NamedTuple):
    """A `[[fixed]]` table."""

    version: str
    path: Path


def _with_fixes(signatures: Mapping[str, Signature], fixes: Mapping[str, _Fix]) -> dict[str, Signature]:
    return {
        name: replace(one, fixed=fixes[name].version) if name in fixes else one
        for name, one in signatures.items()
    }


def _read(folders: Sequence[Path]) -> tuple[dict[str, Signature], dict[str, _Fix]]:
    """Return signatures and fixes by id."""
    signatures: dict[str, Signature] = {}
    fixes: dict[str, _Fix] = {}
    origin: dict[str, Path] = {}
    for folder in folders:
        for path in sorted(folder.glob("*.toml")):
            found, fixed = load_file(path)
            fixes.update((name, _Fix(version, path)) for name, version in fixed.items())
            for signature in found:
                if signature.id in signatures:
                    raise SignatureError(f"{path}: id {signature.id!r} is already in {origin[signature.id]}")
                signatures[signature.id] = signature
                origin[signature.id] = path
    return signatures, fixes


def default_signatures() -> tuple[Signature, ...]:
    """Return the shipped signatures and those of the user's own folder, read once per process and folder."""
    return _signatures_with(own_folder())


@cache
def _signatures_with(own: Path | None) -> tuple[Signature, ...]:
    found, fixes = _read([default_folder()])
    if own is not None:
        # A user may say that a shipped one is fixed for him.
        users, users_fixes = _read([own])
        fixes.update(users_fixes)
        for name, one in users.items():
            found.setdefault(name, one)
    if unknown := sorted(set(fixes) - set(found)):
        raise SignatureError(f"{fixes[unknown[0]].path}: fixed: no signature has the id {unknown[0]!r}")
    return tuple(_with_fixes(found, fixes).values())


def own_folder() -> Path | None:
    """Return the nearest `results/known` of the current folder or one above it; None where there is none but the shipped."""
    try:
        here = Path.cwd()
    except OSError:  # it was removed
        return None
    for folder in (here, *here.parents):
        own = folder.joinpath(*OWN_FOLDER)
        if own.is_dir():
            return None if own.resolve() == default_folder().resolve() else own
    return None


def default_folder() -> Path:
    """Return the folder of the signatures: inside an installed wheel, else in the checkout."""
    folder = shipped("results", "known")
    if not folder.is_dir():
        raise SignatureError(f"no signatures in {folder}: the installation of mps-stress is incomplete")
    return folder


def match(
    text: str,
    frames: Sequence[str] = (),
    signal: str | None = None,
    *,
    fault: str = "",
    stacks: str = "",
    signatures: Sequence[Signature] | None = None,
) -> Signature | None:
    """Return the signature that names a failure, or None. See `find_all` for the arguments."""
    found = find_all(text, frames, signal, fault=fault, stacks=stacks, signatures=signatures)
    return found[0].signature if found else None


def match_all(
    text: str,
    frames: Sequence[str] = (),
    signal: str | None = None,
    *,
    fault: str = "",
    stacks: str = "",
    signatures: Sequence[Signature] | None = None,
) -> list[Signature]:
    """Return all signatures that match, the one that names the failure first."""
    found = find_all(text, frames, signal, fault=fault, stacks=stacks, signatures=signatures)
    return [each.signature for each in found]


def find_all(
    text: str,
    frames: Sequence[str] = (),
    signal: str | None = None,
    *,
    fault: str = "",
    stacks: str = "",
    signatures: Sequence[Signature] | None = None,
) -> list[SignatureMatch]:
    """Return all matches with the line that matched: of `text` first, then of `frames`, then of `stacks`.

    `frames` are the crashed thread's, innermost first, as "image symbol + offset"; `signal` is a name and
    only excludes matches by frames; `fault` is the exception text of a crash report; `stacks` are those
    of a hang. Within each kind of evidence the file order decides.
    """
    known = default_signatures() if signatures is None else signatures
    text = bounded(text)
    stacks = bounded(stacks)
    frames = [frame[:LINE_CHARS_MAX] for frame in frames[: max((s.frames_depth for s in known), default=0)]]
    fault = fault[:LINE_CHARS_MAX]
    found = [
        SignatureMatch(s, line) for s in known if s.pattern and (line := _line(s.pattern, text)) is not None
    ]
    found += [
        SignatureMatch(s, line) for s in known if (line := _frame(s, frames, signal, fault)) is not None
    ]
    found += [
        SignatureMatch(s, line) for s in known if s.stacks and (line := _line(s.stacks, stacks)) is not None
    ]
    unique: dict[str, SignatureMatch] = {}
    for each in found:
        unique.setdefault(each.signature.id, each)
    return list(unique.values())


def bounded(text: str) -> str:
    """Return `text` with its middle and the middles of long lines left out."""
    if len(text) > 2 * TEXT_CHARS_MAX:
        text = f"{text[:TEXT_CHARS_MAX]}\n{text[-TEXT_CHARS_MAX:]}"
    return "\n".join(
        line if len(line) <= 2 * LINE_CHARS_MAX else f"{line[:LINE_CHARS_MAX]} ... {line[-LINE_CHARS_MAX:]}"
        for line in text.splitlines()
    )


def _line(pattern: re.Pattern[str], text: str) -> str | None:
    found = pattern.search(text)
    if found is None:
        return None
    start = text.rfind("\n", 0, found.start()) + 1
    lines = text[start : found.end() + 2 * (2 * LINE_CHARS_MAX)].split("\n", 2)
    if len(lines) > 1 and lines[1].lstrip().startswith("what():"):
        return f"{lines[0].strip()} {lines[1].strip()}"  # libstdc++ puts the reason on a separate line.
    return lines[0].strip()


def _frame(signature: Signature, frames: Sequence[str], signal: str | None, fault: str) -> str | None:
    if signal is not None and signature.signals and signal not in signature.signals:
        return None
    if signature.fault is not None and not signature.fault.search(fault):
        return None
    called = ""
    for frame in frames[: signature.frames_depth]:
        is_under = signature.under is None or signature.under.search(called)
        if is_under and any(pattern.search(frame) for pattern in signature.frames):
            return frame
        called = frame
    return None
