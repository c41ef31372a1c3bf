"""Kernels of the Metal Shading Language on the simulated Metal: values, and what a wrong kernel comes to."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.core_device.shaders.built import VARIABLE
from tests.core_device.shaders.built import simulated_metal
from tests.core_device.shaders.built import use_runtime_folder
from tests.core_device.shaders.job import Bound
from tests.core_device.shaders.job import Job

pytestmark = pytest.mark.slow
LANGUAGE = (Path(__file__).parent / "shaders" / "language.metal").read_text(encoding="utf-8")
SEEDS = range(20)
HEAD = "#include <metal_stdlib>\nusing namespace metal;\n"


@pytest.fixture(scope="module")
def metal() -> str:
    use_runtime_folder()
    return str(simulated_metal())


def zeros(count: int, type: str = "c_float") -> Bound:
    return Bound([0] * count, type)


def uint(value: int) -> Bound:
    return Bound([value], "c_uint", kind="v")


def test_vectors_matrices_and_constants(metal: str) -> None:
    (one,) = Job(metal, LANGUAGE, "vectors", [zeros(12)], [1], [1]).values()
    assert one[0] == [64, 4634, 1, 40, 43, 1.75, 1, 7, 1, 1, 5, 3.140625]


def test_templates_are_found_by_their_host_names(metal: str) -> None:
    values, by = (
        Bound([0x3C00, 0x4200], "c_ushort"),
        Bound([0x4400], "c_ushort", kind="v"),
    )  # 1, 3 and 4 as half
    (one,) = Job(metal, LANGUAGE, "eighth_half", [values, by], [2], [2]).values()
    assert one[0] == [0x3800, 0x3E00]  # 0.5 and 1.5
    (one,) = Job(
        metal,
        LANGUAGE,
        "eighth_bfloat",
        [Bound([0x3F80], "c_ushort"), Bound([0x4080], "c_ushort", kind="v")],
        [1],
        [1],
    ).values()
    assert one[0] == [0x3F00]
    (one,) = Job(metal, LANGUAGE, "fmax_float", [Bound([0.5, 2]), zeros(2)], [2], [2]).values()
    assert one[1] == [1, 2]


def test_parameters_without_attributes_are_numbered(metal: str) -> None:
    job = Job(metal, LANGUAGE, "numbered", [zeros(2, "c_uint"), uint(4), uint(2)], [2], [1])
    assert job.values()[0][0] == [42, 42]


def test_positions_also_at_the_grids_edge(metal: str) -> None:
    job = Job(metal, LANGUAGE, "positions", [zeros(7 * 9, "c_uint")], [9, 7], [8, 5], seeds=range(3))
    wide, narrow = [805] * 8 + [105], [802] * 8 + [102]
    for one in job.values():
        assert one[0] == wide * 5 + narrow * 2


def test_simd_groups_also_where_lanes_are_missing(metal: str) -> None:
    values = [float(i) for i in range(10)]
    for one in Job(
        metal, LANGUAGE, "lanes", [Bound(values), zeros(100)], [10], [10], seeds=range(5)
    ).values():
        rows = [one[1][i * 10 : i * 10 + 10] for i in range(10)]
        for i, row in enumerate(rows):
            assert row[:2] == [45, 9]
            assert row[3:7] == [i ^ 1, sum(values[: i + 1]), sum(values[:i]), 3]
            assert row[7] == 1 << 9
            assert row[8] == i - 1 or i == 0  # What is filled in is the last lane's, which is not there.
            assert row[9] == (25 if i % 2 else 0)
            if i < 9:
                assert row[2] == i + 1
        assert rows[9][2] != rows[9][2]  # Undefined: the next lane is not there. It shows.


def test_threadgroup_memory_declared_and_bound(metal: str) -> None:
    values = [float(i) for i in range(64)]
    memory = Bound(kind="m", length=32)
    job = Job(
        metal, LANGUAGE, "transpose", [Bound(values), zeros(64), memory], [8, 8], [8, 8], seeds=range(5)
    )
    for one in job.values():
        assert one[1] == [values[column * 8 + row] for row in range(8) for column in range(8)]


def test_matrices_of_a_simd_group(metal: str) -> None:
    a, b = [[(i * j) % 5 for j in range(8)] for i in range(8)], [[i - j for j in range(8)] for i in range(8)]
    half = {0: 0, 1: 0x3C00, 2: 0x4000, 3: 0x4200, 4: 0x4400}
    arguments = [
        Bound([half[x] for row in a for x in row], "c_ushort"),
        Bound([b[j][i] for i in range(8) for j in range(8)]),
        zeros(64),
    ]
    expected = [sum(a[i][k] * b[k][j] for k in range(8)) + (i == j) for i in range(8) for j in range(8)]
    for one in Job(metal, LANGUAGE, "product", arguments, [32], [32], seeds=range(3)).values():
        assert one[2] == expected
    assert "not all 32 lanes take part" in Job(metal, LANGUAGE, "product", arguments, [16], [16]).dies()


def test_atomics(metal: str) -> None:
    job = Job(metal, LANGUAGE, "count", [zeros(1, "c_int"), zeros(1), zeros(1, "c_uint")], [1000], [64])
    assert job.values()[0] == [[-2000], [500], [999]]


def test_argument_buffers(metal: str) -> None:
    inner = [Bound([1, 2, 3]), Bound([0, 0, 0], offset=1), Bound([0, 0, 0], offset=2)]
    job = Job(metal, LANGUAGE, "through", [Bound(kind="a", resources=3), *inner], [3], [3])
    assert job.values()[0][2:] == [[1, 2, 3], [-1, -2, -3]]
    inner[2] = Bound([0, 0, 0], offset=2, is_resident=False)
    said = Job(metal, LANGUAGE, "through", [Bound(kind="a", resources=3), *inner], [3], [3]).dies()
    assert "writes 4 bytes" in said
    assert "program_source:116" in said


REVERSED = (
    HEAD
    + """
