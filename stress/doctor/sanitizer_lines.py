"""ThreadSanitizer: is the toolchain whole, and does a planted race come out of it?"""

from __future__ import annotations

from stress.doctor.line import Line
from stress.doctor.line import Status
from stress.sanitizer.toolchain import ToolchainError
from stress.sanitizer.toolchain import find_toolchain
from stress.sanitizer.toolchain import way_out

SECTION = "tools"


def sanitizer_lines() -> list[Line]:
    """Return the lines about the toolchain; without it the native suite does not run, the scenarios do."""
    try:
        toolchain = find_toolchain()
    except ToolchainError as error:
        text = str(error).removesuffix(way_out()).strip()
        return [Line(SECTION, "TSan", Status.WARNING, text, way_out())]
    return [Line(SECTION, "TSan", Status.OK, f"{toolchain.version} ({toolchain.clangxx})")]
