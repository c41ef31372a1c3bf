"""Distinguish our own frames from others, and give a function's name in a form that every compiler shares.

Interceptors (malloc, pthread_mutex_lock), the C++ library's templates and the system's libraries are where a report
begins, never what it is about.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from enum import IntEnum
from functools import lru_cache

from stress.diagnose.tsan.report import Frame

UNKNOWN = "?"


class Origin(IntEnum):
    """The owner of a frame's code, the best name for a report first."""

    OURS = 0
    """Compiled with source lines, and not a library's header."""
    LAYER = 1
    """The simulated Metal: what Apple's code is on a Mac. Who called it is what a report is about."""
    OTHER = 2
    """A function without source: a library without debug information, such as libtorch."""
    SYSTEM = 3
    """The C++ library and the system's."""
    RUNTIME = 4
    """The sanitizer and its interceptors."""
    NAMELESS = 5


_RUNTIME_MODULE = re.compile(r"libclang_rt\.|libtsan[._]")
_SYSTEM_MODULE = re.compile(
    r"lib(?:c|m|dl|rt|pthread|util|resolv|gcc_s|stdc\+\+|c\+\+|c\+\+abi|unwind|objc|gnustep-base|BlocksRuntime|dispatch"
    r"|xpc|Metal|System(?:\.B)?)(?:-[\d.]+)?\.(?:so|dylib|\d|A\.dylib)|libsystem_\w|ld-linux|dyld$|CoreFoundation$|Foundation$"
    r"|\[vdso\]"
)
_RUNTIME_SOURCE = re.compile(
    r"compiler-rt/|libsanitizer/|(?:^|/)(?:tsan|sanitizer|interception)_[a-z_]+\.(?:cpp|cc|h|inc|S)"
)
_SYSTEM_SOURCE = re.compile(
    r"/include/(?:[\w.-]+/)?c\+\+/|/c\+\+/v1/|^/usr/(?:include|lib)/|/usr/include/|/libstdc\+\+-v3/|^(?:\./|\.\./)*(?:nptl|misc|csu|"
    r"sysdeps|stdlib|malloc|elf|posix|io|string|libio)/|/sysdeps/|/SDKs?/[^/]+\.sdk/|<built-in>"
)
_LAYER_SOURCE = re.compile(r"(?:^|/)harness/(?:simulated_metal|metal_shaders)/")
_FILE_SYMBOL = re.compile(r"[^/]+\.(?:c|cc|cpp|cxx|m|mm|s|S)$")
"""As a library's symbols name a file, without its folder and no line in it: it has no debug information all the same."""
_RUNTIME_FUNCTION = re.compile(
    r"__(?:tsan|sanitizer|interceptor|interception)(?:_|::|\b)|_{2,3}interceptor_|wrap_\w|trampoline_\w"
)
_INTERCEPTED = re.compile(
    r"(?:operator (?:new|delete)(?:\[\])?(?:\(.*\))?"
    r"|_{0,2}(?:mem|str|wcs|wmem|mbs|bcmp|bzero|bcopy)[a-z_0-9]*|_{0,2}[fsv]{0,2}n?(?:printf|scanf)(?:_chk)?|asprintf"
    r"|(?:c|m|re|p?v|posix_mem|aligned_|mem)?alloc(?:array)?|posix_memalign|memalign|cfree|free(?:_sized)?"
    r"|pthread_[a-z_0-9]+|sem_[a-z]+|call_once|thrd_[a-z]+|mtx_[a-z]+|cnd_[a-z]+|__cxa_(?:guard_\w+|atexit)|atexit|on_exit"
    r"|p?(?:read|write)v?(?:64|2)?|f?(?:open|close|read|write|puts|gets|flush|dopen|reopen)(?:64|at|dir)?|opendir|closedir"
    r"|send(?:to|m?msg)?|recv(?:from|m?msg)?|socket(?:pair)?|connect|accept4?|bind|listen|poll|ppoll|select|epoll_[a-z0-9]+|kevent"
    r"|pipe2?|dup[23]?|creat(?:64)?|eventfd|signalfd|inotify_\w+|ioctl|fcntl|m(?:un)?map(?:64)?|mprotect|mlock|munlock"
    r"|u?sleep|nanosleep|usleep|fork|vfork|raise|kill|abort|exit|_exit|signal|sig[a-z]+|longjmp|siglongjmp|qsort(?:_r)?|bsearch"
    r"|dl(?:open|close|sym|_iterate_phdr)|realpath|getline|getdelim|localtime(?:_r)?|gmtime(?:_r)?|time|rand(?:_r)?"
    r"|dispatch_\w+|_dispatch_\w+|os_unfair_lock_\w+|OSSpinLock\w+|OSAtomic\w+|objc_sync_(?:enter|exit)|xpc_\w+"
    r")$"
)
_THUNK = re.compile(r"::(?:__invoke|_FUN)\(")
"""Between a function pointer and a lambda without captures; it has the lambda's line."""
_STANDARD_NAME = re.compile(r"(?:std|__gnu_cxx|__cxxabiv1)::|_?__gthr|_GLOBAL__|_Block_|objc_|__objc_|_objc_")
NAME_CHARS_MAX = 8000