kernel void reversed(device float* data [[buffer(0)]], uint i [[thread_position_in_threadgroup]], uint n [[threads_per_threadgroup]]) {
  threadgroup float kept[256];
  kept[i] = data[i];
  FIRST
  float other = kept[n - 1 - i];
  SECOND
  kept[i] = other * 2;
  threadgroup_barrier(mem_flags::mem_threadgroup);
  data[i] = kept[(i + 1) % n];
}
"""
)
BARRIER = "threadgroup_barrier(mem_flags::mem_threadgroup);"


def _reversed(metal: str, first: str, second: str, threads: int) -> list[bool]:
    """Return, for each seed, whether the values are right."""
    values = [float(i + 1) for i in range(threads)]
    expected = [2 * values[threads - 1 - (i + 1) % threads] for i in range(threads)]
    text = REVERSED.replace("FIRST", first).replace("SECOND", second)
    job = Job(metal, text, "reversed", [Bound(values)], [threads], [threads], seeds=SEEDS)
    return [one[0] == expected for one in job.values()]


@pytest.mark.parametrize("threads", [64, 256])
def test_a_missing_barrier_is_found_and_the_right_kernel_never_fails(metal: str, threads: int) -> None:
    assert all(_reversed(metal, BARRIER, BARRIER, threads))
    assert not any(_reversed(metal, "", BARRIER, threads))
    assert not any(_reversed(metal, BARRIER, "", threads))
    # Enough within one SIMD group, not between several.
    assert not any(_reversed(metal, "simdgroup_barrier(mem_flags::mem_threadgroup);", BARRIER, threads))


def test_a_reduction_that_does_not_wait_before_its_memory_is_used_again(metal: str) -> None:
    """The second barrier is missing as in real kernels: only a SIMD group that runs ahead shows it."""
    text = (
        HEAD
        + """
