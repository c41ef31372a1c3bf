"""Read a file of signatures, `results/known/*.toml`, and say what is wrong in it.

A `[[signature]]` table describes a known failure. A `[[fixed]]` table says in which torch one was fixed: seen on that one or a
later one, it is back. A pattern may neither repeat without a bound nor repeat a group, so that matching it is bounded.
"""

from __future__ import annotations

import re
import signal
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from stress.model.errors import UserError
from stress.model.torch_version import has_fix
from stress.model.torch_version import version_key

PATTERN_CHARS_MAX = 1_000
REPEATS_MAX = 10_000  # Product of all upper bounds in a pattern: steps per position of the text.
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


def load_file(path: Path) -> tuple[list[Signature], dict[str, str]]:
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
