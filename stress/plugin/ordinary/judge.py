"""Turn what the threads left behind into one outcome of one test: strict, so that green means something.

The rules, given what other plugins were seen to do (a thread's failure hidden by another's skip, a raised
Warning or SystemExit that passed, an un-awaited coroutine that passed):

- any failure wins over any number of skips and passes;
- the test is skipped only when every call was skipped; some skipped and some not is a failure;
- no call at all, a thread that ended early, a thread left behind: failures, each with its own sentence.
"""

from __future__ import annotations

import inspect
import threading
import traceback
import unittest
import warnings
from collections.abc import Iterable
from collections.abc import Sequence
from dataclasses import dataclass
from dataclasses import replace

import pytest

from stress.plugin.ordinary.job import CallError
from stress.plugin.ordinary.job import Job

GROUPS_IN_FULL = 3
GROUPS_LISTED_MAX = 10
TRACEBACK_LINES_MAX = 40
MESSAGE_CHARACTERS_MAX = 300

_SOMETIMES = "sometimes fails: failed in "
_ALONE_TOO = "fails on one thread too, no race shown: failed in "

_FRAMEWORK_MODULE = "stress.plugin.ordinary."


@dataclass(frozen=True)
class ThreadedOutcome:
    """One test's outcome. `error` is raised in the main thread (None: passed), the rest is for the report."""

    error: BaseException | None
    headline: str = ""
    details: str = ""
    failure: CallError | None = None
    """The first call that failed; None where no call did, though the test may have failed."""

    def with_control(self, sentence: str, *, is_same: bool) -> ThreadedOutcome:
        """Return the outcome with what one thread alone did; `is_same`: it failed as the threads' calls did."""
        headline = self.headline
        if is_same and headline.startswith(_SOMETIMES):
            headline = f"{_ALONE_TOO}{headline.removeprefix(_SOMETIMES)}"
        details = self.details.replace(self.headline, f"{headline}\n{sentence}", 1)
        return replace(self, headline=headline, details=details)


@dataclass
class Leftovers:
    """The remains of threads that the body itself started."""

    errors: Sequence[threading.ExceptHookArgs] = ()
    running: Sequence[str] = ()
    unordered: Sequence[str] = ()
    """Reports of pairs of accesses that nothing orders."""


def judge(
    job: Job, leftovers: Leftovers, *, nodeid: str, context_lines: Sequence[str] = ()
) -> ThreadedOutcome:
    """Return the outcome of `job`; raise at once what asks to stop the whole run (`pytest.exit`)."""
    errors = sorted((e for lane in job.lanes for e in lane.errors), key=lambda e: (e.iteration, e.thread))
    for call in errors:
        if isinstance(call.error, pytest.exit.Exception):
            raise call.error
    skips = [call for call in errors if is_skip(call.error)]
    xfails = [call for call in errors if isinstance(call.error, pytest.xfail.Exception)]
    failures = [call for call in errors if call not in skips and call not in xfails]
    failures += _returned_values(job, nodeid)
    extra = _sentences_beyond_calls(job, leftovers)
    if not failures and not extra:
        if not skips:
            return ThreadedOutcome(xfails[0].error if xfails else None)
        if len(skips) == job.calls:
            return ThreadedOutcome(as_skip(skips[0].error))
        extra = [_mixed(skips, job.calls)]
        skips = []
    headline = _headline(failures, extra, job)
    details = _details(failures, skips, extra, [headline, *context_lines])
    if failures:
        return ThreadedOutcome(_presentable(failures[0]), headline, details, failures[0])
    return ThreadedOutcome(pytest.fail.Exception(extra[0], pytrace=False), headline, details)


def is_skip(error: BaseException) -> bool:
    return isinstance(error, (pytest.skip.Exception, unittest.SkipTest))


def as_skip(error: BaseException) -> BaseException:
    """Return pytest's own skip for `unittest.SkipTest`, anything else as it is."""
    if isinstance(error, unittest.SkipTest):
        return pytest.skip.Exception(str(error), _use_item_location=True)
    return error