kernel void sums(device const float* in [[buffer(0)]], device float* out [[buffer(1)]], uint i [[thread_index_in_threadgroup]],
                 uint lane [[thread_index_in_simdgroup]], uint simd [[simdgroup_index_in_threadgroup]]) {
  threadgroup float part[4];
  for (uint round = 0; round < 3; ++round) {
    float sum = simd_sum(in[i] * (round + 1));
    if (lane == 0) part[simd] = sum;
    threadgroup_barrier(mem_flags::mem_threadgroup);
    if (i == 0) out[round] = part[0] + part[1] + part[2] + part[3];
    LAST
  }
}
"""
    )
    values = [float(i) for i in range(128)]
    total = sum(values)

    def right(last: str) -> list[bool]:
        job = Job(
            metal, text.replace("LAST", last), "sums", [Bound(values), zeros(3)], [128], [128], seeds=SEEDS
        )
        return [one[1] == [total, 2 * total, 3 * total] for one in job.values()]

    assert all(right(BARRIER))
    assert not all(right(""))


@pytest.mark.parametrize(
    ("first", "second"),
    [("", BARRIER), (BARRIER, ""), ("threadgroup_barrier(mem_flags::mem_device);", BARRIER)],
)
def test_a_race_is_found_in_any_order(metal: str, first: str, second: str) -> None:
    """Also where the values come out right: who is ordered with whom decides."""
    text = REVERSED.replace("FIRST", first).replace("SECOND", second)
    for seed in range(3):
        job = Job(metal, text, "reversed", [Bound([1] * 128)], [128], [128], [seed], options="kernel_races=1")
        said = job.dies()
        assert re.search(
            r"(reads|writes) at offset \d+ of threadgroup memory, which has 1024 bytes, in a race with thread \d+ "
            r"of the same threadgroup in program_source:\d+, in program_source:\d+$",
            said,
        ), said


def test_races_between_groups_and_with_atomics(metal: str) -> None:
    def run(statement: str, *, threads: int = 64) -> Job:
        text = (
            HEAD
            + f"kernel void k(device int* a [[buffer(0)]], uint i [[thread_position_in_grid]]) {{ {statement} }}"
        )
        options = "kernel_races=1"
        return Job(metal, text, "k", [zeros(65, "c_int")], [threads], [32], range(5), options=options)

    atomic = "atomic_fetch_add_explicit((device atomic_int*)a, 1, memory_order_relaxed)"
    run(f"{atomic}; a[i + 1] = i;").values()
    assert "of threadgroup (" in run("a[i] = a[i + 1] + 1;").dies()
    assert "in a race with thread" in run(f"{atomic}; a[i + 1] = a[0];").dies()
    run("a[i] = a[i + 1] + 1;", threads=32).values()  # One SIMD group: in step on Apple's GPUs.


def test_right_kernels_have_no_race(metal: str) -> None:
    values = Bound([float(i) for i in range(64)])
    counters = [zeros(1, "c_int"), zeros(1), zeros(1, "c_uint")]
    mended = REVERSED.replace("FIRST", BARRIER).replace("SECOND", BARRIER)
    for text, kernel, arguments, size in (
        (mended, "reversed", [Bound([1] * 128)], [128]),
        (LANGUAGE, "transpose", [values, zeros(64), Bound(kind="m", length=32)], [8, 8]),
        (LANGUAGE, "lanes", [values, zeros(640)], [64]),
        (LANGUAGE, "count", counters, [100]),
    ):
        job = Job(metal, text, kernel, arguments, size, size, range(5), options="kernel_races=1")
        assert len(job.values()) == 5


def test_groups_come_in_another_order_with_another_seed(metal: str) -> None:
    text = (
        HEAD
        + """
