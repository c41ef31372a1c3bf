"""Read one frame of a stack, as clang's and GCC's runtimes print it on Linux and macOS.

    #1 main::$_1::operator()() const /src/rep.cpp:29:23 (rep+0xeddb9) (BuildId: 2f908c20...)
    #0 pthread_create ../../../../src/libsanitizer/tsan/tsan_interceptors_posix.cpp:1001 (libtsan.so.2+0x5e686)
    #1 -[SimEncoder dispatch] harness.mm:12 (harness:arm64+0x100000e2c)
    #2 <null> <null> (libstdc++.so.6+0xd44a2)

Nothing marks where the function's name ends and the file's begins, and both may contain spaces.
"""

from __future__ import annotations

import re
from functools import lru_cache

from stress.diagnose.tsan.report import Frame

FRAME_START = re.compile(r" {4,}#(?P<number>\d{1,5}) ")
"""How a line with a frame begins; some prefix of a line stays possible where output is mixed."""

_BUILD = re.compile(r"\((?:BuildId|UUID): (?P<build>[0-9a-fA-F-]{1,80})\)$")
_OFFSET = re.compile(r"(?::[a-z0-9_]{2,12})?\+0x(?P<offset>[0-9a-fA-F]{1,16})\)$")
_ADDRESS = re.compile(r"\(0x[0-9a-fA-F]{1,16}\)$")
PATHS_TRIED_MAX = 20
_TAIL_CHARS_MAX = 100
"""Of a build id, of an offset with its architecture: the patterns look at no more than that."""
_NUMBERS = re.compile(r"(?::(?P<line>\d{1,9}|\?))?(?::(?P<column>\d{1,9}))?$")
_NO_FILE = re.compile(r"(?:^| )(?:<null>|\?\?)(?::[\d?]{1,9}){0,2}$")


@lru_cache(maxsize=8192)
def parse_frame(text: str) -> Frame:
    """Return the frame in `text`, which begins after "#N ". What cannot be separated counts as function."""
    body, build = _without_build(text.rstrip())
    body, module, offset = _without_module(body)
    function, place = _split(body.strip())
    file = line = column = None
    if place:
        numbers = _NUMBERS.search(place)
        if numbers is not None:
            file = place[: numbers.start()] or None
            line = _number(numbers["line"])
            column = _number(numbers["column"])
    return Frame(
        function=None if function in ("", "<null>", "??") else function,
        file=file,
        line=line,
        column=column,
        module=module.rpartition("/")[2] if module else None,
        offset=offset,
        build_id=build,
    )


def _without_build(text: str) -> tuple[str, str | None]:
    found = _BUILD.search(text, max(0, len(text) - _TAIL_CHARS_MAX))
    return (text[: found.start()].rstrip(), found["build"]) if found is not None else (text, None)


def _without_module(text: str) -> tuple[str, str | None, int | None]:
    """Return what stands before " (MODULE+0xOFFSET)", the module and the offset. A module's path may have brackets."""
    found = _OFFSET.search(text, max(0, len(text) - _TAIL_CHARS_MAX))
    if found is None:
        address = _ADDRESS.search(text, max(0, len(text) - _TAIL_CHARS_MAX))
        return (text[: address.start()] if address is not None else text), None, None
    depth = 1
    at = found.start()
    while at > 0 and depth:
        at -= 1
        depth += (text[at] == ")") - (text[at] == "(")
    if depth:
        return text, None, None
    return text[:at], text[at + 1 : found.start()], int(found["offset"], 16)


def _split(body: str) -> tuple[str, str]:
    """Return function and place ("file:line:column"); the place is empty where the symbolizer knew none."""
    missing = _NO_FILE.search(body)
    if missing is not None and (missing.start() > 0 or body.count(" ") == 0):
        return body[: missing.start()], ""
    # An absolute path may contain spaces; a function may contain a path ("(lambda at /src/x.cpp:3:5)").
    cut = len(body)
    for _ in range(PATHS_TRIED_MAX):
        cut = body.rfind(" /", 0, cut)
        if cut <= 0:
            break
        place = body[cut + 1 :]
        if place.count("(") == place.count(")"):
            return body[:cut], place
    function, _, place = body.rpartition(" ")
    if function and ("." in place or "/" in place) and not place.endswith((")", ">", "]")):
        return function, place
    return body, ""


def _number(text: str | None) -> int | None:
    return int(text) if text and text != "?" else None