@lru_cache(maxsize=8192)
def _origin(function: str | None, file: str | None, module: str | None) -> Origin:
    if function is None:
        return Origin.NAMELESS
    if (
        (module is not None and _RUNTIME_MODULE.search(module))
        or (file is not None and _RUNTIME_SOURCE.search(file))
        or _RUNTIME_FUNCTION.match(function)
        or (file is None and _INTERCEPTED.match(function))
    ):
        return Origin.RUNTIME
    if (
        (module is not None and _SYSTEM_MODULE.match(module))
        or (file is not None and _SYSTEM_SOURCE.search(file))
        or _STANDARD_NAME.match(stable_name(function))
        or _THUNK.search(function)
    ):
        return Origin.SYSTEM
    if file is None:
        return Origin.OTHER
    return Origin.LAYER if _LAYER_SOURCE.search(file) else Origin.OURS


def origin(frame: Frame) -> Origin:
    """Return whose code a frame is, by its source file, its module and its name."""
    is_of_symbols = frame.line is None and frame.file is not None and _FILE_SYMBOL.match(frame.file)
    return _origin(frame.function, None if is_of_symbols else frame.file, frame.module)


def naming_frame(frames: Sequence[Frame]) -> Frame | None:
    """Return the frame that a stack is named after: the innermost of our own, else the next best."""
    return min(frames, key=origin, default=None)


def short_name(frame: Frame | None) -> str:
    """Return a frame's function in its stable form; its module where it has no name."""
    if frame is None:
        return UNKNOWN
    if frame.function is None:
        return f"({frame.module})" if frame.module else UNKNOWN
    return stable_name(frame.function)


_BLOCK = re.compile(
    r"_{2,3}(?:\d{1,4})?(?P<outer>[^\n]+?)_block_invoke(?:[._]\d{1,6})*$|invocation function for block(?: in (?P<in>.+))?$"
)
_GCC_METHOD = re.compile(
    r"_(?P<kind>[ci])_(?P<class>_?[A-Za-z0-9]+)_(?P<category>[A-Za-z0-9]*)_(?P<method>_?[A-Za-z]\w*)$"
)
_METHOD = re.compile(r"(?P<kind>[-+])\[(?P<class>\w+)(?:\(\w*\))? (?P<method>[\w:.]+)\]$")
_SUFFIX = re.compile(
    r"(?: \[(?:clone )?[^\]]*\]|\.(?:isra|part|constprop|cold|llvm|lto_priv|resume|destroy)(?:\.\d+)*)+$"
)
_ABI = re.compile(r"\[abi:\w+\]")
_ANONYMOUS = re.compile(r"(?:\(anonymous namespace\)|\{anonymous\}|_GLOBAL__N_1)::")
_LAMBDA = re.compile(
    r"\$_\d{1,6}|\{lambda\([^{}]*\)#\d{1,6}\}|'lambda\d{0,6}'(?:\([^']*?\))?(?: const)?|<lambda(?:\([^<>]*\))?>|\(lambda at [^()]*\)"
)
_OPERATOR = re.compile(r"operator\s?(?:\(\)|\[\]|->\*?|<=>|<<=?|>>=?|<=?|>=?|,)")
_MARKS = {"operator" + text: f"operator\0{number}\0" for number, text in enumerate(
    ("()", "[]", "->", "->*", "<=>", "<<=", "<<", ">>=", ">>", "<=", "<", ">=", ">", ",")
)}  # fmt: skip