def _returned_values(job: Job, nodeid: str) -> list[CallError]:
    """Turn calls whose body never ran (un-awaited coroutine, generator) into failures; warn of others."""
    found = []
    for lane in job.lanes:
        for iteration, value in lane.returned:
            sentence = _never_ran(value)
            if sentence is not None:
                error = pytest.fail.Exception(sentence, pytrace=False)
                found.append(CallError(lane.index, iteration, error))
    if not found and any(lane.returned for lane in job.lanes):
        value = next(value for lane in job.lanes for _, value in lane.returned)
        text = f"Test functions should return None, but {nodeid} returned {type(value)!r}."
        warnings.warn(pytest.PytestReturnNotNoneWarning(text), stacklevel=2)
    return found


def _never_ran(value: object) -> str | None:
    if inspect.iscoroutine(value):
        value.close()  # or Python warns once more, at a place that has nothing to do with it
        return "the test returned a coroutine that nothing awaited: its body never ran"
    if inspect.isawaitable(value) or inspect.isasyncgen(value):
        return f"the test returned {type(value).__name__}, which nothing awaited: its body may never have run"
    if inspect.isgenerator(value):
        return "the test returned a generator that nothing advanced: its body never ran"
    return None


def _sentences_beyond_calls(job: Job, leftovers: Leftovers) -> list[str]:
    sentences = []
    for lane in job.lanes:
        done = len(lane.spans_ns)
        if lane.died_of is not None:
            sentences.append(
                f"thread {lane.index} died after {done} of {job.iterations} calls: {one_line(lane.died_of)}"
            )
        elif done < job.iterations:
            sentences.append(f"thread {lane.index} ended after {done} of {job.iterations} calls")
    if not job.calls:
        sentences.append("the test's body was never called")
    sentences += _sentences_of_threads(leftovers.errors)
    sentences += [
        f"the body left a thread running: {name}; join it in the test" for name in leftovers.running
    ]
    sentences += [f"UNORDERED  {one}" for one in leftovers.unordered]
    return sentences


def _sentences_of_threads(errors: Sequence[threading.ExceptHookArgs]) -> list[str]:
    names: dict[str, list[str]] = {}
    for args in errors:
        text = one_line(args.exc_value) if args.exc_value is not None else args.exc_type.__name__
        names.setdefault(text, []).append(args.thread.name if args.thread else "a thread that is gone")
    return [
        f"{len(threads)} thread{'s' if len(threads) > 1 else ''} that the body started "
        f"({', '.join(threads[:3])}{', ...' if len(threads) > 3 else ''}) raised {text}"
        for text, threads in names.items()
    ]


def _mixed(skips: Sequence[CallError], calls: int) -> str:
    return (
        f"{len(skips)} of {calls} calls skipped ({_threads(skips)}: {one_line(skips[0].error)}) and the "
        "others did not: either all calls of a test skip or none does"
    )


def _headline(failures: Sequence[CallError], extra: Sequence[str], job: Job) -> str:
    if not failures:
        return extra[0].partition("\n")[0]
    if len(failures) == job.calls:
        return f"always fails: {len(failures)} of {job.calls} calls"
    return f"{_SOMETIMES}{len(failures)} of {job.calls} calls ({_threads(failures)})"


def _threads(calls: Iterable[CallError]) -> str:
    indices = sorted({call.thread for call in calls})
    return f"thread {indices[0]}" if len(indices) == 1 else f"threads {', '.join(map(str, indices))}"


