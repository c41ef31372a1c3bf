"""Read macOS crash reports (`.ips`): a JSON header on the first line, then a JSON body.

Written from public descriptions and examples of the format; not tried on a Mac. Every field may be missing
or of another type in the next macOS: what is needed to name a crash is checked, the rest is taken if it is
there.
"""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Collection
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

FILE_BYTES_MAX = 32 * 1024 * 1024
FRAMES_MAX = 32
ASI_TEXTS_MAX = 50
TEXT_CHARS_MAX = 4_000


class IpsError(Exception):
    """A crash report cannot be used; the text names the file and says why."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(f"{path}: {reason}")
        self.path = path
        self.reason = reason


class NotACrash(IpsError):
    """A readable report of another kind: a stackshot, a resource limit, a low-memory event."""


@dataclass(frozen=True)
class CrashReport:
    path: Path
    pid: int
    parent_pid: int | None
    process: str
    time: str
    """When macOS captured the crash, in its own words and time zone."""
    signal: str | None
    """Name, such as "SIGABRT"."""
    exception: str
    """Type, signal, subtype (with the fault address) and codes in one line."""
    asi: tuple[str, ...]
    """Application-specific information: the text of an assertion that aborted the process."""
    termination: str
    queue: str | None
    """Dispatch queue of the crashed thread, such as "metal gpu stream"."""
    thread: str | None
    """Name of the crashed thread."""
    frames: tuple[str, ...]
    """Its frames as "image symbol + offset", innermost first."""


def default_folders() -> tuple[Path, ...]:
    """Return the folders in which macOS puts this user's crash reports, whether or not they exist."""
    folder = Path.home() / "Library" / "Logs" / "DiagnosticReports"
    return (folder, folder / "Retired")


def find_reports(
    folder: Path,
    *,
    since: float,
    pids: Collection[int] | None,
    unreadable: list[IpsError] | None = None,
) -> list[CrashReport]:
    """Return the crash reports in `folder` modified at or after `since` (seconds since 1970), oldest first.

    With `pids`, only those of these processes and of their children. Files that cannot be used are
    appended to `unreadable`: a report that may be ours and cannot be read must not pass unnoticed.
    """
    try:
        names = sorted(name for name in os.listdir(folder) if name.endswith(".ips"))
    except OSError:
        return []
    found: list[tuple[float, CrashReport]] = []
    for name in names:
        path = folder / name
        try:
            status = path.lstat()
            # Reading a pipe would block, a link leads elsewhere.
            if not stat.S_ISREG(status.st_mode) or status.st_mtime < since:
                continue
            report = read_ips(path)
        except NotACrash:
            continue
        except FileNotFoundError:
            continue  # macOS moves reports to Retired at any time.
        except IpsError as error:
            if unreadable is not None:
                unreadable.append(error)
            continue
        if pids is None or report.pid in pids or report.parent_pid in pids:
            found.append((status.st_mtime, report))
    return [report for _, report in sorted(found, key=lambda pair: pair[0])]


def read_ips(path: Path) -> CrashReport:
    """Return a crash report; raise `NotACrash` for other reports and `IpsError` for anything unusable.

    What follows the first body is ignored: a crash must not go unnoticed because of it.
    """
    body = _body(path)
    exception = body.get("exception")
    if exception is None and "threads" not in body:
        raise NotACrash(path, "a report without exception and threads is not a crash report")
    if not isinstance(exception, dict):
        raise IpsError(path, f"exception is {type(exception).__name__}, expected an object")
    pid = _integer(body, "pid")
    if pid is None:
        raise IpsError(path, "no process id")
    thread = _crashed_thread(path, body)
    return CrashReport(
        path=path,
        pid=pid,
        parent_pid=_integer(body, "parentPid"),
        process=_text(body, "procName"),
        time=_text(body, "captureTime"),
        signal=_text(exception, "signal") or None,
        exception=_exception(exception),
        asi=_asi(body.get("asi")),
        termination=_termination(body.get("termination")),
        queue=_text(thread, "queue") or None,
        thread=_text(thread, "name") or None,
        frames=_frames(thread, body.get("usedImages")),
    )


