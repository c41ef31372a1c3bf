"""What `--mps-tsan` makes of texts: reports joined to what was in flight, controls, suppressions, words."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import pytest

from stress.device.cache import CACHE_VARIABLE
from stress.device.clang import Toolchain
from stress.diagnose.tsan.parser import parse_lines
from stress.diagnose.tsan.report import Parsed
from stress.isolate.backend import Exit
from stress.isolate.judgement import judge
from stress.isolate.supervisor import ChildRun
from stress.model.finding import Finding
from stress.model.spec import ChildSpec
from stress.model.verdict import Verdict
from stress.plugin import options
from stress.plugin.tsan_run import closing_lines
from stress.plugin.tsan_run import unseen_line
from stress.sanitizer import suppressions
from stress.sanitizer.python.audit import audit
from stress.sanitizer.python.build import TsanBuild
from stress.sanitizer.python.build import preloaded_library
from stress.sanitizer.python.children import SUPPRESSIONS
from stress.sanitizer.python.children import Children
from stress.sanitizer.python.children import TsanResult
from stress.sanitizer.python.control import problem_of
from stress.sanitizer.python.findings import findings_of
from stress.sanitizer.python.findings import without_foreign
from stress.sanitizer.python.in_flight import InFlight
from stress.sanitizer.tsan_options import TsanOptions

KERNELS = """\
==================
WARNING: ThreadSanitizer: data race (pid=77)
  Write of size 8 at 0x721000101000 by thread T6:
    #0 mps_stress_in_flight_access <null> (libmps_stress_in_flight.so+0x15bf)
    #1 aten::add_.Tensor on-device.kernel
    #2 mps_sim::announce_write(mps_sim::Layout const&, mps_sim::MemoryRange const&) /h/torch/announce.cpp:71:72 (libmps_stress_sim.so+0x43ee5)
    #3 mps_sim::(anonymous namespace)::run_kernel(mps_sim::(anonymous namespace)::Launch const&) /h/torch/fallback.cpp:88:5 (libmps_stress_sim.so+0x1)
    #4 aten::add_.Tensor on-device.kernel

  Previous read of size 8 at 0x721000101000 by thread T7:
    #0 mps_stress_in_flight_access <null> (libmps_stress_in_flight.so+0x15bf)
    #1 copy on-device.kernel
    #2 mps_sim::read_alias(mps_sim::Layout const&, mps_sim::MemoryRange const&) /h/torch/announce.h:110:3 (libmps_stress_sim.so+0x43ee6)

  Thread T6 'sim-stream-1' (tid=101, running) created by thread T4 at:
    #0 pthread_create <null> (libclang_rt.tsan-x86_64.so+0x73ad1)

  Thread T7 'sim-stream-2' (tid=102, running) created by thread T5 at:
    #0 pthread_create <null> (libclang_rt.tsan-x86_64.so+0x73ad1)

SUMMARY: ThreadSanitizer: data race in aten::add_.Tensor
==================
"""
HOST = """\
==================
WARNING: ThreadSanitizer: data race (pid=77)
  Write of size 8 at 0x7f0000000100 by thread T4:
    #0 mps_sim::(anonymous namespace)::Allocator::take_unlocked(unsigned long, int) /h/runtime/allocator.cpp:205:11 (libmps_stress_sim.so+0x2)
    #1 aten::mul.Tensor torch.call

  Previous write of size 8 at 0x7f0000000100 by thread T5:
    #0 mps_sim::(anonymous namespace)::Allocator::take_unlocked(unsigned long, int) /h/runtime/allocator.cpp:205:11 (libmps_stress_sim.so+0x2)

SUMMARY: ThreadSanitizer: data race in take_unlocked
==================
"""
AUTOGRAD = """\
==================
WARNING: ThreadSanitizer: data race (pid=77)
  Write of size 8 at 0x7244000b16d0 by thread T5:
    #0 free <null> (libclang_rt.tsan-x86_64.so+0x726c2)
    #1 std::_Sp_counted_ptr_inplace<torch::autograd::GraphTask>::_M_dispose() offloadstuff.c (libtorch_cpu.so+0x5c42141)
    #2 aten::sum torch.call

  Previous atomic read of size 1 at 0x7244000b16d0 by main thread:
    #0 pthread_mutex_lock <null> (libclang_rt.tsan-x86_64.so+0x757de)
    #1 torch::autograd::Engine::execute(std::vector<torch::autograd::Edge> const&) <null> (libtorch_cpu.so+0x5c3d2a0)