@lru_cache(maxsize=8192)
def stable_name(function: str) -> str:
    """Return a function's name without what differs between compilers and builds.

    No parameters, template arguments, return type, anonymous namespaces, clone suffixes or numbers of lambdas and
    blocks. GCC's names of Objective-C methods become those that Apple's compiler prints.
    """
    name = function[:NAME_CHARS_MAX].removeprefix("__interceptor_").removeprefix("wrap_")
    method = _METHOD.match(name)
    if method is not None:
        return f"{method['kind']}[{method['class']} {method['method']}]"
    method = _GCC_METHOD.match(name)
    if method is not None:
        sign = "-" if method["kind"] == "i" else "+"
        return f"{sign}[{method['class']} {_selector(method['method'])}]"
    block = _BLOCK.match(name)
    if block is not None:
        outer = block["outer"] or block["in"]
        return f"{stable_name(_demangled(outer))}::{{block}}" if outer else "{block}"
    return _cplusplus(_SUFFIX.sub("", name)) or function


def _demangled(name: str) -> str:
    """Return a plain nested name from its mangled form, as blocks carry it; anything else as it is."""
    found = re.fullmatch(r"_?ZNK?((?:\d{1,3}[A-Za-z_]\w*?)+)E\w*", name)
    if found is None:
        return name
    rest, parts = found[1], []
    while (length := re.match(r"\d{1,3}", rest)) is not None:
        end = length.end() + int(length[0])
        parts.append(rest[length.end() : end])
        rest = rest[end:]
    return "::".join(parts)


def _selector(method: str) -> str:
    """Return a selector as it is written: GCC's assembler names have '_' for ':'."""
    lead = "_" if method.startswith("_") else ""
    return lead + method.removeprefix("_").replace("_", ":")


def _cplusplus(name: str) -> str:
    name = _LAMBDA.sub("{lambda}", _ANONYMOUS.sub("", _ABI.sub("", name))).removeprefix("decltype(auto) ")
    name = _OPERATOR.sub(lambda found: _MARKS.get(found[0].replace(" ", ""), found[0]), name)
    name = _without_brackets(name)
    for text, mark in _MARKS.items():
        name = name.replace(mark, text)
    name = name.removesuffix("::operator()") if "{lambda}" in name else name
    return _without_return_type(name.strip())


def _without_brackets(name: str) -> str:
    """Leave out everything in <...>, and from the parameter list on."""
    kept: list[str] = []
    angle = round_ = 0
    for one in name:
        if one == "<" and not round_:
            angle += 1
        elif one == ">" and angle and not round_:
            angle -= 1
        elif one == "(":
            round_ += 1
        elif one == ")" and round_:
            round_ -= 1
            if not round_ and not angle:
                kept.append("\1")  # What stands behind a parameter list may be a name: "f(int)::{lambda}".
        elif not angle and not round_:
            kept.append(one)
    parts = "".join(kept).split("\1")
    while len(parts) > 1 and not parts[-1].startswith("::"):
        parts.pop()  # " const", "&", " [clone]"
    return "".join(part for part in (parts[0], *(each for each in parts[1:] if each.startswith("::"))))


def _without_return_type(name: str) -> str:
    special = re.search(r"operator (?:new|delete)(?:\[\])?$|operator [\w:*& ]+$", name)
    if special is not None:
        head = name[: special.start()].rpartition(" ")[2]
        return head + special[0]
    return name.rpartition(" ")[2]
