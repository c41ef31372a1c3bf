"""pytest's options for the pytest session of a child: those of this one, without what makes it distribute, stop or print."""

from __future__ import annotations

import json
from typing import Any

import pytest

from stress.plugin.option_table import OPTIONS

_OWN: dict[str, object] = {
    "basetemp": None,  # pytest empties the folder when it starts
    "capture": "no",  # text of a dying process has to be in a file
    "collectonly": False,
    "deselect": None,
    "dist": "no",
    "distload": False,
    "ignore": None,
    "ignore_glob": None,
    "junitxml": None,
    "keyword": "",
    "lf": False,
    "failedfirst": False,
    "markexpr": "",
    "maxfail": 0,
    "newfirst": False,
    "numprocesses": None,
    "setuponly": False,
    "setupplan": False,
    "setupshow": False,
    "stepwise": False,
    "trace": False,
    "tx": [],
    "usepdb": False,
    "verbose": 0,
}
"""The parent selects, reports and stops."""
_WITHOUT = (
    "terminal",
    "faulthandler",
    "cacheprovider",
    "junitxml",
    "pastebin",
    "rerunfailures",
    "flaky",
    "html",
    "cov",
)
"""The parent's job, or one that would hide how the test went the first time."""


def options_for_child(config: pytest.Config) -> dict[str, Any]:
    """Return what `pytest.Config.fromdictargs` takes in the child."""
    given = {name: value for name, value in vars(config.option).items() if _is_plain(value)}
    for name, value in _OWN.items():
        if name in given:
            given[name] = value
    for one in OPTIONS:
        given[one.dest] = None
    given.pop("file_or_dir", None)  # what pytest was asked to collect
    plugins = [one for one in given.get("plugins") or [] if not one.startswith("no:")]
    blocked = [one for one in given.get("plugins") or [] if one.startswith("no:") and one != "no:terminal"]
    given["plugins"] = [*blocked, *(f"no:{one}" for one in _WITHOUT), *plugins]
    # Of another folder than the one pytest finds for a single file, perhaps.
    given["rootdir"] = str(config.rootpath)
    given["inifilename"] = str(config.inipath) if config.inipath is not None else None
    return given


def _is_plain(value: object) -> bool:
    try:
        json.dumps(value)
    except (TypeError, ValueError):
        return False
    return True
