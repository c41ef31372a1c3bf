"""Known failures as data: `results/known/*.toml`, the package's and the user's own, matched by text that is stable across macOS versions.

A `[[fixed]]` table says in which torch a failure was fixed: seen on that one or a later one, it is back.

The form is that of Go's watchflakes: patterns under version control with links to the issues, the first
match in file order names the failure, and what matches nothing stays loudly unnamed.

Matching is bounded by construction, because the text is what a dying process left (maybe gigabytes of one
letter): the text is cut, lines are cut, and a pattern may neither repeat without a bound nor repeat a group.
"""

from __future__ import annotations

import re
import signal
import tomllib
from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import dataclass
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import NamedTuple

from stress.model.errors import UserError
from stress.model.shipped import shipped
from stress.model.torch_version import has_fix
from stress.model.torch_version import version_key

TEXT_CHARS_MAX = 1_000_000  # Kept at each end of a text.
LINE_CHARS_MAX = 2_000  # Kept at each end of a line.
PATTERN_CHARS_MAX = 1_000
REPEATS_MAX = 10_000  # Product of all upper bounds in a pattern: steps per position of the text.

OWN_FOLDER = ("results", "known")
"""Where a user's own signatures lie, from the project's folder: beside `results/runs`."""

CONDITIONS = ("signal-after-body", "report-after-exit-0", "sigkill-not-ours")

_ID = re.compile(r"[a-z0-9-]{1,40}/[a-z0-9-]{1,60}")
_REQUIRED = frozenset({"id", "meaning", "links"})
_SINCE = re.compile(r"\d{4}(?:-\d{2}(?:-\d{2})?)?")
_TEXTS = frozenset({"id", "meaning", "since", "next", "pattern", "fault", "under", "stacks", "condition"})
_LISTS = frozenset({"links", "signals", "frames"})
_KEYS = _TEXTS | _LISTS | {"taints", "frames_depth"}
_FIXED_KEYS = frozenset({"id", "in", "link"})
_EVIDENCE = ("pattern", "frames", "stacks", "condition")


class SignatureError(UserError):
    """A file of signatures is wrong; the text names file, signature and key."""


@dataclass(frozen=True)
class Signature:
    """One class of known failures."""

    id: str
    meaning: str
    """One sentence for a user."""
    links: tuple[str, ...]
    signals: tuple[str, ...] = ()
    """Usual signals. Text is matched whatever the signal: a crash handler turns SIGABRT into SIGSEGV."""
    next: str = ""
    """What the user can try."""
    since: str = ""
    """Date of the first public report that we have read, as far as it is known: "2025-11"."""
    taints: bool = False
    """Values computed after this text cannot be trusted, whatever the exit status."""
    pattern: re.Pattern[str] | None = None
    """Matched against stderr and the texts of crash reports."""
    frames: tuple[re.Pattern[str], ...] = ()
    """Each matched against the first `frames_depth` frames of the crashed thread; any may match."""
    frames_depth: int = 1
    fault: re.Pattern[str] | None = None
    """Must match the exception text of the crash report too, if given."""
    under: re.Pattern[str] | None = None
    """Must match what the frame called, if given: "MTLReportFailure" makes of any crash in a method a refusal by it."""
    stacks: re.Pattern[str] | None = None
    """Matched against the stacks of a hang."""
    condition: str | None = None
    """One of `CONDITIONS`: how the process ended, which no text shows."""
    fixed: str = ""
    """Version of torch in which a `[[fixed]]` table says that it was fixed: "2.8.0"."""

    def returned(self, torch_version: str) -> str:
        """Return that it is back although it was fixed; empty where that is not so, or the version does not show it."""
        if not self.fixed or not has_fix(torch_version, self.fixed):
            return ""
        return f"REGRESSED: fixed in torch {self.fixed} (results/known), and back on {torch_version}"


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
            found, fixed = _load_file(path)
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


def _load_file(path: Path) -> tuple[list[Signature], dict[str, str]]:
    """Return the file's signatures, and id -> version of its fixes."""
    try:
        with path.open("rb") as file:
            data = tomllib.load(file)
    except (OSError, ValueError, RecursionError) as error:
        raise SignatureError(f"{path}: {error}") from None
    fixes = data.pop("fixed", [])
    tables = data.pop("signature", [] if fixes else None)
    if data or not isinstance(tables, list) or not isinstance(fixes, list):
        raise SignatureError(
            f"{path}: expected [[signature]] tables, [[fixed]] tables and nothing else, found {sorted(data)}"
        )
    signatures = []
    for number, table in enumerate(tables, start=1):
        where = f"{path}: signature {number}"
        if not isinstance(table, dict):
            raise SignatureError(f"{where}: expected a table")
        signatures.append(_signature(table, f"{where} ({table.get('id')!r})"))
    return signatures, dict(
        _fix(table, f"{path}: fixed {number}") for number, table in enumerate(fixes, start=1)
    )


def _fix(table: object, where: str) -> tuple[str, str]:
    if not isinstance(table, dict) or not {"id", "in"} <= set(table) <= _FIXED_KEYS:
        raise SignatureError(f"{where}: expected a table of id, in, and perhaps link")
    version = _text(table, "in", where)
    if version_key(version) is None:
        raise SignatureError(f"{where}: in must be a version of torch such as '2.8.0', not {version!r}")
    if "link" in table and not _text(table, "link", where).startswith("https://"):
        raise SignatureError(f"{where}: link must start with https://")
    return _text(table, "id", where), version


