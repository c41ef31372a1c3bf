"""One frame at a time. Linux and GCC lines are real ones; those of macOS are modelled on public reports, not recorded."""

from __future__ import annotations

import pytest

from stress.diagnose.tsan.frames import parse_frame
from stress.diagnose.tsan.names import Origin
from stress.diagnose.tsan.names import naming_frame
from stress.diagnose.tsan.names import origin
from stress.diagnose.tsan.names import short_name
from stress.diagnose.tsan.names import stable_name
from stress.diagnose.tsan.report import Frame


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "inc(int*) /src/rep/rep.cpp:24:48 (rep19+0xe985b) (BuildId: 2f908c20998473c6)",
            Frame("inc(int*)", "/src/rep/rep.cpp", 24, 48, "rep19", 0xE985B, "2f908c20998473c6"),
        ),
        ("main /src/rep.cpp:44:107 (rep+0xeaad5)", Frame("main", "/src/rep.cpp", 44, 107, "rep", 0xEAAD5)),
        ("on_sig(int) /src/rep.cpp:26 (rep+0x1)", Frame("on_sig(int)", "/src/rep.cpp", 26, None, "rep", 1)),
        (
            "operator delete(void*, unsigned long) <null> (rep+0x2)",
            Frame("operator delete(void*, unsigned long)", module="rep", offset=2),
        ),
        ("<null> <null> (libstdc++.so.6+0xd44a2)", Frame(module="libstdc++.so.6", offset=0xD44A2)),
        ("main ??:? (a.out+0x4)", Frame("main", module="a.out", offset=4)),
        ("<null> <null> (0x7f0000001000)", Frame()),
        (
            "start_thread nptl/pthread_create.c:442:8 (libc.so.6+0x891f4)",
            Frame("start_thread", "nptl/pthread_create.c", 442, 8, "libc.so.6", 0x891F4),
        ),
        (
            "__tsan::Call(__tsan::State*, bool) tsan_interceptors_posix.cpp.o (rep+0x5)",
            Frame("__tsan::Call(__tsan::State*, bool)", "tsan_interceptors_posix.cpp.o", None, None, "rep", 5),
        ),
        (
            "pthread_create ../../../../src/libsanitizer/tsan/tsan_interceptors_posix.cpp:1001 (libtsan.so.2+0x5e686)",
            Frame(
                "pthread_create",
                "../../../../src/libsanitizer/tsan/tsan_interceptors_posix.cpp",
                1001,
                None,
                "libtsan.so.2",
                0x5E686,
            ),
        ),
        # The file has a space in its path, the function a path in its name.
        ("f(int) /Users/a b/c d.mm:3:5 (m+0x6)", Frame("f(int)", "/Users/a b/c d.mm", 3, 5, "m", 6)),
        (
            "void run<(lambda at /src/a.cpp:3:5)>((lambda at /src/a.cpp:3:5)) /src/a.cpp:9:3 (m+0x7)",
            Frame(
                "void run<(lambda at /src/a.cpp:3:5)>((lambda at /src/a.cpp:3:5))",
                "/src/a.cpp", 9, 3, "m", 7,
            ),
        ),
        (
            "void run<(lambda at /src/a.cpp:3:5)>((lambda at /src/a.cpp:3:5)) a.cpp:9 (m:arm64+0x7)",
            Frame("void run<(lambda at /src/a.cpp:3:5)>((lambda at /src/a.cpp:3:5))", "a.cpp", 9, None, "m", 7),
        ),
        ("f(int) /src/a.cpp:3:5 (my app (copy)+0x6)", Frame("f(int)", "/src/a.cpp", 3, 5, "my app (copy)", 6)),
        # macOS
        (
            "-[SimEncoder dispatch:count:] harness.mm:12 (harness:arm64+0x100000e2c)",
            Frame("-[SimEncoder dispatch:count:]", "harness.mm", 12, None, "harness", 0x100000E2C),
        ),
        (
            "dispatch_sync <null>:2 (libclang_rt.tsan_osx_dynamic.dylib:arm64e+0x7d1c8)",
            Frame("dispatch_sync", module="libclang_rt.tsan_osx_dynamic.dylib", offset=0x7D1C8),
        ),
        (
            "main::$_0::operator()() const main.cpp:10 (a.out:x86_64h+0x100000e2c) (BuildId: 4C4C44F555553144)",
            Frame("main::$_0::operator()() const", "main.cpp", 10, None, "a.out", 0x100000E2C, "4C4C44F555553144"),
        ),
        # No module at all, as with another stack_trace_format.
        ("take(int) /src/pool.cpp:7:1", Frame("take(int)", "/src/pool.cpp", 7, 1)),
        ("take(int) const", Frame("take(int) const")),
    ],
)  # fmt: skip
def test_parse_frame(text: str, expected: Frame) -> None:
    assert parse_frame(text) == expected


