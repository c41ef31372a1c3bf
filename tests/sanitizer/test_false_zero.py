"""Each of the ways in which a run reports nothing although it raced, really produced: none of them may pass.

The situations are those of LLVM's runtime as Debian 12 ships it; every test first shows, or its neighbour does, that the
same program finds the race when nothing is amiss.
"""

from __future__ import annotations

import shlex
import shutil
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from stress.device.clang import CLANG_VARIABLE
from stress.device.clang import Toolchain
from stress.device.clang import find_toolchain
from stress.model.verdict import Verdict
from stress.sanitizer.native.build import NativeBuilder
from stress.sanitizer.native.build import Program
from stress.sanitizer.native.recipe import Recipe
from stress.sanitizer.native.result import CaseResult
from tests.sanitizer.conftest import SMALL
from tests.sanitizer.conftest import Open
from tests.sanitizer.conftest import Opened

Small = Callable[..., Opened]
FAULT = "counter_unlocked"
linux_only = pytest.mark.skipif(sys.platform != "linux", reason="shell scripts stand in for ELF programs")


def case(opened: Opened, name: str = "counter", fault: str | None = None, threads: int = 4) -> CaseResult:
    return opened.runner.case(name, threads, 20, 1, fault=fault)


class TestNothingAmiss:
    def test_the_seeded_race_is_found_by_the_detector_that_is_declared(self, small: Small) -> None:
        result = case(small(), fault=FAULT)
        assert result.verdict == Verdict.RACE
        assert result.runs[0].detectors == ("tsan",)
        assert "data-race" in result.headline
        assert "Counter::add" in result.headline

    def test_a_silent_case_passes_and_says_what_that_is_worth(self, small: Small) -> None:
        result = case(small())
        assert result.verdict == Verdict.PASS, result.headline
        simulated = "; simulated" if sys.platform == "linux" else ""
        assert result.sentence == (
            "counter 4 x 20: 0 races in 1 run; canary found; 3 of 3 translation units instrumented; "
            f"libtorch not linked; 0 suppressions matched{simulated}"
        )

    def test_the_twin_of_the_fault_is_silent(self, small: Small) -> None:
        assert case(small(), fault=f"{FAULT}/twin").verdict == Verdict.PASS

    def test_exit_status_0_hides_no_report(self, small: Small) -> None:
        result = case(small("exitcode=0"), fault=FAULT)
        assert result.verdict == Verdict.RACE
        assert result.runs[0].ran.code == 0

    @pytest.mark.parametrize(
        ("fault", "detector", "verdict"),
        [("encoder_taken_twice", "metal", "crash"), ("count_lost", "invariant", "mismatch")],
    )
    def test_the_other_detectors_are_told_apart(
        self, small: Small, fault: str, detector: str, verdict: str
    ) -> None:
        result = case(small(), fault=fault)
        assert result.verdict == verdict
        assert result.runs[0].detectors == (detector,)


