"""Load a device's library into a process. Imports torch."""

from __future__ import annotations

import torch

from stress.model.errors import LibraryError


def load(library: str) -> None:
    """Load the library; raise `LibraryError`. Runs no op and starts no thread, so that a fork server may do it."""
    try:
        torch.ops.load_library(library)
    except OSError as error:
        raise LibraryError(str(error)) from error
