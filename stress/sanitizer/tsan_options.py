"""The options for ThreadSanitizer's runtime, in TSAN_OPTIONS, and their reasons.

A misspelt option is ignored silently and some options make every race disappear, so the controls run under the
same options as the case. The user's own TSAN_OPTIONS are kept and win, except where they would take the reports away
from the place where they are read.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from stress.device.clang import Toolchain

VARIABLE = "TSAN_OPTIONS"
EXIT_CODE = 66
"""The runtime's own: also of a runtime that could not start, so that it proves no race."""
HISTORY_SIZE = 64
"""With the default, 100 000 calls between two accesses lose the race silently; with 64, a million do not."""

_ALWAYS = {
    # The runtime waits this long at the end while other threads live, to see what they do to destroyed objects: 1000
    # would be most of a run.
    "atexit_sleep_ms": "50",
    "exitcode": str(EXIT_CODE),
    "history_size": str(HISTORY_SIZE),
    "second_deadlock_stack": "1",
    "print_suppressions": "1",
}
_APPLE = {
    # Apple's defaults: a racy run would end in SIGABRT, reports would go to the system's log, races inside memcpy and
    # free would be lost, and children would lose the runtime. Code that is not instrumented (Metal) stays ignored.
    "abort_on_error": "0",
    "log_to_syslog": "0",
    "ignore_interceptors_accesses": "0",
    "ignore_noninstrumented_modules": "1",
    "strip_env": "0",
}
_OURS = ("log_path", "log_exe_name")
"""Options that say where reports go."""


class OptionsError(ValueError):
    """The user's TSAN_OPTIONS cannot be used; the text says what to change."""


@dataclass(frozen=True)
class TsanOptions:
    """The options of a run, without the place of its reports, which differs by run."""

    values: Mapping[str, str]
    given: Mapping[str, str]
    """Those that the user gave."""

    @classmethod
    def make(cls, toolchain: Toolchain, suppressions: Path | None, given: str = "") -> TsanOptions:
        """Return ours with the user's, the text `given`, on top; raise `OptionsError`."""
        users = parse(given)
        for name in _OURS:
            if name in users:
                raise OptionsError(
                    f"{VARIABLE}: {name} is set by mps-stress, which reads the reports: leave it out"
                )
        own = {**_ALWAYS, "external_symbolizer_path": str(toolchain.symbolizer)}
        if toolchain.is_apple:
            own.update(_APPLE)
        if suppressions is not None:
            own["suppressions"] = str(suppressions)
        return cls({**own, **users}, users)

    def text(self, log_path: Path) -> str:
        """Return the variable's value; reports go to `log_path` with the process id appended."""
        return ":".join(
            f"{name}={_quoted(value)}" for name, value in {**self.values, "log_path": str(log_path)}.items()
        )

    @property
    def suppressions(self) -> Path | None:
        """Return the suppressions file that the runtime reads, ours or the user's; None without one."""
        value = self.values.get("suppressions", "")
        return Path(value) if value else None


def parse(text: str) -> dict[str, str]:
    """Return name -> value of a TSAN_OPTIONS text: separated by colons, commas or spaces, values maybe quoted."""
    found: dict[str, str] = {}
    rest = text
    while rest := rest.lstrip(" ,:\n\t\r"):
        name, equals, rest = rest.partition("=")
        if not equals:
            raise OptionsError(f"{VARIABLE}: expected name=value at {name[:40]!r}")
        if rest[:1] in ("'", '"'):
            value, closed, rest = rest[1:].partition(rest[0])
            if not closed:
                raise OptionsError(f"{VARIABLE}: the quote of {name[:40]} is not closed")
        else:
            end = next((at for at, one in enumerate(rest) if one in " ,:\n\t\r"), len(rest))
            value, rest = rest[:end], rest[end:]
        found[name] = value
    return found


def _quoted(value: str) -> str:
    if not any(one in value for one in " ,:'\"\n\t\r"):
        return value
    return f"'{value}'" if "'" not in value else f'"{value}"'
