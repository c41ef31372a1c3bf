"""Remove from a text what is nobody's business: who, on which machine, with which secrets.

Works on the finished document, so that no part of it can be forgotten. What it knows are the names that stand in the
records (hosts, users by their home folders) and the shapes of identifiers.
"""

from __future__ import annotations

import contextlib
import getpass
import re
import socket
from collections.abc import Iterable
from collections.abc import Mapping
from dataclasses import dataclass
from dataclasses import field
from pathlib import Path
from typing import Any

from stress.commands.doctor.switches import SWITCHES
from stress.record.aggregate import Aggregate

NAME_CHARS_MIN = 3
"""A shorter name (vm, pc) would be found in words that have nothing to do with it."""
_HOME = re.compile(
    r"(?:/Users|/home|/var/home)/(?P<user>[^/\s\"'`:|]{1,64})|(?<![\w/])/root(?=[/\s\"'`:|]|$)"
)
_RUN_HOST = re.compile(r"(\b\d{4}-\d\d-\d\dT\d{4}Z-)([a-z0-9][a-z0-9-]{0,60})(-[0-9a-f]{4}\b)")
_SHAPES = (
    (re.compile(r"\b[\w.+-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63}){1,8}\b"), "[address]"),
    (re.compile(r"\b[0-9A-Fa-f]{8}-(?:[0-9A-Fa-f]{4}-){3}[0-9A-Fa-f]{12}\b"), "[identifier]"),
    (re.compile(r"\b(?:[0-9A-Fa-f]{2}:){5}[0-9A-Fa-f]{2}\b"), "[identifier]"),
    (
        re.compile(r"(?i)\b(serial(?: number)?|udid|uuid|registry ?id|device ?id)(\W{1,4})[\w-]{4,64}"),
        r"\1\2[identifier]",
    ),
    (re.compile(r"(?<![\d.])(?:\d{1,3}\.){3}\d{1,3}(?![\d.])"), "[address]"),
    (re.compile(r"/private/var/folders/[\w/+-]{1,80}|/var/folders/[\w/+-]{1,80}"), "[temporary folder]"),
)
_VARIABLE = re.compile(
    r"\b([A-Za-z][A-Za-z0-9]{0,20}(?:_[A-Za-z0-9_]{1,60})|Malloc\w{1,40})=([^\s,;`|)\"']{1,200})"
)
_COMMON = frozenset(
    {"root", "user", "users", "runner", "admin", "shared", "test", "home", "guest", "mac", "host", "python"}
)


@dataclass
class Redactor:
    """Replaces the names that it was given, and identifiers by their shape."""

    users: set[str] = field(default_factory=set)
    hosts: set[str] = field(default_factory=set)

    @classmethod
    def of(cls, *aggregates: Aggregate) -> Redactor:
        """Return one that knows the names in these records, and those of this machine."""
        known = cls()
        known.hosts |= _hosts(socket.gethostname())
        # A user without an entry has no name that could leak.
        with contextlib.suppress(OSError, KeyError, RuntimeError):
            known.users |= {getpass.getuser(), Path.home().name}
        for whole in aggregates:
            for info in whole.runs.values():
                known.learn(info.record)
        return known

    def learn(self, record: Mapping[str, Any]) -> None:
        """Take the names out of a run record."""
        self.hosts |= _hosts(str(record["environment"].get("host") or ""))
        for text in _texts(record):
            self.users |= {found["user"] for found in _HOME.finditer(text) if found["user"]}

    def __call__(self, text: str) -> str:
        """Return the text without them."""
        text = _HOME.sub("~", text)
        text = _RUN_HOST.sub(r"\1host\3", text)
        for pattern, shown in _SHAPES:
            text = pattern.sub(shown, text)
        for names, shown in ((self.hosts, "[host]"), (self.users, "[user]")):
            for name in sorted(names, key=len, reverse=True):
                if len(name) >= NAME_CHARS_MIN and name.lower() not in _COMMON:
                    text = re.sub(rf"(?i)(?<![A-Za-z0-9]){re.escape(name)}(?![A-Za-z0-9])", shown, text)
        return _VARIABLE.sub(_variable, text)


def _hosts(name: str) -> set[str]:
    return {name, name.split(".")[0], name.split(".")[0].lower()} - {""}


def _texts(value: object, depth: int = 6) -> Iterable[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict) and depth:
        for one in value.values():
            yield from _texts(one, depth - 1)
    elif isinstance(value, list) and depth:
        for one in value[:100]:
            yield from _texts(one, depth - 1)


def _variable(found: re.Match[str]) -> str:
    """Keep the value of a variable that is listed, and of what is not a variable at all (an option in a command line)."""
    name = found[1]
    if found.string[max(0, found.start() - 1)] in "-." or _is_listed(name) or not name.isupper():
        if name.startswith("Malloc") and not _is_listed(name):
            return f"{name}=[not listed]"
        return found[0]
    return f"{name}=[not listed]"


def _is_listed(name: str) -> bool:
    """Whether the variable has its own entry: a family's pattern (`PYTORCH_.*`) lists nothing."""
    return any(one.pattern.fullmatch(name) for one in SWITCHES if not one.pattern.pattern.endswith("_.*")
               and one.pattern.pattern not in ("Malloc.*",))  # fmt: skip
