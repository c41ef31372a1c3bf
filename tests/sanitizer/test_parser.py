"""What the parser takes out of real reports: those of `reports/`, recorded with four compilers (see record.py)."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from stress.diagnose.tsan.names import naming_frame
from stress.diagnose.tsan.parser import parse_file
from stress.diagnose.tsan.parser import parse_lines
from stress.diagnose.tsan.report import KINDS
from stress.diagnose.tsan.report import Parsed
from stress.diagnose.tsan.report import Report
from stress.diagnose.tsan.signature import signature

REPORTS = Path(__file__).parent / "reports"
RECORDED = ("clang-19", "clang-14", "clang-19-O2", "gcc-12")
CASES = sorted(path.stem for path in (REPORTS / "clang-19").glob("*.txt"))
# Reports of files that somebody else recorded on another machine: types and how many of each.
SHARED: dict[str, dict[str, int]] = {
    "abort": {},
    "clean": {},
    "lost_stack": {},
    "fatal_bad_symbolizer": {},
    "fatal_unexpected_mapping": {},
    "segv": {},
    "deadlock2": {"lock-order-inversion": 1},
    "destroy_locked": {"locked-mutex-destroy": 1},
    "double_unlock": {"mutex-bad-unlock": 1},
    "named_threads": {"data-race": 1},
    "race_global": {"data-race": 1},
    "race_heap": {"data-race": 1},
    "race_stack": {"data-race": 1},
    "signal_unsafe": {"signal-unsafe-call": 2, "errno-in-signal-handler": 1},
    "thread_leak": {"thread-leak": 1},
    "two_reports": {"data-race": 2},
    "uaf": {"heap-use-after-free": 1},
}


def recorded(case: str, compiler: str = "clang-19") -> Parsed:
    return parse_file(REPORTS / compiler / f"{case}.txt")


def only(case: str, compiler: str = "clang-19") -> Report:
    parsed = recorded(case, compiler)
    assert len(parsed.reports) == 1
    return parsed.reports[0]


def test_every_shared_file_is_expected() -> None:
    assert {path.stem for path in (REPORTS / "shared").glob("*.txt")} == set(SHARED)


@pytest.mark.parametrize("name", SHARED)
def test_shared_reports_are_read_whole(name: str) -> None:
    parsed = parse_file(REPORTS / "shared" / f"{name}.txt")
    assert parsed.unparsed_lines == 0, parsed.unparsed
    kinds: dict[str, int] = {}
    for report in parsed.reports:
        kinds[report.kind] = kinds.get(report.kind, 0) + report.count
    assert kinds == SHARED[name]
    assert parsed.announced == (sum(SHARED[name].values()) or None)
    assert parsed.complete
    meta = REPORTS / "shared" / f"{name}.meta"
    if meta.exists():
        # 66 is also the status of a SEGV; 134 and 0 have no report.
        status = int(meta.read_text().strip().removeprefix("exit_code="))
        assert (status == 66) == (parsed.total > 0 or bool(parsed.deadly))


@pytest.mark.parametrize("compiler", RECORDED)
def test_recorded_reports_are_read_whole(compiler: str) -> None:
    for case in CASES:
        parsed = recorded(case, compiler)
        assert parsed.unparsed_lines == 0, (case, parsed.unparsed)
        assert not parsed.fatal
        assert parsed.complete, case
        if case == "segv":  # It dies before the runtime can count.
            assert (parsed.total, parsed.announced, len(parsed.deadly)) == (1, None, 1)
        else:
            assert parsed.total == (parsed.announced or 0), case
        for report in parsed.reports:
            # A leak's stack is that of its thread.
            stacks = [one.frames for one in report.stacks] or [one.frames for one in report.threads]
            assert stacks, case
            assert all(stacks), case


def test_every_type_was_recorded() -> None:
    kinds = {report.kind for case in CASES for report in recorded(case).reports}
    # Only annotated code of the Java runtime can provoke the missing one.
    assert kinds == set(KINDS.values()) - {"mutex-held-in-wrong-context"}


class TestSignatures:
    @pytest.mark.parametrize("compiler", ["clang-14", "clang-19-O2"])
    def test_equal_in_every_clang_and_after_a_shift_of_lines(self, compiler: str) -> None:
        for case in CASES:
            assert recorded(case, compiler).signatures == recorded(case).signatures, case

    @pytest.mark.parametrize("compiler", RECORDED)
    @pytest.mark.parametrize("case", ["race_template", "lock_order"])
    def test_either_thread_may_come_first(self, case: str, compiler: str) -> None:
        first, second = only(case, compiler), only(f"{case}_swapped", compiler)
        assert [one.frames for one in first.stacks] != [one.frames for one in second.stacks]
        assert signature(first) == signature(second)

    @pytest.mark.parametrize(
        "case", ["race_global", "race_memcpy", "race_inlined", "lock_order", "bad_unlock"]
    )
    def test_gcc_agrees_where_no_class_takes_part(self, case: str) -> None:
        assert recorded(case, "gcc-12").signatures == recorded(case).signatures

    @pytest.mark.parametrize(
        ("case", "name"),
        [
            ("race_global", "tsan/data-race add <> add on counter"),
            ("race_heap", "tsan/data-race add <> add"),
            ("race_method", "tsan/data-race RoundRobin::next <> RoundRobin::next"),
            ("race_template", "tsan/data-race Pool::put <> Pool::take"),
            ("race_operator", "tsan/data-race Pool::operator< <> Pool::put"),
            ("race_memcpy", "tsan/data-race fill <> touch on to"),
            ("race_map", "tsan/data-race remember <> remember"),
            ("race_fd", "tsan/data-race close_it <> write_to"),
            ("race_lambda", "tsan/data-race race_lambda::{lambda} <> race_lambda::{lambda} on counter"),
            ("race_inlined", "tsan/data-race inlined_add <> inlined_add on counter"),
            ("race_external", "tsan/external-race modify_tagged <> read_tagged"),
            ("uaf_object", "tsan/heap-use-after-free WorkerStream::~WorkerStream <> peek"),
            ("lock_order_three", "tsan/lock-order-inversion both <> both <> other_way"),
            ("thread_leak", "tsan/thread-leak thread_leak"),
            ("signal_unsafe", "tsan/signal-unsafe-call allocating_handler"),
            ("invalid_mutex", "tsan/mutex-invalid-access invalid_mutex"),
        ],
    )
    def test_the_name_says_our_code(self, case: str, name: str) -> None:
        assert recorded(case).signatures == (name,)

    def test_one_function_on_two_variables_is_two_faults(self) -> None:
        report = only("race_global")
        assert report.location is not None
        other = replace(report, locations=(replace(report.location, name="another"),))
        assert signature(other) == "tsan/data-race add <> add on another"

    def test_addresses_and_processes_do_not_matter(self) -> None:
        text = (REPORTS / "clang-19" / "race_heap.txt").read_text()
        moved = text.replace("0x7", "0x6").replace("(pid=", "(pid=1")
        parsed = parse_lines([*text.splitlines(), *moved.splitlines()])
        assert (len(parsed.reports), parsed.reports[0].count, parsed.total) == (1, 2, 2)


class TestDetails:
    def test_accesses_know_size_thread_and_locks(self) -> None:
        now, before = only("race_two_locks").accesses
        assert now.access is not None
        assert before.access is not None
        assert (now.access.write, now.access.previous, now.access.size) == (False, False, 4)
        assert (before.access.write, before.access.previous) == (True, True)
        assert (now.thread, before.thread) == (2, 1)
        assert now.access.mutexes == ("write M0",)
        assert before.access.mutexes == ("read M1", "write M2")
        assert [one.id for one in only("race_two_locks").mutexes] == ["M0", "M1", "M2"]
        assert only("race_global").accesses[0].access.mutexes == ()  # type: ignore[union-attr]

    def test_an_atomic_side(self) -> None:
        assert [one.access.atomic for one in only("race_atomic").accesses if one.access] == [True, False]

    @pytest.mark.parametrize(
        ("case", "kind", "name", "size"),
        [
            ("race_global", "global", "(anonymous namespace)::counter", 4),
            ("race_element", "global", "(anonymous namespace)::table", 16),
            ("race_heap", "heap", None, 16),
            ("race_stack", "stack", None, None),
            ("race_tls", "tls", None, None),
            ("race_fd", "fd", None, None),
        ],
    )
    def test_the_object(self, case: str, kind: str, name: str | None, size: int | None) -> None:
        location = only(case).location
        assert location is not None
        assert (location.kind, location.name, location.size) == (kind, name, size)

    def test_a_heap_block_knows_where_it_was_made(self) -> None:
        location = only("race_heap").location
        assert location is not None
        frame = naming_frame(location.frames)
        assert frame is not None
        assert frame.function == "(anonymous namespace)::race_heap()"
        assert location.thread == 0

    def test_a_tagged_object(self) -> None:
        report = only("race_external")
        assert report.type == "race on MPSStream"
        assert [one.access.object_type for one in report.accesses if one.access] == ["MPSStream", "MPSStream"]
        assert report.location is not None
        assert (report.location.object_type, report.location.size) == ("MPSStream", 16)

    def test_threads_and_their_names(self) -> None:
        threads = {one.id: one for one in only("race_named").threads}
        assert {number: one.name for number, one in threads.items()} == {
            1: "mps-worker-0",
            2: "mps (worker) '1",
        }
        assert all(one.parent == 0 and one.tid and one.frames for one in threads.values())
        assert threads[1].running

    def test_a_cycle_of_locks(self) -> None:
        report = only("lock_order")
        assert [one.id for one in report.mutexes] == ["M0", "M1"]
        assert [(one.kind, one.mutex, one.holding, one.thread) for one in report.stacks] == [
            ("lock", "M1", "M0", 1),
            ("held", "M0", None, 1),
            ("lock", "M0", "M1", 2),
            ("held", "M1", None, 2),
        ]

    def test_what_only_some_reports_have(self) -> None:
        assert only("signal_errno").signal == 14
        assert only("thread_leak").similar == 2
        assert [one.kind for one in only("race_sleep").stacks] == ["access", "access", "sleep"]
        assert [one.header for one in only("destroy_locked").stacks] == ["", "and"]
        assert only("race_global").summary is not None
        assert only("race_global", "gcc-12").accesses[0].frames[0].column is None

    def test_a_deadly_signal_is_no_report(self) -> None:
        parsed = parse_file(REPORTS / "shared" / "segv.txt")
        assert parsed.total == 0
        (deadly,) = parsed.deadly
        assert (deadly.kind, deadly.address, deadly.access, deadly.tid) == ("SEGV", 0x10, "WRITE", 27956)
        assert deadly.hints == ("address points to the zero page.",)
        assert len(deadly.frames) == 10