kernel void order(device atomic_uint* next [[buffer(0)]], device uint* out [[buffer(1)]], uint group [[threadgroup_position_in_grid]],
                  uint i [[thread_position_in_threadgroup]]) {
  uint at = atomic_fetch_add_explicit(next, 1u, memory_order_relaxed);
  out[at] = group * 4 + i;
}
"""
    )
    job = Job(metal, text, "order", [zeros(1, "c_uint"), zeros(32, "c_uint")], [32], [4], seeds=[*SEEDS, 0])
    orders = [tuple(one[1]) for one in job.values()]
    assert all(sorted(one) == list(range(32)) for one in orders)
    assert len({tuple(x // 4 for x in one[::4]) for one in orders}) > 10
    assert len({tuple(x % 4 for x in one[:4]) for one in orders}) > 4


def test_threadgroup_memory_is_not_zero_before_it_is_written(metal: str) -> None:
    text = HEAD + (
        "kernel void unwritten(device float* out [[buffer(0)]], uint i [[thread_position_in_grid]]) {\n"
        "  threadgroup float kept[2];\n  out[i] = max(kept[0], 1.0f);\n  kept[0] = 0;\n}"
    )
    for one in Job(metal, text, "unwritten", [zeros(4)], [4], [1], seeds=SEEDS).values():
        assert all(value == 1 or value > 1e38 for value in one[0])
        assert any(value > 1e38 for value in one[0]) or one[0] == [1] * 4
    found = Job(metal, text, "unwritten", [zeros(4)], [4], [1], seeds=SEEDS).values()
    assert any(value > 1e38 for one in found for value in one[0])


WRONG = (
    HEAD
    + """