def _details(
    failures: Sequence[CallError], skips: Sequence[CallError], extra: Sequence[str], lines: Sequence[str]
) -> str:
    text = list(lines)
    groups = _grouped(failures)
    for group in groups[:GROUPS_LISTED_MAX]:
        first = group[0]
        text.append(
            f"{len(group)} x {one_line(first.error)} {_place(first.error)}"
            f"({_threads(group)}; first: thread {first.thread}, iteration {first.iteration})"
        )
    if len(groups) > GROUPS_LISTED_MAX:
        text.append(f"and {len(groups) - GROUPS_LISTED_MAX} other kinds of failure")
    if skips:
        text.append(
            f"in addition, {len(skips)} calls skipped ({_threads(skips)}): {one_line(skips[0].error)}"
        )
    # The headline is the first line already.
    text += [sentence for sentence in extra if sentence != lines[0]]
    # pytest shows the first error with its own traceback, if that is what is raised.
    shown = 1 if groups and _presentable(groups[0][0]) is groups[0][0].error else 0
    for group in groups[shown:GROUPS_IN_FULL]:
        if not _own_frames(group[0].error):
            continue
        text += [
            "",
            f"thread {group[0].thread}, iteration {group[0].iteration}:",
            *_traceback(group[0].error),
        ]
    return "\n".join(text)


def _grouped(failures: Sequence[CallError]) -> list[list[CallError]]:
    groups: dict[tuple[str, str], list[CallError]] = {}
    for call in failures:
        groups.setdefault((one_line(call.error), _place(call.error)), []).append(call)
    return list(groups.values())


def one_line(error: BaseException) -> str:
    try:
        message = str(error).strip()
    except Exception as broken:
        message = f"(its text cannot be shown: str() raised {type(broken).__name__})"
    first = message.splitlines()[0] if message else ""
    if len(first) > MESSAGE_CHARACTERS_MAX:
        first = first[:MESSAGE_CHARACTERS_MAX] + "..."
    return f"{type(error).__name__}: {first}" if first else type(error).__name__


def is_same_failure(one: BaseException, other: BaseException) -> bool:
    """Whether two errors are of one type and from one place; their texts may hold numbers."""
    return type(one) is type(other) and _place(one) == _place(other)


def _own_frames(error: BaseException) -> list[traceback.FrameSummary]:
    """Return the frames of the test and what it called, without this framework's and unittest's."""
    frames: list[traceback.FrameSummary] = []
    for raw, line in traceback.walk_tb(error.__traceback__):
        module = str(raw.f_globals.get("__name__", ""))
        # unittest marks its modules like this, for the same purpose.
        if not module.startswith(_FRAMEWORK_MODULE) and "__unittest" not in raw.f_globals:
            frames += traceback.StackSummary.extract([(raw, line)])
    return frames


def _place(error: BaseException) -> str:
    frames = _own_frames(error)
    return f"at {frames[-1].filename}:{frames[-1].lineno} " if frames else ""


def _traceback(error: BaseException) -> list[str]:
    lines = "".join(traceback.format_list(_own_frames(error))).splitlines()
    lines += "".join(traceback.format_exception_only(error)).splitlines()
    return lines[-TRACEBACK_LINES_MAX:]


def _presentable(call: CallError) -> BaseException:
    """Return what the main thread raises: the error itself, unless pytest would not take it for a failure."""
    error = call.error
    where = f"in thread {call.thread}, iteration {call.iteration}"
    if isinstance(error, (Exception, pytest.fail.Exception)):
        return error
    if isinstance(error, KeyboardInterrupt):
        sentence = f"the body raised KeyboardInterrupt {where}: in a thread it interrupts nothing, so it is a failure"
    elif isinstance(error, SystemExit):
        sentence = f"the body raised SystemExit({error.code!r}) {where}: in a thread it ends only the thread"
    else:
        sentence = f"the body raised {one_line(error)} {where}"
    return pytest.fail.Exception(sentence, pytrace=False)


def hide_unless_alone(excinfo: pytest.ExceptionInfo[BaseException]) -> bool:
    """Hide the framework's frames (as `__tracebackhide__`) from errors that have frames of the test, too.

    Where the error is a sentence of ours pytest shows no frame at all, and would say that all are hidden.
    """
    return not isinstance(excinfo.value, pytest.fail.Exception)
