"""Each known failure is recognised from its text, by itself alone, whatever the chip and the macOS."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import stress
from stress.diagnose.signature_file import SignatureError
from stress.diagnose.signatures import LINE_CHARS_MAX
from stress.diagnose.signatures import TEXT_CHARS_MAX
from stress.diagnose.signatures import bounded
from stress.diagnose.signatures import default_folder
from stress.diagnose.signatures import find_all
from stress.diagnose.signatures import load_signatures
from stress.diagnose.signatures import match
from stress.diagnose.signatures import match_all

CHIPS = ("AGXG13XFamily", "AGXG14Family", "AGXG15XFamily", "AGXG16GFamily", "IOGPUMetal", "_MTL")

TEXTS: dict[str, list[str]] = tomllib.loads(
    Path(__file__).with_name("texts.toml").read_text(encoding="utf-8")
)
# (id, frames of the crashed thread, signal, fault)
ASSERTION = (
    "libsystem_kernel.dylib __pthread_kill + 8",
    "libsystem_pthread.dylib pthread_kill + 296",
    "libsystem_c.dylib abort + 148",
    "libsystem_c.dylib __assert_rtn + 284",
    "Metal MTLReportFailure.cold.1 + 48",
    "Metal MTLReportFailure + 576",
)
FRAMES: tuple[tuple[str, tuple[str, ...], str, str], ...] = (
    (
        "metal/encoder-overlap",
        (
            *ASSERTION,
            "AGXMetalG14X -[AGXG14XFamilyCommandBuffer tryCoalescingPreviousComputeCommandEncoderWithConfig:"
            "nextEncoderClass:] + 764",
            "libtorch_cpu.dylib at::mps::MPSStream::commandEncoder() + 80",
        ),
        "SIGABRT",
        "",
    ),
    (
        "metal/encoder-overlap",
        (*ASSERTION, "AGXMetalG15X_C0 -[AGXG15XFamilyCommandBuffer blitCommandEncoderCommon:] + 432"),
        "SIGABRT",
        "",
    ),
    (
        "metal/handler-refused",
        (*ASSERTION, "Metal -[_MTLCommandBuffer addCompletedHandler:] + 104"),
        "SIGABRT",
        "",
    ),
    (
        "metal/handler-refused",
        (*ASSERTION, "Metal -[_MTLCommandBuffer addScheduledHandler:] + 104"),
        "SIGABRT",
        "",
    ),
    (
        "metal/commit-refused",
        (*ASSERTION, "IOGPU -[IOGPUMetalCommandBuffer validate] + 120"),
        "SIGABRT",
        "",
    ),
    (
        "driver/encoder-race",
        (
            "libsystem_platform.dylib _platform_memmove + 32",
            "AGXMetalG14X -[AGXG14XFamilyCommandBuffer tryCoalescingPreviousComputeCommandEncoderWithConfig:"
            "nextEncoderClass:] + 156",
        ),
        "SIGSEGV",
        "",
    ),
    (
        "driver/shader-table-race",
        (
            "libtorch_cpu.dylib at::native::mps::MetalShaderLibrary::getPipelineStateForFunc(std::string const&) + 88",
        ),
        "SIGSEGV",
        "",
    ),
    (
        "driver/shader-table-race",
        (
            "libobjc.A.dylib objc_retain + 8",
            "libtorch_cpu.dylib at::native::mps::MetalShaderLibrary::exec_unary_kernel(at::TensorIteratorBase&) + 300",
        ),
        "SIGSEGV",
        "",
    ),
    (
        "driver/agx-null-context",
        (
            "AGXMetalG16X -[AGXG16XFamilyComputeContext setComputePipelineState:] + 32",
            "libtorch_cpu.dylib f + 8",
        ),
        "SIGSEGV",
        "EXC_BAD_ACCESS (SIGSEGV) KERN_INVALID_ADDRESS at 0x00000000000005c8",
    ),
    (
        "driver/agx-null-context",
        ("AGXMetalG13X + 1840",),
        "SIGBUS",
        "EXC_BAD_ACCESS (SIGBUS) KERN_PROTECTION_FAILURE at 0x184",
    ),
    (
        "driver/use-after-free-objc",
        ("libobjc.A.dylib objc_msgSend + 32", "AGXMetalG16X f + 4"),
        "SIGSEGV",
        "",
    ),
    (
        "driver/cache-map-race",
        (
            "libsystem_platform.dylib _platform_memcmp + 4",
            "libc++ std::__1::__hash_table<std::string>::find + 60",
        ),
        "SIGSEGV",
        "",
    ),
    (
        "driver/cache-map-race",
        ("libtorch_cpu.dylib _ZNSt3__112__hash_tableI4__emplace_unique_key_args + 9",),
        "SIGTRAP",
        "",
    ),
    (
        "driver/cache-map-race",
        ("a b + 1", "libtorch_cpu.dylib at::native::mps::getLibraryPipelineState + 1"),
        "SIGSEGV",
        "",
    ),
    (
        "process/libdispatch-self-deadlock",
        ("libdispatch.dylib __DISPATCH_WAIT_FOR_QUEUE__ + 480",),
        "SIGTRAP",
        "",
    ),
    (
        "graph/compile",
        (
            "libsystem_c abort + 1",
            "Metal MTLReportFailure + 1",
            "MPSGraph -[MPSGraphExecutable commonPostInit] + 9",
        ),
        "SIGABRT",
        "",
    ),
)
STACKS: dict[str, tuple[str, ...]] = {
    "hang/openmp": ("  + 2000 __kmp_fork_call", "  + 2000 __kmp_hyper_barrier_gather"),
    "hang/gil": ("  2000 PyGILState_Ensure + 96",),
    "hang/event-wait": ("  2000 at::mps::MPSEvent::waitForCpuSync() + 4",),
    "hang/wait-until-completed": ("  2000 -[_MTLCommandBuffer waitUntilCompleted] + 44",),
    "hang/dispatch-sync": ("  2000 _dispatch_sync_f_slow + 132", "  2000 __DISPATCH_WAIT_FOR_QUEUE__ + 480"),
    "hang/lock-wait": ("  2000 __psynch_cvwait + 8", "  2000 __psynch_mutexwait + 8"),
}
# What a text may also say: the exception that nobody caught, in one line.
ALSO = {"process/dead-mutex": {"process/uncaught-cpp"}}
CASES = [(identity, text) for identity, texts in TEXTS.items() for text in texts]


def test_every_signature_has_an_example() -> None:
    by_evidence = {s.id: s for s in load_signatures()}
    conditions = {identity for identity, s in by_evidence.items() if s.condition}
    with_text = {identity for identity, s in by_evidence.items() if s.pattern}
    with_frames = {identity for identity, s in by_evidence.items() if s.frames}
    with_stacks = {identity for identity, s in by_evidence.items() if s.stacks}
    assert with_text == set(TEXTS)
    assert with_frames == {identity for identity, *_ in FRAMES}
    assert with_stacks == set(STACKS)
    assert conditions == {"process/exit-crash", "process/silent-crash", "process/killed-from-outside"}


@pytest.mark.parametrize("chip", CHIPS)
@pytest.mark.parametrize(("identity", "text"), CASES)
def test_texts_name_their_class_and_no_other(identity: str, text: str, chip: str) -> None:
    for line in ("213", "1094"):
        for opening, closing in (("`", "'"), ("'", "'"), ("\u2018", "\u2019")):
            shown = text.replace("{chip}", chip).replace("{line}", line)
            shown = re.sub(r"`([^`']*)'", rf"{opening}\1{closing}", shown)
            stderr = f"Fatal Python error: Aborted\n\n{shown}\nzsh: abort\n"
            assert {s.id for s in match_all(stderr)} == {identity} | ALSO.get(identity, set())
            # A crash handler may turn the signal into another one, or none may be known.
            for signal in (None, "SIGABRT", "SIGSEGV", "SIGKILL"):
                named = match(stderr, signal=signal)
                assert named is not None
                assert named.id == identity


@pytest.mark.parametrize(("identity", "frames", "signal", "fault"), FRAMES)
def test_frames_name_their_class(identity: str, frames: tuple[str, ...], signal: str, fault: str) -> None:
    assert [s.id for s in match_all("", frames, signal, fault=fault)] == [identity]
    # The same frames in a process that was killed from outside say nothing.
    assert match("", frames, "SIGKILL", fault=fault) is None


def test_a_refusal_needs_the_report_of_it_right_above() -> None:
    method = "Metal -[_MTLCommandBuffer addCompletedHandler:] + 104"
    assert match("", (*ASSERTION, "x f + 1", method), "SIGABRT") is None
    assert match("", (*ASSERTION[:4], method), "SIGABRT") is None


def test_the_text_of_a_refusal_goes_before_its_frames() -> None:
    frames = (*ASSERTION, "Metal -[_MTLCommandBuffer addCompletedHandler:] + 104")
    named = match("failed assertion `Completed handler provided after commit call'", frames, "SIGABRT")
    assert named is not None
    assert named.id == "metal/handler-after-commit"


def test_driver_frame_without_a_null_page_address_is_unknown() -> None:
    frames = ("AGXMetalG16X f + 4",)
    assert match("", frames, "SIGSEGV", fault="KERN_INVALID_ADDRESS at 0x00000001000005c8") is None
    assert match("", frames, "SIGSEGV") is None


def test_only_the_crashing_frame_counts_for_the_driver() -> None:
    frames = ("libtorch_cpu.dylib f + 1", "AGXMetalG16X f + 4", "libobjc.A.dylib objc_msgSend + 32")
    assert match("", frames, "SIGSEGV", fault="KERN_INVALID_ADDRESS at 0x5c8") is None


@pytest.mark.parametrize(("identity", "line"), [(k, line) for k, lines in STACKS.items() for line in lines])
def test_stacks_name_hangs_and_only_as_stacks(identity: str, line: str) -> None:
    assert [s.id for s in match_all("", stacks=f"Call graph:\n{line}\n")] == [identity]
    assert match(line) is None
    assert match("", frames=(line,), signal="SIGSEGV") is None


def test_text_goes_before_frames_before_stacks() -> None:
    named = match_all(
        "WARNING: ThreadSanitizer: data race",
        ("libobjc.A.dylib objc_msgSend + 32",),
        "SIGSEGV",
        stacks="waitUntilCompleted",
    )
    assert [s.id for s in named] == ["tool/tsan", "driver/use-after-free-objc", "hang/wait-until-completed"]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Segmentation fault: 11",
        "2026-11-20 Metal API Validation Enabled",
        "RuntimeError: index 3 is out of bounds for dimension 0 with size 3",
        "AssertionError: Tensor-likes are not close!",
        "-[AGXG16XFamilyCommandBuffer newThing:]:77: failed assertion `something nobody has seen'",
        "libdispatch: dispatch_sync __psynch_cvwait waitUntilCompleted",
    ],
)
def test_unknown_text_stays_unknown(text: str) -> None:
    assert match(text, signal="SIGABRT") is None


def test_a_fault_of_the_gpu_taints() -> None:
    assert [s.id for s in load_signatures() if s.taints] == ["gpu/fault", "gpu/command-buffer-failed"]


def test_both_ends_of_a_huge_text_are_searched() -> None:
    junk = "a" * 50 + "\n"
    filler = junk * (4 * TEXT_CHARS_MAX // len(junk))
    overlap = "x: failed assertion `A command encoder is already encoding to this command buffer'\n"
    for text in (overlap + filler, filler + overlap):
        assert find_all(text)[0].line == overlap.strip()


@pytest.mark.parametrize(
    "unit", ["a", "\0", "\x80", "-[AGX", "MPSNDArray", "\n", "\r", "at 0x0", "__hash_table"]
)
def test_text_is_bounded_whatever_it_is(unit: str) -> None:
    text = unit * (5 * TEXT_CHARS_MAX // len(unit))
    cut = bounded(text)
    assert len(cut) <= 2 * TEXT_CHARS_MAX + 1
    assert max(map(len, cut.split("\n"))) <= 2 * LINE_CHARS_MAX + 5
    assert match(text, (text,), "SIGSEGV", fault=text, stacks=text) is None


def write(folder: Path, text: str, name: str = "x.toml") -> Path:
    (folder / name).write_text(text, encoding="utf-8")
    return folder


VALID = """
[[signature]]
id = "x/one"
pattern = 'one'
meaning = "One."
links = ["https://example.org/1"]
"""


def test_own_folder_and_order_of_files(tmp_path: Path) -> None:
    write(tmp_path, VALID.replace("x/one", "x/late"), "20.toml")
    write(tmp_path, VALID, "10.toml")
    signatures = load_signatures([tmp_path])
    assert [s.id for s in signatures] == ["x/one", "x/late"]
    named = match("one", signatures=signatures)
    assert named is not None
    assert (named.id, named.meaning, named.links) == ("x/one", "One.", ("https://example.org/1",))


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("not toml", "x.toml"),
        ("signature = 3", "[[signature]] tables"),
        ("[signature]\nid = 'a/b'", "[[signature]] tables"),
        ("signature = [3]", "expected a table"),
        (VALID + "[other]\n", "other"),
        (VALID + "patern = 'x'\n", "unknown key patern"),
        (VALID.replace('links = ["https://example.org/1"]', ""), "links missing"),
        (VALID.replace("pattern = 'one'", ""), "at least one of"),
        (VALID.replace("'one'", "'('"), "not a regular expression"),
        (VALID.replace("'one'", "3"), "pattern must be a text"),
        (VALID.replace("'one'", "''"), "pattern must be a text"),
        (VALID.replace("'one'", "'a?'"), "matches the empty text"),
        (VALID.replace("x/one", "One"), "id must look like"),
        (VALID.replace("https://", "http://"), "https://"),
        (VALID + "signals = ['SIGFOO']\n", "SIGFOO"),
        (VALID + "signals = 'SIGABRT'\n", "list of texts"),
        (VALID + "taints = 1\n", "taints"),
        (VALID + "frames = ['x']\nframes_depth = 0\n", "frames_depth"),
        (VALID + "fault = 'x'\n", "fault narrows frames"),
        (VALID + "under = 'x'\n", "under narrows frames"),
        (VALID + "condition = 'tired'\n", "condition must be one of"),
        (VALID + VALID, "already in"),
    ],
)
def test_a_wrong_file_says_where_and_what(tmp_path: Path, text: str, reason: str) -> None:
    with pytest.raises(SignatureError, match=re.escape(reason)) as caught:
        load_signatures([write(tmp_path, text)])
    assert "x.toml" in str(caught.value)


@pytest.mark.parametrize(
    "pattern",
    [
        "a*b",
        "a+b",
        "a.*b",
        "[^x]+y",
        r"(?:a|b){2}",
        r"(a){1,9}",
        r"a{3,}",
        r"(a)\1",
        r"a{0,200}b{0,200}c",
        "a" * 1001,
        "x(?:a+)+y",
    ],
)
def test_patterns_that_may_take_long_are_refused(tmp_path: Path, pattern: str) -> None:
    with pytest.raises(SignatureError, match=r"x\.toml.*pattern"):
        load_signatures([write(tmp_path, VALID.replace("'one'", f"'{pattern}'"))])


@pytest.mark.parametrize(
    "pattern",
    [
        r"a\*b\+",
        "[*+]x",
        r"x\{3,}",
        r"a{0,80}b",
        r"\d{1,6}:x",
        "(?i:a|b)c?",
        r"[\]*+]y",
        "(?:a|b)?c",
        "x]*"[:2],
    ],
)
def test_escapes_and_classes_are_no_repeats(tmp_path: Path, pattern: str) -> None:
    assert len(load_signatures([write(tmp_path, VALID.replace("'one'", f"'{pattern}'"))])) == 1


def test_an_unreadable_file_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "dir.toml").mkdir()
    with pytest.raises(SignatureError, match=r"dir\.toml"):
        load_signatures([tmp_path])


def test_shipped_files_are_in_the_checkout() -> None:
    assert default_folder() == Path(__file__).parents[2] / "results" / "known"
    assert len(list(default_folder().glob("*.toml"))) >= 9


def test_an_installed_package_brings_its_own(tmp_path: Path) -> None:
    shutil.copytree(
        Path(stress.__file__).parent,
        tmp_path / "stress",
        ignore=shutil.ignore_patterns("_shipped", "__pycache__"),
    )
    program = (
        "from stress.diagnose import signatures as s; print(s.default_folder(), len(s.load_signatures()))"
    )

    def ask() -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-c", program]
        return subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False)

    assert "the installation of mps-stress is incomplete" in ask().stderr
    shipped = tmp_path / "stress" / "_shipped" / "results" / "known"
    shutil.copytree(default_folder(), shipped)
    assert ask().stdout.split() == [str(shipped), str(len(load_signatures()))]