@pytest.mark.parametrize(
    ("function", "name"),
    [
        ("inc(int*)", "inc"),
        ("RoundRobin::next(int) [clone .isra.0]", "RoundRobin::next"),
        ("RoundRobin::next(int) (.isra.0)", "RoundRobin::next"),
        ("take.part.0", "take"),
        ("text[abi:cxx11](int)", "text"),
        ("(anonymous namespace)::Pool::take(int) const", "Pool::take"),
        ("{anonymous}::take", "take"),
        ("std::unique_ptr<Pool> Pool::make<int>(int&&)", "Pool::make"),
        ("decltype(auto) make<int>(int)", "make"),
        ("Foo::~Foo()", "Foo::~Foo"),
        ("Foo::operator()(int)", "Foo::operator()"),
        ("Foo::operator bool() const", "Foo::operator bool"),
        ("Pool<int, std::vector<int>>::operator<(Pool const&) const", "Pool::operator<"),
        ("Pool<int>::operator->() const", "Pool::operator->"),
        ("std::ostream& ns::operator<< <int>(std::ostream&, Foo<int> const&)", "ns::operator<<"),
        ("operator new(unsigned long)", "operator new"),
        ("f(int)::counter", "f::counter"),
        # Lambdas: clang, GCC's and LLVM's demanglers, DWARF names.
        ("main::$_26::operator()() const", "main::{lambda}"),
        ("main::{lambda(int)#1}::operator()(int) const", "main::{lambda}"),
        ("auto f<int>(int)::'lambda0'(int)::operator()(int) const", "f::{lambda}"),
        (
            "at::native::(anonymous namespace)::add(at::Tensor&)::{lambda()#2}::operator()() const",
            "at::native::add::{lambda}",
        ),
        ("void (anonymous namespace)::run<(lambda at /src/a.cpp:3:5)>((lambda at /src/a.cpp:3:5))", "run"),
        ("<lambda()>", "{lambda}"),
        # Objective-C: GCC's runtime has assembler names, Apple's has brackets.
        ("_i_SimEncoder__dispatch", "-[SimEncoder dispatch]"),
        ("-[SimEncoder dispatch]", "-[SimEncoder dispatch]"),
        ("_i_SimEncoder__setBytes_length_atIndex_", "-[SimEncoder setBytes:length:atIndex:]"),
        ("_c_SimQueue__queue", "+[SimQueue queue]"),
        ("_i_SimQueue_Private_drain", "-[SimQueue drain]"),
        ("-[SimQueue(Private) drain]", "-[SimQueue drain]"),
        ("__29-[Pool take]_block_invoke.12", "-[Pool take]::{block}"),
        ("__main_block_invoke_2", "main::{block}"),
        ("___ZN4Pool4takeEv_block_invoke", "Pool::take::{block}"),
        ("invocation function for block in Pool::take(int)", "Pool::take::{block}"),
        ("wrap_dispatch_sync", "dispatch_sync"),
    ],
)
def test_stable_name(function: str, name: str) -> None:
    assert stable_name(function) == name


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("RoundRobin::next(int) /src/pool.cpp:7:1 (m+0x1)", Origin.OURS),
        ("-[SimEncoder dispatch] harness.mm:12 (harness:arm64+0x1)", Origin.OURS),
        ("read /src/reader.cpp:7:1 (m+0x1)", Origin.OURS),
        (
            "-[SimulatedCommandBuffer add:keeping:] /src/harness/simulated_metal/command_buffer.mm:7:1 (m+0x1)",
            Origin.LAYER,
        ),
        (
            "simulated::CommandBufferState::f() /src/harness/simulated_metal/objects.h:7:1 (m+0x1)",
            Origin.LAYER,
        ),
        ("layer() /src/simulated_metal/layer.mm:7:1 (m+0x1)", Origin.OURS),
        ("at::native::add(at::Tensor&) <null> (libtorch_cpu.so+0x1)", Origin.OTHER),
        ("std::unique_ptr<Pool> Pool::make<int>(int&&) /src/pool.cpp:7:1 (m+0x1)", Origin.OURS),
        ("_PyEval_EvalFrameDefault <null> (python3.11+0x1)", Origin.OTHER),
        (
            "void std::__invoke_impl<void, main::$_1>(std::__invoke_other, main::$_1&&) "
            "/usr/lib/gcc/x86_64-linux-gnu/12/../../../../include/c++/12/bits/invoke.h:61:14 (m+0x1)",
            Origin.SYSTEM,
        ),
        ("std::__1::mutex::lock() <null> (libc++.1.dylib:arm64+0x1)", Origin.SYSTEM),
        ("_pthread_start <null> (libsystem_pthread.dylib:arm64+0x1)", Origin.SYSTEM),
        ("start_thread nptl/pthread_create.c:442:8 (libc.so.6+0x1)", Origin.SYSTEM),
        ("main::$_1::__invoke(void*) /src/m.cpp:7:1 (m+0x1)", Origin.SYSTEM),
        ("pthread_mutex_lock <null> (m+0x1)", Origin.RUNTIME),
        ("memcpy <null> (m+0x1)", Origin.RUNTIME),
        ("operator delete(void*, unsigned long) <null> (m+0x1)", Origin.RUNTIME),
        ("free ../../../../src/libsanitizer/tsan/tsan_interceptors_posix.cpp:711 (libtsan.so.2+0x1)", Origin.RUNTIME),
        ("__tsan::CallUserSignalHandler(int) tsan_interceptors_posix.cpp.o (m+0x1)", Origin.RUNTIME),
        ("dispatch_sync <null>:2 (libclang_rt.tsan_osx_dynamic.dylib:arm64+0x1)", Origin.RUNTIME),
        ("<null> <null> (libstdc++.so.6+0xd44a2)", Origin.NAMELESS),
    ],
)  # fmt: skip
def test_origin(text: str, expected: Origin) -> None:
    assert origin(parse_frame(text)) is expected


