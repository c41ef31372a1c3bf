"""The text that a Metal library becomes: what the translator changes, and what it refuses."""

from __future__ import annotations

import pytest

from stress.device.core.shader_tokens import MetalSourceError
from stress.device.core.shader_tokens import NotCarried
from stress.device.core.shader_translation import translate


def body(text: str) -> str:
    """Return the translated text without what is put before and behind it."""
    return translate(text).text.split('#include "metal.h"\n')[1].split('\n# 1 "entries of the kernels"')[0]


def test_lines_stay_where_they_were() -> None:
    text = (
        "template <typename T>\n[[kernel]] void f(\n  device T* a [[buffer(0)]],\n  uint i\n  [[thread_position_in_grid]]) { a[i] = 1.0; }\n"
        'template [[host_name("f_int")]]\n[[kernel]] void f<int>(\n device int*, uint);\nconstant float last = 2.5;\n'
    )
    made = body(text)
    assert [one.strip() for one in made.splitlines()] == [
        "template <typename T>",
        "void f(",
        "device T* a ,",
        "uint i",
        ") { a[i] = 1.0f; }",
        "",
        "",
        "",
        "constant float last = 2.5f;",
    ]


@pytest.mark.parametrize(
    ("given", "made"),
    [
        ("1.0", "1.0f"),
        (".5", ".5f"),
        ("2.", "2.f"),
        ("1e-3", "1e-3f"),
        ("0x1p3", "0x1p3f"),
        ("1.0f", "1.0f"),
        ("2.5h", "((half)2.5f)"),
        ("1.5bf", "((bfloat)1.5f)"),
        ("10", "10"),
        ("0xFEul", "0xFEul"),
        ("7u", "7u"),
    ],
)
def test_a_constant_gets_its_type(given: str, made: str) -> None:
    assert body(f"constant auto x = {given};") == f"constant auto x = {made};"


@pytest.mark.parametrize(
    ("given", "made"),
    [
        ("bfloat(y)", "metal::shim::cast<bfloat>(y)"),
        ("half(y)", "metal::shim::cast<half>(y)"),
        ("half4(y)", "half4(y)"),
        ("static_cast<half>(y)", "static_cast<half>(y)"),
    ],
)
def test_a_cast_to_a_short_type_is_a_function(given: str, made: str) -> None:
    assert body(f"constant auto x = {given};") == f"constant auto x = {made};"


def test_a_conversion_of_a_structures_own_stays() -> None:
    text = "struct wide { operator half() const; };"
    assert body(text) == text


def test_names_of_kernels() -> None:
    text = """
__attribute__((noinline)) kernel void plain(device int* a) {}
void kernel other_order(device int* a) {}
kernel void declared(device int* a);
namespace one::two { kernel void inside(device int* a) {} }
struct kernel_like { int kernel_size; };
template <typename T, int (*call)(int, T)> kernel void made(device T* a) {}
template [[host_name("made_" "int")]] kernel void made<int, nullptr>(device int* a);
template [[host_name("made_short")]] [[kernel]] decltype(made<short, nullptr>) made<short, nullptr>;
void no_kernel(int kernel) { kernel = 1; }
"""
    assert translate(text).names == ("plain", "other_order", "inside", "made_int", "made_short")
    assert "::one::two::inside(" in translate(text).text


def test_an_index_follows_from_the_definition() -> None:
    """The instantiation's own attribute is wrong, as in one of PyTorch's, and one parameter has none anywhere."""
    text = """
template <typename T> kernel void k(device T* a [[buffer(1)]], constant T& b, threadgroup T* c, uint i [[thread_index_in_threadgroup]]) {}
template [[host_name("k_int")]] kernel void k<int>(device int* a [[buffer(0)]], constant int& b, threadgroup int* c,
                                                   uint i [[thread_position_in_grid]]);
"""
    made = translate(text).text
    for wanted in (
        "Kind::buffer, 1>",
        "Kind::buffer, 0>",
        "Kind::threadgroup, 0>",
        "Kind::thread_index_in_threadgroup, 0>",
    ):
        assert wanted in made
    assert "thread_position_in_grid" not in made


def test_overloaded_templates_are_told_apart_by_their_parameters() -> None:
    text = """
template <typename T> kernel void k(device T* a [[buffer(2)]]) {}
template <typename T> kernel void k(device T* a [[buffer(3)]], constant T& b [[buffer(4)]]) {}
template [[host_name("one")]] kernel void k<int>(device int*);
template [[host_name("two")]] kernel void k<int>(device int*, constant int&);
"""
    first, second = translate(text).text.split('# 1 "kernel ')[1:3]
    assert "Kind::buffer, 2>" in first
    assert "Kind::buffer, 3>" in second
    assert "Kind::buffer, 4>" in second
    with pytest.raises(NotCarried, match="overloaded with as many parameters: ::k"):
        translate(text.replace("device T* a [[buffer(3)]], ", ""))


def test_threadgroup_memory_becomes_a_reference() -> None:
    text = "kernel void k(device int* a) { threadgroup array<int, 4> x[2][3], y; threadgroup int* p = x; if (a) { threadgroup int z; } }"
    made = body(text)
    assert (
        "typedef array < int , 4 > metal_variable_0 [ 2 ] [ 3 ]; auto& x = metal::shim::variable<metal_variable_0>(0);"
        in made
    )
    assert (
        "typedef array < int , 4 > metal_variable_1 ; auto& y = metal::shim::variable<metal_variable_1>(1);"
        in made
    )
    assert "threadgroup int* p = x;" in made
    assert "variable<metal_variable_2>(2)" in made


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (
            "kernel void k(\n  texture2d<float> t [[texture(0)]]) {}",
            r"texture2d in a Metal shader \(program_source:2\)",
        ),
        (
            '# 7 "dir/file.metal"\nkernel void k(device int* a [[color(0)]]) {}',
            r"\[\[color\]\] in a Metal shader \(file.metal:7\)",
        ),
        (
            "constant int n [[function_constant(0)]];\nkernel void k(constant int& a [[buffer(n)]]) {}",
            r"\[\[buffer\(n\)\]\]",
        ),
        (
            'template [[host_name("x")]] kernel void k<int>(device int*);',
            "is not defined in this library: ::k",
        ),
    ],
)
def test_what_is_not_carried_is_named_with_its_line(text: str, says: str) -> None:
    with pytest.raises(NotCarried, match=says):
        translate(text)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("void f() {\n  g(;\n}", r"program_source:2: '\(' is not closed"),
        ("}", "program_source:1: '}' closes nothing"),
        ("\nint a", "program_source:2: a declaration does not end"),
        ("template <typename T\nkernel void k();", "program_source:1: '<' is not closed"),
    ],
)
def test_a_text_that_cannot_be_read(text: str, says: str) -> None:
    with pytest.raises(MetalSourceError, match=says):
        translate(text)
