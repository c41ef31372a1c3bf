"""What a compiler says when a source does not compile or a library cannot be linked."""

from __future__ import annotations

import re

_APPLE = re.compile(
    r"[_k]*(?:MTL|MPS|NS|CF|CG|IO|OS_|os_|dispatch_|DISPATCH_|mach_|vm_|_dyld|pthread_|clock_|objc_|OBJC_)\w*"
)
_MISSING = re.compile(
    r"(?:undeclared identifier|unknown type name|declaration for|undefined reference to|undefined symbol:) "
    r"?[`']?(?P<name>\w+)|method for selector '(?P<selector>[\w:]+)'|'(?P<header>[\w/.-]+\.h)' file not found"
)
NO_SPACE = ("No space left on device", "Disk quota exceeded", "IO failure on output stream")
"""What a compiler says when the disk is full."""
_ERROR = re.compile(r"^(?P<line>.*?(?:error: |undefined reference to |undefined symbol: ).*)$", re.MULTILINE)


class CompileFailed(Exception):
    """A source does not compile, or what was compiled cannot be linked; nothing usable was made."""

    def __init__(
        self,
        source: str,
        log: str,
        first_error_line: str,
        missing_name: str | None,
        *,
        is_of_source: bool = False,
    ) -> None:
        super().__init__(f"{source}: {first_error_line}")
        self.source = source
        self.log = log
        """The whole output of the compiler, after its command."""
        self.first_error_line = first_error_line
        self.missing_name = missing_name
        """A name or header of Apple's that the simulated Metal lacks, where that is the reason."""
        self.is_of_source = is_of_source
        """Whether the compiler refused the source: not where it was ended, or there was no room."""


def failed(name: str, log: str, text: str, *, is_of_source: bool = False) -> CompileFailed:
    """Return the error for a compiler's output; `log` has its command as well."""
    error = _ERROR.search(text)
    line = error["line"].strip() if error is not None else (text.strip().splitlines() or ["no output"])[-1]
    has_room = not any(one in text for one in NO_SPACE)
    return CompileFailed(
        name, log, line, _missing(line), is_of_source=is_of_source and error is not None and has_room
    )


def _missing(line: str) -> str | None:
    """Return the name of Apple's that an error is about; None for any other error."""
    found = _MISSING.search(line)
    if found is None:
        return None
    if found["selector"] or found["header"]:
        return found["selector"] or found["header"]
    return found["name"] if _APPLE.fullmatch(found["name"]) else None