SUMMARY: ThreadSanitizer: data race offloadstuff.c in std::_Sp_counted_ptr_inplace<torch::autograd::GraphTask>::_M_dispose()
==================
"""
IN_FLIGHT = {
    "accesses": [
        {"address": 0x721000101000, "write": True, "tid": 101, "kernel": True, "operation": "aten::add_.Tensor",
         "stream": 1, "thread": 0, "iteration": 14},
        {"address": 0x721000101000, "write": False, "tid": 102, "kernel": True, "operation": "copy",
         "stream": 2, "thread": 5, "iteration": 3},
    ]
}  # fmt: skip


def parsed(text: str) -> Parsed:
    return parse_lines(text.splitlines())


def flight(path: Path, *lines: object) -> InFlight:
    path.write_text("".join(f"{one if isinstance(one, str) else json.dumps(one)}\n" for one in lines))
    return InFlight.read(path)


def planted(variable: str) -> str:
    side = f"    #0 canary /h/torch/planted_races.cpp:49:19 (lib.so+0x1)\n    #1 {variable}_caller /h/x.cpp:1:1 (lib.so+0x2)\n"
    return (
        "WARNING: ThreadSanitizer: data race (pid=1)\n"
        f"  Write of size 4 at 0x10 by thread T5:\n{side}\n"
        f"  Previous write of size 4 at 0x10 by thread T4:\n{side}\n"
        f"  Location is global '{variable}' of size 4 at 0x10 (lib.so+0x1265a8)\n\n"
        "SUMMARY: ThreadSanitizer: data race in canary\n==================\n"
    )


KERNEL_CANARY = KERNELS.replace("aten::add_.Tensor", "mps_race_canary_kernel").replace(
    "#1 copy on-device", "#1 mps_race_canary_kernel on-device"
)
ALL_PLANTED = planted("mps_race_canary") + planted("mps_race_canary_history") + KERNEL_CANARY


class TestAReportOfKernels:
    def test_is_named_by_its_operations(self) -> None:
        assert parsed(KERNELS).signatures == ("tsan/data-race aten::add_.Tensor <> copy",)
        assert not parsed(KERNELS).unparsed_lines

    def test_is_joined_to_threads_and_iterations(self, tmp_path: Path) -> None:
        (finding,) = findings_of(parsed(KERNELS), flight(tmp_path / "f", IN_FLIGHT))
        assert finding.text == (
            "write by kernel aten::add_.Tensor (stream 1, thread 0 iteration 14) against "
            "read by kernel copy (stream 2, thread 5 iteration 3)"
        )
        assert (finding.verdict, finding.thread, finding.iteration) == (Verdict.RACE, 0, 14)

    def test_shows_no_frames_of_the_announcing(self) -> None:
        (finding,) = findings_of(parsed(KERNELS), InFlight())
        assert finding.trace is not None
        assert "announce" not in finding.trace
        assert "mps_sim::run_kernel fallback.cpp:88:5" in finding.trace

    def test_is_told_without_what_was_in_flight(self, tmp_path: Path) -> None:
        other = {"accesses": [{"address": 1}, {"address": 2}]}
        for known in (InFlight(), flight(tmp_path / "f", other), InFlight.read(tmp_path / "missing")):
            (finding,) = findings_of(parsed(KERNELS), known)
            assert finding.text == "write by kernel aten::add_.Tensor against read by kernel copy"
            assert finding.thread is None


class TestAReportOfTheHost:
    def test_names_the_function_and_the_operation_around_it(self) -> None:
        (finding,) = findings_of(parsed(HOST), InFlight())
        assert finding.text == (
            "write by mps_sim::Allocator::take_unlocked (in aten::mul.Tensor) against "
            "write by mps_sim::Allocator::take_unlocked"
        )


@pytest.mark.parametrize(
    "line",
    ["", "{", "[]", "null", '{"accesses": 3}', '{"accesses": [3]}', '{"accesses": [{"address": "x"}]}', "\0"],
)
def test_a_line_that_is_none_is_left_out(tmp_path: Path, line: str) -> None:
    assert len(flight(tmp_path / "f", line, IN_FLIGHT).lines) == 1


class TestTheControls:
    def test_are_right_where_exactly_the_planted_races_were_reported(self) -> None:
        assert problem_of(parsed(ALL_PLANTED)) == ""

    @pytest.mark.parametrize(
        ("missing", "told"),
        [
            (planted("mps_race_canary"), "canary not found"),
            (planted("mps_race_canary_history"), "history canary not found"),
            (KERNEL_CANARY, "kernel canary not found"),
            (ALL_PLANTED, "canary, history canary, kernel canary not found"),
        ],
    )
    def test_tell_what_is_missing(self, missing: str, told: str) -> None:
        assert problem_of(parsed(ALL_PLANTED.replace(missing, ""))) == told

    def test_tell_what_is_too_much(self) -> None:
        told = problem_of(parsed(ALL_PLANTED + HOST))
        assert told.startswith("the controls reported a race where there is none: tsan/data-race ")


def run_with(outcome: TsanResult, findings: list[Finding] | None = None, *, code: int = 0) -> ChildRun:
    result = {"findings": [one.to_data() for one in findings or []], "notes": []}
    spec = ChildSpec("crew", "/nowhere", "one", "sim")
    return ChildRun(spec, result, Exit(code, 0, 0), False, 1.0, 0.0, 1, tsan=outcome)


def outcome(text: str = "", problem: str = "") -> TsanResult:
    seen = parsed(text)
    return TsanResult(seen, tuple(findings_of(seen, InFlight())), (problem,) if problem else ())


@pytest.mark.skipif(sys.platform != "linux", reason="the simulated device is for Linux")
def test_libraries_in_a_folder_with_a_space_are_loaded(
    tmp_path: Path, toolchain: Toolchain, monkeypatch: pytest.MonkeyPatch
) -> None:
    """LD_PRELOAD ends a path at a space, and nothing quotes one: the loader says so on stderr and goes on without it."""
    folder = tmp_path / "für mps" / "a b"
    folder.mkdir(parents=True)
    (folder / "one.c").write_text("int one;\n")
    library = folder / "libone.so"
    subprocess.run([toolchain.clangxx, "-x", "c", "-shared", "-o", library, folder / "one.c"], check=True)
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    options = TsanOptions.make(toolchain, SUPPRESSIONS)
    children = Children(replace(toolchain, runtime_library=library), library, options)
    try:
        code = "print(sum(line.rstrip().endswith('/libone.so') for line in open('/proc/self/maps')))"
        environment = {**os.environ, **children.env()}
        done = subprocess.run(
            [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
        )
    finally:
        children.close()
    assert done.stderr == ""
    assert int(done.stdout) > 0


class TestTheVerdict:
    def test_of_a_report_is_race(self) -> None:
        judged = judge(run_with(outcome(KERNELS)))
        assert judged.verdict == Verdict.RACE
        assert judged.headline.startswith("tsan/data-race aten::add_.Tensor <> copy: ")

    def test_of_a_report_and_a_wrong_value_is_race(self) -> None:
        assert judge(run_with(outcome(KERNELS), [Finding("mismatch", "stale", "x")])).verdict == Verdict.RACE

    def test_of_a_report_and_a_crash_is_crash(self) -> None:
        assert judge(run_with(outcome(KERNELS), code=-11)).verdict == Verdict.CRASH

    def test_of_a_report_outweighs_what_cannot_be_told(self) -> None:
        assert judge(run_with(outcome(KERNELS), code=-9)).verdict == Verdict.RACE

    def test_of_silence_that_proves_nothing_is_inconclusive(self) -> None:
        judged = judge(run_with(outcome(problem="controls: canary not found")))
        assert (judged.verdict, judged.headline) == (Verdict.INCONCLUSIVE, "controls: canary not found")

    def test_of_a_report_is_race_whatever_the_controls(self) -> None:
        assert judge(run_with(outcome(KERNELS, problem="controls: canary not found"))).verdict == Verdict.RACE


class TestSuppressions:
    @pytest.fixture
    def told(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
        monkeypatch.setattr("stress.sanitizer.python.audit._functions", lambda _: ["mps_sim::commit()"])
        file = tmp_path / "suppressions.txt"
        file.write_text(
            "# A reason. https://example.org/\nrace:libtorch_python\n"
            "# A reason. https://example.org/\nrace_top:^memcpy_of_libtorch$\n"
            "# A reason. https://example.org/\nrace_top:^mps_sim::*$\n"
        )
        return audit(TsanOptions({"suppressions": str(file)}, {}), TsanBuild((Path("/x/lib.so"),), 3, 3))

    def test_that_every_call_passes_through_are_refused(self, told: list[str]) -> None:
        assert "libtorch_python.so, through which every call of a scenario passes" in told[0]

    def test_that_match_the_device_are_refused(self, told: list[str]) -> None:
        assert any("mps_sim::commit()" in one for one in told)

    def test_that_are_anchored_and_narrow_are_fine(self, told: list[str]) -> None:
        assert not any("memcpy_of_libtorch" in one for one in told)


def test_a_unit_that_is_not_instrumented_is_told() -> None:
    build = TsanBuild((Path("/x/lib.so"),), units=3, instrumented=2)
    assert audit(TsanOptions({}, {}), build) == ["only 2 of 3 translation units instrumented"]


def test_what_is_instrumented_of_a_core_is_counted_in_both_of_its_libraries(
    toolchain: Toolchain, tmp_path: Path
) -> None:
    source = tmp_path / "one.cpp"
    source.write_text("int value; void change() { value = 1; }\n")
    for name, flags in (("module.so", ["-fsanitize=thread"]), ("core.so", [])):
        command = [
            str(toolchain.clangxx),
            "-shared",
            "-fPIC",
            *flags,
            str(source),
            "-o",
            str(tmp_path / name),
        ]
        subprocess.run(command, check=True)
    units = {"library": 1, "python_module": 1, "driver": 7}
    manifest = {"library": "core.so", "python_module": "module.so", "driver": "driver", "units": units}
    (tmp_path / "manifest.json").write_text(json.dumps(manifest))
    made = TsanBuild.read(tmp_path / "module.so")
    assert set(made.libraries) == {tmp_path / "module.so", tmp_path / "core.so"}
    assert made.units_text == "1 of 2 translation units instrumented"
    assert audit(TsanOptions({}, {}), made) == ["only 1 of 2 translation units instrumented"]


def test_what_is_preloaded_is_built_once(
    toolchain: Toolchain, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path))
    made = preloaded_library(print)
    before = made.stat()
    assert preloaded_library(print) == made
    assert made.stat().st_mtime_ns == before.st_mtime_ns


class TestForeign:
    """libtorch is not instrumented: a report in which neither side is our code, the tree's or a kernel says nothing."""

    def test_is_counted_and_left_out(self) -> None:
        kept, foreign = without_foreign(parsed(AUTOGRAD + KERNELS + AUTOGRAD + HOST))
        assert foreign == 2
        assert (kept.total, len(kept.reports)) == (2, 2)
        assert kept.signatures == parsed(KERNELS + HOST).signatures
        assert kept.complete

    def test_is_not_one_whose_other_side_is_ours(self) -> None:
        free = AUTOGRAD[AUTOGRAD.index("  Write") : AUTOGRAD.index("  Previous")]
        mixed = HOST.replace(HOST[HOST.index("  Write") : HOST.index("  Previous")], free)
        assert without_foreign(parsed(mixed)) == (parsed(mixed), 0)

    def test_is_not_one_whose_other_side_was_lost(self) -> None:
        side = AUTOGRAD[AUTOGRAD.index("    #0 pthread_mutex_lock") : AUTOGRAD.index("\nSUMMARY")]
        lost = AUTOGRAD.replace(side, "    [failed to restore the stack]\n")
        assert without_foreign(parsed(lost))[1] == 0


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ("--mps-device=cpu", "for the simulated device and a tree's own core, not for cpu"),
        ("--mps-no-isolation", "leave out --mps-no-isolation and --pdb"),
        ("--mps-sim-schedule=random", "leave one of the two options out"),
    ],
)
def test_what_does_not_go_together_is_refused(pytester: pytest.Pytester, given: str, told: str) -> None:
    config = pytester.parseconfig("--mps-threads=4", "--mps-tsan", given)
    with pytest.raises(pytest.UsageError, match=rf"^--mps-tsan: .*{told}"):
        options.parse(config)


