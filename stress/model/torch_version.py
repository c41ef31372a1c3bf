"""The order of torch builds, by their versions: which came later, and which one a fix must be in."""

from __future__ import annotations

import re

_VERSION = re.compile(r"(\d{1,4})\.(\d{1,4})(?:\.(\d{1,4}))?(?:\.?(dev|a|b|rc)(\d{1,10}))?")
_RANKS = {"dev": 0, "a": 0, "b": 1, "rc": 2, None: 3}

Key = tuple[int, int, int, int, int]


def version_key(version: str) -> Key | None:
    """Return what versions are sorted by, such as those of 2.9.0.dev20250801 and 2.9.0; None for what is no version."""
    found = _VERSION.match(version)
    if found is None:
        return None
    major, minor, patch, stage, number = found.groups()
    return int(major), int(minor), int(patch or 0), _RANKS[stage], int(number or 0)


def has_fix(version: str, fixed: str) -> bool | None:
    """Return whether a build must have what was fixed in `fixed`; None where its version does not show that.

    A build out of a tree (2.9.0a0+git...) is somewhere before its release: of that release nothing follows.
    """
    key, least = version_key(version), version_key(fixed)
    if key is None or least is None:
        return None
    if key[:3] == least[:3] and "a0" in version:
        return None
    return key >= least