def test_a_stack_is_named_after_who_called_the_simulated_metal() -> None:
    frames = [
        parse_frame(
            "-[SimulatedCommandBuffer commit] /src/harness/simulated_metal/command_buffer.mm:7:1 (m+0x1)"
        ),
        parse_frame("at::mps::MPSStream::flush() aten/src/ATen/mps/MPSStream.mm:7:1 (m+0x1)"),
        parse_frame("at::native::copy(at::Tensor&) <null> (libtorch_cpu.so+0x1)"),
    ]
    assert short_name(naming_frame(frames)) == "at::mps::MPSStream::flush"
    assert short_name(naming_frame([frames[0], frames[2]])) == "-[SimulatedCommandBuffer commit]"


def test_a_stack_is_named_after_the_innermost_of_our_own() -> None:
    frames = [
        parse_frame("memcpy <null> (m+0x1)"),
        parse_frame("at::native::copy(at::Tensor&) <null> (libtorch_cpu.so+0x1)"),
        parse_frame("Cache::fill(int) /src/cache.cpp:7:1 (m+0x1)"),
        parse_frame("main /src/main.cpp:7:1 (m+0x1)"),
    ]
    assert short_name(naming_frame(frames)) == "Cache::fill"
    assert short_name(naming_frame(frames[:2])) == "at::native::copy"
    assert short_name(naming_frame(frames[:1])) == "memcpy"
    assert short_name(Frame(module="libMPS.dylib", offset=1)) == "(libMPS.dylib)"
    assert short_name(naming_frame([])) == "?"


def test_every_interceptor_of_the_runtime_that_takes_memory_or_locks_is_known() -> None:
    for function in ("malloc", "calloc", "realloc", "free", "posix_memalign", "operator new[](unsigned long)", "memset",
                     "memmove", "strlen", "strncpy", "pthread_cond_wait", "pthread_rwlock_rdlock", "pthread_once",
                     "pthread_join", "sem_post", "close", "fopen", "fwrite", "recvmsg", "epoll_wait", "munmap",
                     "__cxa_guard_acquire", "os_unfair_lock_lock", "OSAtomicAdd32", "objc_sync_enter", "qsort", "snprintf"):  # fmt: skip
        assert origin(Frame(function, module="racy")) is Origin.RUNTIME, function