def _signature(table: Mapping[str, object], where: str) -> Signature:
    _check_keys(table, where)
    identity = _text(table, "id", where)
    if not _ID.fullmatch(identity):
        raise SignatureError(f"{where}: id must look like 'metal/encoder-overlap'")
    links = _texts(table, "links", where)
    for link in links:
        if not link.startswith("https://"):
            raise SignatureError(f"{where}: links must start with https://, not {link!r}")
    signals = _texts(table, "signals", where)
    for name in signals:
        if name not in signal.Signals.__members__:
            raise SignatureError(f"{where}: signals: {name!r} is not the name of a signal")
    condition = _text(table, "condition", where) or None
    if condition is not None and condition not in CONDITIONS:
        raise SignatureError(f"{where}: condition must be one of {', '.join(CONDITIONS)}")
    since = _text(table, "since", where)
    if since and not _SINCE.fullmatch(since):
        raise SignatureError(f"{where}: since must be a date such as '2025-11', not {since!r}")
    taints = table.get("taints", False)
    if not isinstance(taints, bool):
        raise SignatureError(f"{where}: taints must be true or false")
    depth = table.get("frames_depth", 1)
    if not isinstance(depth, int) or isinstance(depth, bool) or not 1 <= depth <= 100:
        raise SignatureError(f"{where}: frames_depth must be a whole number from 1 to 100")
    return Signature(
        id=identity,
        meaning=_text(table, "meaning", where),
        links=links,
        signals=signals,
        next=_text(table, "next", where),
        since=since,
        taints=taints,
        pattern=_pattern(table, "pattern", where),
        frames=tuple(_compile(text, "frames", where) for text in _texts(table, "frames", where)),
        frames_depth=depth,
        fault=_pattern(table, "fault", where),
        under=_pattern(table, "under", where),
        stacks=_pattern(table, "stacks", where),
        condition=condition,
    )


def _check_keys(table: Mapping[str, object], where: str) -> None:
    unknown = sorted(set(table) - _KEYS)
    if unknown:
        raise SignatureError(
            f"{where}: unknown key {', '.join(unknown)}; known are {', '.join(sorted(_KEYS))}"
        )
    missing = sorted(_REQUIRED - set(table))
    if missing:
        raise SignatureError(f"{where}: {', '.join(missing)} missing")
    if not any(key in table for key in _EVIDENCE):
        raise SignatureError(f"{where}: needs at least one of {', '.join(_EVIDENCE)}")
    for key in ("fault", "under"):
        if key in table and "frames" not in table:
            raise SignatureError(f"{where}: {key} narrows frames, and there are none")


def _text(table: Mapping[str, object], key: str, where: str) -> str:
    value = table.get(key, "")
    if not isinstance(value, str) or (key in table and not value.strip()):
        raise SignatureError(f"{where}: {key} must be a text that is not empty")
    return value


def _texts(table: Mapping[str, object], key: str, where: str) -> tuple[str, ...]:
    value = table.get(key, [])
    if not isinstance(value, list) or not all(isinstance(item, str) and item for item in value):
        raise SignatureError(f"{where}: {key} must be a list of texts")
    return tuple(value)


def _pattern(table: Mapping[str, object], key: str, where: str) -> re.Pattern[str] | None:
    text = _text(table, key, where)
    return _compile(text, key, where) if text else None


def _compile(text: str, key: str, where: str) -> re.Pattern[str]:
    try:
        compiled = re.compile(text, re.MULTILINE)
    except (re.error, OverflowError, RecursionError) as error:
        raise SignatureError(f"{where}: {key} is not a regular expression: {error}") from None
    reason = _unbounded(text)
    if reason is not None:
        raise SignatureError(f"{where}: {key}: {reason}")
    if compiled.search("") is not None:
        raise SignatureError(f"{where}: {key} matches the empty text, so everything")
    return compiled


_TOKEN = re.compile(r"\\.|\[\^?\]?(?:\\.|[^\]\\])*\]|\((?:\?[^:)]{0,8}[:=!])?|\{\d*,?\d*\}|.", re.DOTALL)
_BOUNDS = re.compile(r"\{(\d*)(,?)(\d*)\}")


def _unbounded(pattern: str) -> str | None:
    """Return why matching a valid pattern may take long, or None when its cost per position is bounded."""
    if len(pattern) > PATTERN_CHARS_MAX:
        return f"longer than {PATTERN_CHARS_MAX} characters"
    product = 1
    previous = ""
    for token in _TOKEN.findall(pattern):
        if token in ("*", "+"):
            return f"{token!r} repeats without a bound; write {{0,80}} or {{1,80}}"
        bounds = _BOUNDS.fullmatch(token)
        if bounds is not None:
            low, comma, high = bounds.groups()
            if comma and not high:
                return f"{token!r} repeats without a bound"
            if previous == ")":
                return f"{token!r} repeats a group"
            product *= max(1, int(high or low or 1) + 1)
        elif token.startswith("\\") and token[1].isdigit():
            return f"{token!r} refers back to a group"
        previous = token
    if product > REPEATS_MAX:
        return f"the product of all repeats is {product}, more than {REPEATS_MAX}"
    return None