kernel void wrong(device float* a [[buffer(0)]], constant float& b [[buffer(1)]], threadgroup float* c [[threadgroup(0)]],
                  uint i [[thread_position_in_grid]]) {
  threadgroup float d[8];
  d[i] = c[i % 4] = b;
  STATEMENT
}
"""
)


@pytest.mark.parametrize(
    ("statement", "what"),
    [
        (
            "a[i + 1] = 1;",
            "thread (3, 0, 0) of threadgroup (1, 0, 0) writes 4 bytes at offset 32 of buffer 0, which has 32 bytes",
        ),
        (
            "a[i] = a[int(i) - 1];",
            "thread (0, 0, 0) of threadgroup (0, 0, 0) reads 4 bytes, 4 bytes before the begin of buffer 0",
        ),
        ("a[i] = (&b)[1];", "reads 4 bytes at offset 4 of buffer 1, which has 4 bytes"),
        ("a[i] = c[4 + i];", "of threadgroup memory, which has 16 bytes"),
        ("d[i + 5] = 1;", "writes 4 bytes at offset 32 of threadgroup memory, which has 32 bytes"),
        ("a[i + 1000000] = 1;", "writes 4 bytes, in no buffer that is bound or resident"),
        ("((device float4*)a)[1 + i / 7] = float4(1);", "writes"),
        (
            "atomic_fetch_add_explicit((device atomic_int*)a + 8, 1, memory_order_relaxed);",
            "changes 4 bytes atomically at offset 32 of buffer 0",
        ),
    ],
)
def test_memory_that_is_not_a_buffers_ends_the_process(metal: str, statement: str, what: str) -> None:
    text = WRONG.replace("STATEMENT", statement)
    arguments = [zeros(8), Bound([2], kind="v"), Bound(kind="m", length=16)]
    said = Job(metal, text, "wrong", arguments, [8], [4]).dies()
    assert said.startswith("mps-stress: Metal kernel wrong: thread (")
    assert what in said
    assert said.endswith("in program_source:8")


def test_a_buffer_that_is_not_bound(metal: str) -> None:
    said = Job(metal, LANGUAGE, "fmax_float", [zeros(2)], [2], [2]).dies()
    assert "at address 0: a buffer that is not bound, in program_source:20" in said


@pytest.mark.parametrize(
    ("body", "what"),
    [
        (
            "if (i < 3) threadgroup_barrier(mem_flags::mem_none);",
            "threadgroup_barrier is reached by 3 threads of the group, and 5 ended without it",
        ),
        (
            "if (i < 3) { threadgroup_barrier(mem_flags::mem_none); a[0] = 1; } else { threadgroup_barrier(mem_flags::mem_none); a[1] = 1; }",
            "threads of one group wait at different calls of threadgroup_barrier",
        ),
        (
            "if (i < 3) a[i] = simd_sum(a[i]); else a[i] = simd_max(a[i]);",
            "lanes of one SIMD group wait in different calls: which come first is not simulated",
        ),
        ("threadgroup float big[8193]; big[i] = 1;", "more than 32768 bytes of threadgroup memory"),
    ],
)
def test_what_has_no_meaning_ends_the_process(metal: str, body: str, what: str) -> None:
    text = (
        HEAD
        + f"kernel void wrong(device float* a [[buffer(0)]], uint i [[thread_index_in_threadgroup]]) {{ {body} }}"
    )
    assert what in Job(metal, text, "wrong", [zeros(8)], [8], [8]).dies()


@pytest.mark.parametrize(
    ("text", "what"),
    [
        (
            "kernel void k(texture2d<float> t [[texture(0)]]) {}",
            "texture2d in a Metal shader (program_source:3)",
        ),
        (
            "kernel void k(device int* a [[buffer(0)]], uint i [[sample_id]]) {}",
            "[[sample_id]] in a Metal shader (program_source:3)",
        ),
        (
            "kernel void k(device int* a [[buffer(0)]]) { *a = quad_sum(*a); }",
            "quad_sum in a Metal shader (program_source:3)",
        ),
    ],
)
def test_what_is_not_carried_is_named(metal: str, text: str, what: str) -> None:
    said = Job(metal, HEAD + text, "k", [zeros(1)], [1], [1]).dies()
    assert said == f"mps-stress: not simulated: {what}"


@pytest.mark.parametrize(
    ("text", "what"),
    [
        (
            "kernel void k(device int* a [[buffer(0)]]) {\n  *a = missing(*a);\n}",
            "program_source:4:8: error: use of undeclared identifier 'missing'",
        ),
        (
            "kernel void k(device int* a [[buffer(0)]]) {\n  *a = (1;\n}",
            "program_source:4: '(' is not closed",
        ),
        ("#error no\n", "program_source:3:2: error: no"),
        (
            "#include <metal_raytracing>\n",
            "program_source:3:10: fatal error: 'metal_raytracing' file not found",
        ),
        ("kernel void k(device int* a [[buffer(0)]], float f) {}", "a buffer is a pointer or a reference"),
    ],
)
def test_an_error_of_the_compiler_names_the_line(metal: str, text: str, what: str) -> None:
    done = Job(metal, HEAD + text, "k", [zeros(1)], [1], [1]).run()
    assert done.returncode == 1
    assert f"the simulated Metal's compiler: {what}" in done.stderr or what in done.stderr


def test_a_function_that_a_library_has_not_is_nil(metal: str) -> None:
    done = Job(metal, LANGUAGE, "eighth", [], [1], [1]).run()
    assert "KeyError: 'eighth'" in done.stderr


def test_a_text_is_compiled_once_and_without_what_is_preloaded(metal: str, tmp_path: Path) -> None:
    """Also by processes one after the other; the compiler's process inherits nothing that is preloaded."""
    real = use_runtime_folder()
    script = tmp_path / "compile"
    script.write_text(
        f'#!/bin/sh\necho "preloaded=$LD_PRELOAD" >> "{tmp_path}/calls"\nexec "{real}/compile" "$@"\n'
    )
    script.chmod(0o755)
    text = HEAD + "kernel void one(device float* a [[buffer(0)]]) { *a = 1; }"
    more = {VARIABLE: str(tmp_path), "LD_PRELOAD": "libpthread.so.0"}
    for _ in range(2):
        assert Job(metal, text, "one", [zeros(1)], [1], [1], more=more).values()[0][0] == [1]
    assert (tmp_path / "calls").read_text() == "preloaded=\n"
    assert sorted(one.suffix for one in tmp_path.iterdir()) == ["", "", ".lock", ".so"]


def test_without_a_compiler_the_process_says_so(metal: str, tmp_path: Path) -> None:
    said = Job(metal, LANGUAGE, "vectors", [zeros(11)], [1], [1], more={VARIABLE: str(tmp_path)}).dies()
    assert said.startswith(
        f"mps-stress: not simulated: newLibraryWithSource: without a shader compiler: there is no {tmp_path}/compile"
    )