def _body(path: Path) -> Mapping[str, object]:
    try:
        size = path.stat().st_size
        if size > FILE_BYTES_MAX:
            raise IpsError(path, f"{size} bytes, more than the {FILE_BYTES_MAX} that a report may have")
        text = path.read_bytes().decode("utf-8", "replace")
    except FileNotFoundError:
        raise
    except OSError as error:
        raise IpsError(path, f"cannot read: {error.strerror}") from None
    header, end = _decode(path, text, 0, "header")
    if not text[end:].strip():
        if "pid" in header:
            return header  # Only the body was kept, as in a report that is pasted into an issue.
        raise IpsError(path, "ends after its header")
    return _decode(path, text, end, "body")[0]


def _decode(path: Path, text: str, start: int, part: str) -> tuple[Mapping[str, object], int]:
    """Return the JSON object at `start` and where it ends."""
    start += len(text[start:]) - len(text[start:].lstrip())
    try:
        value, end = json.JSONDecoder().raw_decode(text, start)
    except (ValueError, RecursionError) as error:
        raise IpsError(path, f"the {part} is not JSON: {str(error)[:200]}") from None
    if not isinstance(value, dict):
        raise IpsError(path, f"the {part} is {type(value).__name__}, expected an object")
    return value, end


def _crashed_thread(path: Path, body: Mapping[str, object]) -> Mapping[str, object]:
    threads = body.get("threads", [])
    if not isinstance(threads, list):
        raise IpsError(path, f"threads is {type(threads).__name__}, expected a list")
    faulting = body.get("faultingThread")
    if isinstance(faulting, int) and 0 <= faulting < len(threads) and isinstance(threads[faulting], dict):
        return dict(threads[faulting])
    triggered = (each for each in threads if isinstance(each, dict) and each.get("triggered") is True)
    return dict(next(triggered, {}))


def _exception(exception: Mapping[str, object]) -> str:
    kind, signal = _text(exception, "type"), _text(exception, "signal")
    head = f"{kind} ({signal})" if kind and signal else kind or signal
    subtype = _text(exception, "subtype") or _text(exception, "message")
    codes = _text(exception, "codes")
    return " ".join(part for part in (head, subtype, f"codes {codes}" if codes else "") if part)


def _termination(termination: object) -> str:
    if not isinstance(termination, dict):
        return ""
    reasons = termination.get("reasons")
    texts = [text for text in reasons if isinstance(text, str)] if isinstance(reasons, list) else []
    parts = [_text(termination, "namespace"), _text(termination, "indicator"), *texts[:ASI_TEXTS_MAX]]
    return " ".join(part for part in parts if part)[:TEXT_CHARS_MAX]


def _asi(asi: object) -> tuple[str, ...]:
    """Return the texts of all libraries, in the order of the file."""
    if not isinstance(asi, dict):
        return ()
    lists = [texts for texts in asi.values() if isinstance(texts, list)]
    texts = [text[:TEXT_CHARS_MAX] for each in lists for text in each if isinstance(text, str)]
    return tuple(texts[:ASI_TEXTS_MAX])


def _frames(thread: Mapping[str, object], images: object) -> tuple[str, ...]:
    frames = thread.get("frames")
    if not isinstance(frames, list):
        return ()
    names = images if isinstance(images, list) else []
    return tuple(_frame(frame, names) for frame in frames[:FRAMES_MAX] if isinstance(frame, dict))


def _frame(frame: Mapping[str, object], images: list[object]) -> str:
    index = _integer(frame, "imageIndex")
    image = images[index] if index is not None and 0 <= index < len(images) else None
    name = _text(image, "name") or os.path.basename(_text(image, "path")) if isinstance(image, dict) else ""
    symbol = _text(frame, "symbol")
    offset = _integer(frame, "symbolLocation") if symbol else _integer(frame, "imageOffset")
    parts = [name or "???", symbol, "" if offset is None else f"+ {offset}"]
    return " ".join(part for part in parts if part)


def _text(table: Mapping[str, object], key: str) -> str:
    value = table.get(key)
    return value[:TEXT_CHARS_MAX] if isinstance(value, str) else ""


def _integer(table: Mapping[str, object], key: str) -> int | None:
    value = table.get(key)
    return value if isinstance(value, int) and not isinstance(value, bool) else None