class TestOptions:
    def test_bugs_that_are_not_reported(self, small: Small) -> None:
        result = case(small("report_bugs=0"), fault=FAULT)
        assert result.races == 0
        assert result.verdict == Verdict.INCONCLUSIVE
        assert "canary not found: the planted race was not reported" in result.headline

    def test_a_history_too_short_for_the_race(self, small: Small) -> None:
        result = case(small("history_size=0"))
        assert not result.controls.canary, "the plain canary is found: only the history canary can tell"
        assert result.verdict == Verdict.INCONCLUSIVE
        assert "history canary not found: the planted race was not reported" in result.headline

    def test_a_symbolizer_that_is_not_there(self, small: Small) -> None:
        result = case(small("external_symbolizer_path=/nonexistent/llvm-symbolizer"), fault=FAULT)
        assert result.verdict == Verdict.INCONCLUSIVE or result.controls.canary
        silent = case(small("external_symbolizer_path=/nonexistent/llvm-symbolizer"))
        assert silent.verdict == Verdict.INCONCLUSIVE

    def test_a_symbolizer_that_is_none(self, small: Small) -> None:
        """The runtime ends at once, with the status that also means a race, and no report."""
        result = case(small("external_symbolizer_path=/nonexistent"), fault=FAULT)
        assert result.runs[0].ran.code == 66
        assert result.races == 0
        assert result.verdict == Verdict.INCONCLUSIVE
        assert "isn't a known symbolizer" in result.headline

    def test_reports_without_names(self, small: Small) -> None:
        result = case(small("symbolize=0"))
        assert result.verdict == Verdict.INCONCLUSIVE
        assert "canary not found: the report is" in result.headline

    def test_a_suppressions_file_that_is_not_there(self, small: Small) -> None:
        result = case(small("suppressions=/nonexistent/file.txt"), fault=FAULT)
        assert result.races == 0
        assert result.verdict == Verdict.INCONCLUSIVE
        assert "/nonexistent/file.txt cannot be read" in result.headline

    def test_a_broad_suppression(self, small: Small, tmp_path: Path) -> None:
        path = tmp_path / "suppressions.txt"
        path.write_text("# too many reports, see https://example.org/1\nrace:controls.cpp\n")
        result = case(small(f"suppressions={path}"))
        assert result.verdict == Verdict.INCONCLUSIVE
        assert "canary not found" in result.headline
        assert "not anchored" in result.headline
        assert "matches code under test" in result.headline

    def test_a_suppression_that_spares_the_canary_and_hides_the_race(
        self, small: Small, tmp_path: Path
    ) -> None:
        """The canary is in another file; the audit and what matched are all that tell."""
        path = tmp_path / "suppressions.txt"
        path.write_text("# https://example.org/1 says it is fine\nrace:^*counter.cpp$\n")
        result = case(small(f"suppressions={path}"), fault=FAULT)
        assert result.races == 0
        assert not result.controls.reasons
        assert result.verdict == Verdict.INCONCLUSIVE
        assert "it matches code under test" in result.headline
        assert "1 suppression matched (race:^*counter.cpp$ " in result.sentence