def test_the_device_is_a_trees_core_where_that_was_asked_for(pytester: pytest.Pytester) -> None:
    config = pytester.parseconfig("--mps-threads=4", "--mps-tsan", "--mps-device=core", "--mps-pytorch=..")
    assert options.parse(config).device == "core"


def test_the_device_is_the_simulated_one(pytester: pytest.Pytester) -> None:
    assert options.parse(pytester.parseconfig("--mps-threads=4", "--mps-tsan")).device == "sim"


def test_the_closing_line_sums_up() -> None:
    row = {
        "attempts": 5,
        "reports": 2,
        "problem": "",
        "units": "3 of 3 units",
        "suppressed": {"race_top:^f$": 3},
        "foreign": 0,
    }
    (line,) = closing_lines([row, {**row, "reports": 0}])
    assert line.startswith(
        "ThreadSanitizer: 2 reports in 10 attempts; canaries found; 3 of 3 units; libtorch not "
    )
    assert line.endswith("suppressions matched: race_top:^f$ 6")
    (line,) = closing_lines([{**row, "foreign": 3}])
    assert line.startswith(
        "ThreadSanitizer: 2 reports in 5 attempts; 3 more in code that is not instrumented, left out; "
    )
    (line,) = closing_lines([{**row, "problem": "controls: canary not found"}])
    assert "; NOT USABLE (controls: canary not found); " in line
    assert closing_lines([]) == []


def test_our_own_suppressions_are_fine_and_of_no_race() -> None:
    entries = suppressions.read(SUPPRESSIONS)
    assert [one.kind for one in entries] == ["signal"]
    assert suppressions.problems(entries, ["mps_sim::commit()"]) == []


def test_one_stream_for_all_threads_is_said_to_hide_races_of_kernels() -> None:
    assert unseen_line("fork") == ""
    assert "a race of one with the host on any" in unseen_line("upstream", is_core=True)
    assert "races of kernels show with --mps-sim-design=fork" in unseen_line("upstream")
