"""The commands of `mps-stress`: a folder each; `cli` says what it holds, `session` opens what several of them need."""

from __future__ import annotations

from stress.model.errors import UserError


class CommandError(UserError):
    """Bad input, or a machine that lacks something: one sentence with the way out, and exit status 2."""