class TestInstrumentation:
    def test_a_program_without_any(self, open_runner: Open, toolchain: Toolchain) -> None:
        program = NativeBuilder(Recipe.load(SMALL), toolchain, tsan=False).ensure(print)
        result = case(open_runner(program, toolchain), fault=FAULT)
        assert result.races == 0
        assert result.verdict == Verdict.INCONCLUSIVE
        assert "only 0 of 3 translation units are instrumented" in result.headline
        assert "tsan False, but True was requested" in result.headline

    def test_one_unit_without_which_the_canary_is_found(
        self, open_runner: Open, toolchain: Toolchain, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A compiler wrapper that loses the option for one file."""
        wrapper = tmp_path / "clang++-wrapper"
        wrapper.write_text(
            "#!/bin/bash\narguments=()\n"
            'for one; do [[ "$*" == *"counter.cpp -o"* && $one == -fsanitize=thread ]] || arguments+=("$one"); done\n'
            f'exec {toolchain.clangxx} "${{arguments[@]}}"\n'
        )
        wrapper.chmod(0o755)
        monkeypatch.setenv(CLANG_VARIABLE, str(wrapper))
        wrapped = find_toolchain()
        program = NativeBuilder(Recipe.load(SMALL), wrapped, cache=tmp_path / "cache").ensure(print)
        result = case(open_runner(program, wrapped), fault=FAULT)
        assert result.races == 0, "the race is in the unit that is not watched"
        assert not result.controls.reasons, "the canary is in another one, and found"
        assert result.verdict == Verdict.INCONCLUSIVE
        assert "only 2 of 3 translation units are instrumented: counter.cpp not" in result.headline

    def test_code_that_asks_not_to_be_watched(
        self, open_runner: Open, toolchain: Toolchain, tmp_path: Path
    ) -> None:
        """Its unit has every mark of an instrumented one."""
        shutil.copytree(SMALL.parent, tmp_path / "programs")
        source = tmp_path / "programs" / "small" / "counter.cpp"
        text = source.read_text()
        source.write_text(text.replace("  void add(", '  __attribute__((no_sanitize("thread"))) void add('))
        program = NativeBuilder(Recipe.load(tmp_path / "programs" / "small.toml"), toolchain).ensure(print)
        assert not program.missing
        result = case(open_runner(program, toolchain), fault=FAULT)
        assert result.races == 0
        assert result.verdict == Verdict.INCONCLUSIVE
        assert "disables its own instrumentation: counter.cpp:" in result.headline


class TestRuns:
    def test_one_thread(self, small: Small) -> None:
        result = case(small(), fault=FAULT, threads=1)
        assert result.verdict == Verdict.INCONCLUSIVE
        assert "one thread cannot race" in result.headline

    def test_a_hang_after_reports_keeps_them(self, small: Small) -> None:
        opened = small(deadline_s=3.0)
        result = case(opened, "stuck")
        assert result.verdict == Verdict.HANG
        assert result.races >= 1
        assert result.runs[0].detectors == ("tsan",)
        assert "no end after 3." in result.headline
        assert "tsan/data-race Counter::add <> Counter::add" in result.headline

    @pytest.mark.parametrize(
        ("name", "reason"),
        [
            ("nothing", "the case did nothing (exit status 3)"),
            ("idle", "the case did nothing (0 operations)"),
            ("mute", "it printed no start line"),
        ],
    )
    def test_a_case_that_did_nothing(self, small: Small, name: str, reason: str) -> None:
        result = case(small(), name)
        assert result.verdict == Verdict.INCONCLUSIVE
        assert reason in result.headline

    @linux_only
    @pytest.mark.parametrize(
        ("ending", "reason"),
        [
            (
                "echo 'FATAL: ThreadSanitizer: unexpected memory mapping 0x5d8bf0c13000-0x5d8bf0c3a000' >&2; exit 66",
                "ThreadSanitizer did not work: FATAL: ThreadSanitizer: unexpected memory mapping",
            ),
            ("exit 66", "exit status 66 without a report"),
            ("exit 0", "it printed no start line"),
            ("kill -KILL $$", "killed by SIGKILL, which mps-stress did not send"),
            ("ulimit -f 1; exec yes", "into one file"),
            ("head -c 100 /dev/urandom; exit 0", "it printed no start line"),
        ],
    )
    def test_a_program_that_cannot_run(
        self,
        open_runner: Open,
        small_program: Program,
        toolchain: Toolchain,
        tmp_path: Path,
        ending: str,
        reason: str,
    ) -> None:
        """A stand-in: what cannot be provoked on this machine, such as a kernel that maps memory elsewhere."""
        script = tmp_path / "stand-in"
        script.write_text(
            f'#!/bin/bash\nif [ "$1" = --list ]; then exec {shlex.quote(str(small_program.path))} --list; fi\n{ending}\n'
        )
        script.chmod(0o755)
        result = case(open_runner(replace(small_program, path=script), toolchain))
        assert result.races == 0
        assert result.verdict == Verdict.INCONCLUSIVE
        assert any(reason in one for one in result.runs[0].reasons), result.runs[0].reasons

    @linux_only
    def test_a_guarded_twin_that_reports_makes_every_report_doubtful(
        self, open_runner: Open, small_program: Program, toolchain: Toolchain, tmp_path: Path
    ) -> None:
        script, program = tmp_path / "stand-in", shlex.quote(str(small_program.path))
        script.write_text(
            "#!/bin/bash\n"
            f'if [[ "$*" == *guarded_twin* ]]; then exec {program} --case=counter --fault={FAULT} '
            '"${@:2}"; fi\n'
            f'exec {program} "$@"\n'
        )
        script.chmod(0o755)
        result = case(open_runner(replace(small_program, path=script), toolchain), fault=FAULT)
        assert result.races > 0
        assert result.verdict == Verdict.INCONCLUSIVE
        assert "the guarded twin is not silent" in result.headline
