"""The Metal kernels of PyTorch 2.6.0, all that it bundles, against torch's CPU.

They need the release's sources: `make core` puts them into build/pytorch-2.6.0; TESTS_PYTORCH names another place.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from stress.device.core import shaders
from tests.core_device.shaders.built import simulated_metal
from tests.core_device.shaders.built import toolchain
from tests.core_device.shaders.built import use_runtime_folder
from tests.core_device.shaders.driver import Driver
from tests.core_device.shaders.job import Bound
from tests.core_device.shaders.job import Job
from tests.core_device.shaders.of_tensors import TYPES
from tests.core_device.shaders.of_tensors import Arguments
from tests.core_device.shaders.of_tensors import Kernels
from tests.core_device.shaders.of_tensors import Pointers
from tests.core_device.shaders.of_tensors import assert_near
from tests.core_device.shaders.of_tensors import dense
from tests.core_device.shaders.of_tensors import offsets
from tests.core_device.shaders.of_tensors import packed
from tests.core_device.shaders.of_tensors import random_of

ROOT = Path(__file__).resolve().parents[2]
TREE = Path(os.environ.get("TESTS_PYTORCH", ROOT / "build" / "pytorch-2.6.0"))
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not (TREE / shaders.KERNELS).is_dir(),
        reason=f"PyTorch 2.6.0's sources are not in {TREE} (make core gets them)",
    ),
]
N = 100
FLOATS = ("float", "half", "bfloat")
INTEGERS = ("int", "long", "short", "char", "uchar", "bool")
COUNTS = {
    "BinaryKernel": 24,
    "Bucketization": 32,
    "CrossKernel": 9,
    "FusedOptimizerOps": 34,
    "HistogramKernel": 3,
    "Im2Col": 6,
    "Indexing": 30,
    "LinearAlgebra": 3,
    "Quantized": 19,
    "RenormKernel": 3,
    "Repeat": 2,
    "SpecialOps": 18,
    "TriangularOps": 4,
    "UnfoldBackward": 3,
    "UpSample": 6,
}

Load = Callable[[str], Kernels]


@pytest.fixture(scope="module")
def load() -> Load:
    use_runtime_folder()
    driver = Driver(simulated_metal())
    loaded: dict[str, Kernels] = {}

    def one(name: str) -> Kernels:
        if name not in loaded:
            text = (TREE / shaders.KERNELS / f"{name}.metal").read_text(encoding="utf-8")
            loaded[name] = Kernels(driver, text)
        return loaded[name]

    return one


@pytest.mark.parametrize("name", COUNTS)
def test_every_kernel_compiles(load: Load, name: str) -> None:
    names = load(name).names
    assert (len(names), len(set(names))) == (COUNTS[name], COUNTS[name])


def test_no_file_is_left_out() -> None:
    assert sorted(one.stem for one in (TREE / shaders.KERNELS).glob("*.metal")) == sorted(COUNTS)


@pytest.mark.parametrize("kind", FLOATS)
@pytest.mark.parametrize("op", ["fmax", "fmin", "copysign", "nextafter"])
def test_binary(load: Load, op: str, kind: str) -> None:
    a, b = random_of(kind, N), random_of(kind, N, seed=1)
    a[0], b[1], a[2], b[2] = float("nan"), float("nan"), 0.0, -0.0
    out = torch.empty_like(a)
    name = f"{'nextafter_kernel' if op == 'nextafter' else op}_{kind}"
    load("BinaryKernel").run(name, [a, b, out, dense(N, out, a, b)], [N])
    if op == "nextafter" and kind == "half":  # torch's CPU has none
        bits = a.view(torch.int16).int()
        bits = torch.where(((a > 0) == (b > a)), bits + 1, bits - 1).to(torch.int16).view(torch.float16)
        expected = torch.where(a.isnan() | b.isnan(), torch.full_like(a, float("nan")), bits)
        keep = torch.arange(N) != 2
        assert torch.equal(out[keep].nan_to_num(), expected[keep].nan_to_num())
        return
    assert_near(out, getattr(torch, op)(a, b), 0)


@pytest.mark.parametrize("kind", INTEGERS)
def test_copysign_of_integers(load: Load, kind: str) -> None:
    a, b = random_of(kind, N), random_of(kind, N, seed=1)
    out = torch.empty(N)
    load("BinaryKernel").run(f"copysign_{kind}", [a, b, out, dense(N, out, a, b)], [N])
    assert_near(out, torch.copysign(a.float(), b.float()), 0)


@pytest.mark.parametrize("kind", ["float", "half"])
def test_complex(load: Load, kind: str) -> None:
    a, b = random_of(kind, N, 2), random_of(kind, N, 2, seed=1)
    pairs = torch.arange(N) * 2 * a.element_size()
    out = torch.empty_like(a)
    load("BinaryKernel").run(f"complex_mul_{kind}", [a, b, out, offsets(pairs, pairs, pairs)], [N])
    product = torch.view_as_complex(a.float()) * torch.view_as_complex(b.float())
    assert_near(out, torch.view_as_real(product), 20)
    real, imaginary = a[:, 0].contiguous(), b[:, 0].contiguous()
    singles = torch.arange(N) * a.element_size()
    for name, expected in (
        ("complex_kernel", torch.stack([real, imaginary], 1)),
        ("polar", torch.view_as_real(torch.polar(real.float(), imaginary.float()))),
    ):
        load("BinaryKernel").run(
            f"{name}_{kind}", [real, imaginary, out, offsets(pairs, singles, singles)], [N]
        )
        assert_near(out, expected, 4)


@pytest.mark.parametrize("sorter", [False, True])
@pytest.mark.parametrize("to", ["int", "long"])
@pytest.mark.parametrize("kind", [*FLOATS, "char", "uchar", "short", "int", "long"])
def test_searchsorted(load: Load, kind: str, to: str, sorter: bool) -> None:
    values, unsorted = random_of(kind, 4, 30), random_of(kind, 4, 17, seed=1)
    bounds, order = torch.sort(unsorted, dim=1)
    for right in (0, 1):
        out = torch.empty(4, 30, dtype=TYPES[to])
        sizes = [packed("q", one) for one in (30, 17, 120, right, 0)]
        extra = [order] if sorter else []
        name = f"searchsorted_{kind}_{to}{'_sorter' if sorter else ''}"
        data = [values, unsorted if sorter else bounds, out, *sizes, *extra]
        load("Bucketization").run(name, data, [2, 1], [64, 1], counts_groups=True)
        assert_near(out, torch.searchsorted(bounds, values, right=bool(right)))


@pytest.mark.parametrize("kind", [*FLOATS, *INTEGERS])
def test_cross(load: Load, kind: str) -> None:
    a, b = random_of(kind, N, 3), random_of(kind, N, 3, seed=1)
    out = torch.empty_like(a)
    rows = torch.arange(N) * 3 * a.element_size()
    one = packed("q", 1)
    load("CrossKernel").run(f"cross_{kind}", [a, b, out, offsets(rows, rows, rows), one, one, one], [N])
    if kind == "bool":
        expected = torch.linalg.cross(a.int(), b.int()) != 0
    else:
        expected = (
            torch.linalg.cross(a.float(), b.float())
            if kind in ("half", "bfloat")
            else torch.linalg.cross(a, b)
        )
    assert_near(out, expected, 10)


def _metadata(numels: list[int]) -> bytes:
    """Return the structure that says which threadgroup has which chunk of which tensor."""
    groups = [(tensor, chunk) for tensor, numel in enumerate(numels) for chunk in range(-(-numel // 65536))]
    rows = ([0] * 32, [0] * 32, [0] * 32)
    for at, numel in enumerate(numels):
        rows[0][at] = numel
    for at, (tensor, chunk) in enumerate(groups):
        rows[1][at], rows[2][at] = tensor, chunk
    return packed("96I", *rows[0], *rows[1], *rows[2])


@pytest.mark.parametrize("steps_kind", FLOATS)
@pytest.mark.parametrize("kind", FLOATS)
@pytest.mark.parametrize("is_amsgrad", [False, True])
@pytest.mark.parametrize("is_adamw", [False, True])
def test_fused_adam(load: Load, is_adamw: bool, is_amsgrad: bool, kind: str, steps_kind: str) -> None:
    name = f"fused_adam{'w' if is_adamw else ''}{'_amsgrad' if is_amsgrad else ''}_{kind}_{steps_kind}"
    if name not in load("FusedOptimizerOps").names:
        assert {kind, steps_kind} == {"half", "bfloat"}
        return
    numels = [70, 66000]
    lists = [[random_of(kind, n, seed=at * 10 + which) for which, n in enumerate(numels)] for at in range(5)]
    lists[3] = [one.abs() for one in lists[3]]
    lists[4] = [one.abs() for one in lists[4]]
    depth = 5 if is_amsgrad else 4
    steps = [torch.tensor([float(3 + which)], dtype=TYPES[steps_kind]) for which in range(2)]
    expected = [[one.float().clone() for one in group] for group in lists]
    tensors = {
        at * 32 + which: one for at, group in enumerate(lists[:depth]) for which, one in enumerate(group)
    }
    tensors |= {depth * 32 + which: one for which, one in enumerate(steps)}
    lr, beta1, beta2, decay, eps = 1e-2, 0.9, 0.99, 0.1, 1e-8
    constants = [packed("f", one) for one in (lr, beta1, beta2, decay, eps)]
    load("FusedOptimizerOps").run(
        name,
        [Arguments(tensors), _metadata(numels), *constants, packed("B", 0)],
        [3],
        [64],
        counts_groups=True,
    )
    for which in range(2):
        parameter, gradient, average, square, largest = (group[which] for group in expected)
        step = float(steps[which])
        if is_adamw:
            parameter -= lr * decay * parameter
        else:
            gradient = gradient + decay * parameter
        average = beta1 * average + (1 - beta1) * gradient
        square = beta2 * square + (1 - beta2) * gradient * gradient
        largest = torch.maximum(largest, square)
        root = (largest if is_amsgrad else square).sqrt() / (1 - beta2**step) ** 0.5 + eps
        parameter -= lr / (1 - beta1**step) * average / root
        for actual, wanted in ((lists[0], parameter), (lists[2], average), (lists[3], square)):
            assert_near(actual[which], wanted, 4)


@pytest.mark.parametrize("kind", FLOATS)
def test_fused_sgd(load: Load, kind: str) -> None:
    parameter, gradient, momentum = (random_of(kind, 300, seed=seed) for seed in range(3))
    before = [one.float().clone() for one in (parameter, gradient, momentum)]
    constants = [packed("f", one) for one in (0.1, 0.9, 0.01, 0.2)]
    kernels = load("FusedOptimizerOps")
    kernels.run(
        f"fused_sgd_momentum_{kind}",
        [
            Arguments({0: parameter, 32: gradient, 64: momentum}),
            _metadata([300]),
            *constants,
            *[packed("B", 0)] * 3,
        ],
        [1],
        [64],
        counts_groups=True,
    )
    wanted = 0.9 * before[2] + 0.8 * (before[1] + 0.1 * before[0])
    assert_near(momentum, wanted, 3)
    assert_near(parameter, before[0] - 0.01 * wanted, 3)
    plain = before[0].to(TYPES[kind]).clone()
    arguments = [
        Arguments({0: plain, 32: gradient}),
        _metadata([300]),
        packed("f", 0.1),
        packed("f", 0.01),
        packed("B", 1),
    ]
    kernels.run(f"fused_sgd_{kind}", arguments, [1], [64], counts_groups=True)
    assert_near(plain, before[0] - 0.01 * (-before[1] + 0.1 * before[0]), 3)


@pytest.mark.parametrize("kind", ["float", "half"])
def test_histogram(load: Load, kind: str) -> None:
    values = random_of(kind, N)
    edges = torch.linspace(-4, 4, 9).to(TYPES[kind])
    local = torch.zeros(N, 8, dtype=TYPES[kind])
    element = torch.arange(N, dtype=torch.int32)
    common = [
        packed("Q", 1),
        edges,
        packed("q", 9),
        edges[:1].clone(),
        edges[-1:].clone(),
        packed("qq", 8, 1),
    ]
    for algorithm in range(3):
        local.zero_()
        data = [values, values, local, element, *common, packed("B", algorithm), packed("B", 0)]
        load("HistogramKernel").run(f"histogramdd_{kind}", data, [N])
        assert_near(local.float().sum(0), torch.histogram(values.float(), edges.float()).hist)


def test_offsets_of_strided_tensors(load: Load) -> None:
    shape, strides = torch.tensor([5, 4, 3], dtype=torch.int32), torch.tensor([1, 6, 30], dtype=torch.int32)
    index = torch.arange(60)
    places = (index % 5) + index // 5 % 4 * 6 + index // 20 * 30
    found = torch.empty(60, 4, dtype=torch.int32)
    packed_strides = torch.stack([strides, strides * 2, strides * 3], 1).contiguous()
    data = [packed_strides, found, shape, packed("I", 3)]
    load("Indexing").run("kernel_index_offsets_32", data, [60])
    assert_near(found[:, :3], torch.stack([places, places * 2, places * 3], 1))
    wide = torch.empty(60, 4, dtype=torch.int64)
    load("Indexing").run("kernel_index_offsets_64", [packed_strides, wide, shape, packed("I", 3)], [60])
    assert_near(wide[:, :3], torch.stack([places, places * 2, places * 3], 1))
    single = torch.empty(60, dtype=torch.int32)
    load("HistogramKernel").run(
        "kernel_index_offset", [strides.flip(0), single, shape.flip(0), packed("I", 3)], [60]
    )
    assert_near(single, places)


@pytest.mark.parametrize("kind", [*FLOATS, "bool", "float2", "half2"])
def test_im2col(load: Load, kind: str) -> None:
    def unfolded(images: torch.Tensor) -> torch.Tensor:
        # kernel 3x2, dilation 1x2, padding 1x0, stride 2x1
        return torch.nn.functional.unfold(images.float(), (3, 2), (1, 2), (1, 0), (2, 1)).to(images.dtype)

    if kind.endswith("2"):
        images = random_of(kind[:-1], 2, 3, 7, 6, 2)
        expected = torch.stack([unfolded(images[..., 0]), unfolded(images[..., 1])], -1)
    else:
        images = random_of(kind, 2, 3, 7, 6)
        expected = unfolded(images)
    width, length = 4, expected.shape[2]
    out = torch.empty_like(expected)
    rows = expected.shape[1]
    data = [
        images,
        out,
        packed("4I", 2, 3, 2, 1),
        packed("4i", 0, 1, 1, 2),
        packed("4Q", 1, 6, 42, 126),
        packed("4Q", 1, length, rows * length, width),
        packed("4q", 6, 7, 3, 2),
    ]
    load("Im2Col").run(f"im2col_{kind}", data, [length, 3, 2], [min(length, 64), 1, 1])
    assert_near(out, expected)


@pytest.mark.parametrize("bits", ["8bit", "16bit", "32bit", "64bit"])
@pytest.mark.parametrize("wide", [False, True])
def test_indexing(load: Load, bits: str, wide: bool) -> None:
    kind = {"8bit": "char", "16bit": "short", "32bit": "int", "64bit": "long"}[bits]
    suffix = f"{bits}_idx{64 if wide else 32}"
    source = random_of(kind, 20, 7)
    rows, columns = torch.tensor([3, -1, 1, 7, -20, -9]), random_of("long", 6).remainder(7) - 7
    count = rows.numel()
    size = source.element_size()
    none, steps = torch.zeros(count), torch.arange(count)
    shape = [packed("2q", 20, 7), packed("2q", 7 * size, size)]

    def run(op: str, table: torch.Tensor, data: torch.Tensor, out: torch.Tensor, *more: bytes) -> None:
        values = [Pointers([rows, columns]), *shape, table, data, out, packed("I", 2), *more]
        load("Indexing").run(f"index_{op}_{suffix}", values, [1 if more else count])

    out = torch.empty(count, dtype=source.dtype)
    run("select", offsets(steps * size, none, steps * 8, wide=wide), source, out)
    assert_near(out, source[rows, columns])
    values = random_of(kind, count, seed=2)
    for op, more in (("put", []), ("put_serial", [packed("I", count)])):
        target = source.clone()
        run(op, offsets(none, steps * size, steps * 8, wide=wide), values, target, *more)
        assert_near(target, source.clone().index_put_((rows, columns), values))


@pytest.mark.parametrize("wide", [False, True])
@pytest.mark.parametrize("kind", ["float", "int"])
def test_accumulating(load: Load, kind: str, wide: bool) -> None:
    target, values = random_of(kind, 5), random_of(kind, 64, seed=1)
    rows = random_of("long", 64).remainder(5)
    steps = torch.arange(64)
    expected = target.clone().index_put_((rows,), values, accumulate=True)
    table = offsets(torch.zeros(64), steps * 4, steps * 8, wide=wide)
    data = [Pointers([rows]), packed("q", 5), packed("q", 4), table, values, target, packed("I", 1)]
    load("Indexing").run(f"index_put_accumulate_32bit_{kind}_idx{64 if wide else 32}", data, [64])
    assert_near(target, expected, 10)


@pytest.mark.parametrize("kind", FLOATS)
def test_matmul(load: Load, kind: str) -> None:
    a, b = random_of(kind, 5, 9), random_of(kind, 9, 4, seed=1)
    out = torch.empty(5, 4, dtype=TYPES[kind])
    # x is a row: strides of both factors and of the result, sizes as M, K, N
    data = [a, b, out, packed("6Q", 9, 1, 4, 1, 4, 1), packed("4I", 5, 9, 4, 0)]
    load("LinearAlgebra").run(f"naive_matmul_{kind}", data, [20])
    sums = torch.zeros(5, 4, dtype=TYPES[kind])
    for k in range(9):
        sums = sums + a[:, k : k + 1] * b[k : k + 1]
    assert_near(out, sums)


def _int4(n: int, k: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return weights of four bits, and the bytes that the kernels keep them in: the even one below."""
    weights = random_of("int", n, k).remainder(16)
    return weights, (weights[:, 0::2] | weights[:, 1::2] << 4).to(torch.uint8).contiguous()


def test_packing_of_weights(load: Load) -> None:
    given = random_of("long", 8, 4).mul(1 << 24).to(torch.int32)
    out = torch.empty(8, 16, dtype=torch.uint8)
    load("Quantized").run("weight_to_int4pack", [given, out, packed("2I", 8, 4)], [8, 4])
    swapped = given.view(torch.uint8).int()
    assert_near(out, ((swapped & 15) << 4 | swapped >> 4).to(torch.uint8))


@pytest.mark.parametrize("group", [32, 64, 128, 256])
@pytest.mark.parametrize("kind", FLOATS)
def test_int4_matmul(load: Load, kind: str, group: int) -> None:
    m, n, k = 3, 16, 512
    a = random_of(kind, m, k)
    weights, kept = _int4(n, k)
    scales = (random_of("float", k // group, n, 2, seed=2) / 10).to(TYPES[kind])
    out = torch.empty(m, n, dtype=TYPES[kind])
    data = [a, kept, scales, out, packed("4I", m, k, n, 0)]
    load("Quantized").run(f"int4pack_mm_{group}_{kind}", data, [n // 4 * 32, 1, m], [64, 1, 1])
    each = scales.float().repeat_interleave(group, 0)
    real = (weights.T - 8) * each[:, :, 0] + each[:, :, 1]
    expected = a.float() @ real
    scale = float(expected.abs().max())
    assert_near(out / scale, expected / scale, 20 if kind == "float" else 4)


def _int8(kernels: Kernels, kind: str, m: int, *, seed: int = 1) -> float:
    """Return the largest error of a product with weights of eight bits, as a share of the largest value."""
    n, k = 128, 128
    a, weights = random_of(kind, m, k), random_of("char", n, k, seed=1)
    scales = (random_of("float", n, seed=2) / 10).to(TYPES[kind])
    expected = a.float() @ weights.float().T * scales.float()
    out = torch.empty(m, n, dtype=TYPES[kind])
    data = [a, weights, scales, out, packed("4I", m, k, n, 0)]
    if m < 12:
        name, groups, memory = f"int8pack_mv_{kind}", ([n // 8, m], [64, 1]), 32
    else:
        name, groups, memory = f"large_m_int8pack_mm_{kind}", ([-(-m // 32), n // 64], [128, 1]), 12288
    kernels.run(name, data, *groups, counts_groups=True, memory=memory, seed=seed)
    error = float((out.float() - expected).abs().max() / expected.abs().max())
    return float("inf") if error != error else error


@pytest.mark.parametrize(("kind", "near"), [("float", 1e-5), ("half", 2e-3), ("bfloat", 1e-2)])
@pytest.mark.parametrize("m", [1, 5])
def test_int8_matrix_with_few_rows(load: Load, kind: str, near: float, m: int) -> None:
    assert _int8(load("Quantized"), kind, m) < near


@pytest.mark.parametrize(("kind", "near"), [("float", 1e-5), ("half", 2e-3), ("bfloat", 1e-2)])
def test_two_barriers_are_missing_in_the_release(load: Load, kind: str, near: float) -> None:
    """kernel_mul_mm: SIMD groups go on to the scales while others still load factors from the same memory, and one of
    them reads the others' results without waiting for them. With the barriers values are right in every order."""
    errors = [_int8(load("Quantized"), kind, 40, seed=seed) for seed in range(5)]
    assert max(errors) > near
    text = (TREE / shaders.KERNELS / "Quantized.metal").read_text(encoding="utf-8")
    for before in ("    threadgroup float * temp_str =", "    device T * C = outputData + (BLOCK_SIZE_N"):
        assert before in text
        text = text.replace(before, f"    threadgroup_barrier(mem_flags::mem_threadgroup);\n{before}")
    mended = Kernels(load("Quantized").driver, text)
    assert max(_int8(mended, kind, 40, seed=seed) for seed in range(20)) < near


def test_the_release_reads_behind_the_scales(load: Load) -> None:
    """kernel_mul_mm again: its operator allows any N that is a multiple of 32, and it takes 64 columns at a time."""
    m, n, k = 12, 96, 32
    text = (TREE / shaders.KERNELS / "Quantized.metal").read_text(encoding="utf-8")
    said = Job(
        str(simulated_metal()),
        text,
        "large_m_int8pack_mm_float",
        [
            Bound([1.0] * (m * k)),
            Bound([1] * (n * k), "c_byte"),
            Bound([1.0] * n),
            Bound([0.0] * (m * n)),
            Bound([m, k, n, 0], "c_uint", kind="v"),
            Bound(kind="m", length=12288),
        ],
        [1, 2],
        [128, 1],
        counts_groups=True,
    ).dies()
    assert "of threadgroup (0, 1, 0) reads 4 bytes at offset 384 of buffer 2, which has 384 bytes" in said


@pytest.mark.parametrize("kind", FLOATS)
def test_renorm(load: Load, kind: str) -> None:
    norms = random_of(kind, N).abs()
    out = torch.empty_like(norms)
    load("RenormKernel").run(f"renorm_{kind}", [norms, out, packed("f", 1.5)], [N])
    expected = torch.where(norms.float() > 1.5, 1.5 / (norms.float() + 1e-7), torch.ones(N))
    assert_near(out, expected)


@pytest.mark.parametrize("kind", ["int", "long"])
def test_repeat_interleave(load: Load, kind: str) -> None:
    repeats = random_of(kind, 20).remainder(5).to(TYPES[kind])
    ends = repeats.cumsum(0)
    out = torch.empty(int(ends[-1]), dtype=TYPES[kind])
    name = {"int": "int32_t", "long": "int64_t"}[kind]
    load("Repeat").run(f"repeat_interleave_{name}", [repeats, ends, out], [20])
    assert_near(out, torch.repeat_interleave(repeats))


@pytest.mark.parametrize("op", ["i0", "i1"])
@pytest.mark.parametrize("kind", [*FLOATS, "bool", "uchar", "char", "short", "int", "long"])
def test_bessel_functions(load: Load, op: str, kind: str) -> None:
    values = random_of(kind, N)
    if kind not in (*FLOATS, "bool"):
        values = values.remainder(20)
    to = kind if kind in FLOATS else "float"
    out = torch.empty(N, dtype=TYPES[to])
    load("SpecialOps").run(f"{op}_{kind}_{to}", [values, out], [N])
    expected = getattr(torch.special, op)(values.float())
    assert_near(out, expected, 4)


@pytest.mark.parametrize("kind", ["int", "long"])
@pytest.mark.parametrize(("rows", "columns", "offset"), [(5, 7, 0), (7, 5, 1), (40, 50, -3)])
def test_triangles(load: Load, kind: str, rows: int, columns: int, offset: int) -> None:
    lower = torch.tril_indices(rows, columns, offset)
    count = lower.shape[1]
    first_row = min(columns, 1 + offset) if offset > 0 else int(rows + offset > 0)
    last_row = max(0, min(columns, rows + offset))
    row_all = max(0, min(rows, rows + offset))
    trapezoid_rows = last_row - first_row + 1
    trapezoid = (first_row + last_row) * trapezoid_rows >> 1
    out = torch.empty(2, count, dtype=TYPES[kind])
    row_offset = max(0, -offset)
    data = [out, *(packed("q", one) for one in (row_offset, first_row, columns, trapezoid, count))]
    load("TriangularOps").run(f"tril_indices_{kind}", data, [count])
    assert row_all >= trapezoid_rows
    assert_near(out, lower)
    upper = torch.triu_indices(rows, columns, offset)
    count = upper.shape[1]
    first = max(columns - offset, 0) if offset > 0 else columns
    rectangle = 0
    if offset < 0:
        rectangle = min(rows, -offset) * columns
    out = torch.empty(2, count, dtype=TYPES[kind])
    data = [out, *(packed("q", one) for one in (max(0, offset), first, columns, rectangle, count))]
    load("TriangularOps").run(f"triu_indices_{kind}", data, [count])
    assert_near(out, upper)


@pytest.mark.parametrize("kind", FLOATS)
def test_unfold_backward(load: Load, kind: str) -> None:
    shape, dim, size, step = (6, 11), 1, 4, 2
    grad = random_of(kind, 6, 4, 4)
    out = torch.empty(shape, dtype=TYPES[kind])
    expected = torch.ops.aten.unfold_backward(grad.float(), list(shape), dim, size, step)
    strides = [packed(f"{len(one)}q", *one) for one in ((16, 4, 1), shape, (11, 1))]
    load("UnfoldBackward").run(
        f"unfold_backward_{kind}", [grad, out, *strides, packed("4I", dim, size, step, 2)], [66]
    )
    assert out.shape == shape
    # the kernel counts the first dimension fastest, which the host's order of dimensions answers
    assert_near(out, expected)


@pytest.mark.parametrize("kind", FLOATS)
@pytest.mark.parametrize("corners", [False, True])
def test_bicubic(load: Load, kind: str, corners: bool) -> None:
    images = random_of(kind, 2, 3, 5, 6)
    double = images.float().requires_grad_()
    expected = torch.nn.functional.interpolate(double, size=(8, 9), mode="bicubic", align_corners=corners)
    out = torch.empty(2, 3, 8, 9, dtype=TYPES[kind])
    scales = (5 / 8, 4 / 7) if corners else (6 / 9, 5 / 8)
    sizes = [
        packed("4Q", 1, 6, 30, 90),
        packed("4Q", 1, 9, 72, 216),
        packed("4q", 6, 5, 3, 2),
        packed("4q", 9, 8, 3, 2),
        packed("2f", *scales),
        packed("?", corners),
    ]
    load("UpSample").run(f"upsample_bicubic2d_{kind}", [images, out, *sizes], [72])
    assert_near(out, expected.detach(), 10)
    upstream = random_of(kind, 2, 3, 8, 9, seed=1)
    (wanted,) = torch.autograd.grad(expected, double, upstream.float())
    gradient = torch.zeros_like(images)
    load("UpSample").run(f"upsample_bicubic2d_backward_{kind}", [gradient, upstream, *sizes], [72])
    assert_near(gradient, wanted, 10 if kind == "float" else 8)


@pytest.mark.parametrize("reads_early", [False, True])
def test_thread_sanitizer_sees_a_kernel_beside_the_host(load: Load, reads_early: bool) -> None:
    """The kernel is not instrumented; what it does is told, with its own line."""
    tools = toolchain()
    text = (
        "kernel void k(device float* a [[buffer(0)]], uint i [[thread_position_in_grid]]) {\n  a[i] = i;\n}"
    )
    more = {
        "LD_PRELOAD": str(tools.runtime_library),
        "TSAN_OPTIONS": f"external_symbolizer_path={tools.symbolizer}:exitcode=0:report_thread_leaks=0",
    }
    library = str(simulated_metal(tsan=True))
    done = Job(library, text, "k", [Bound([0.0] * 64)], [64], [64], reads_early=reads_early, more=more).run()
    assert done.returncode == 0, done.stderr
    assert ("WARNING: ThreadSanitizer: data race" in done.stderr) == reads_early
    assert ("program_source:2" in done.stderr) == reads_early
