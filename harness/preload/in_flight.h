// What a process under ThreadSanitizer was doing, for the reports: the device's glue tells it here, `in_flight.cpp` keeps
// it. Weak: null in a process where that library is not preloaded.
#pragma once

#include <cstddef>
#include <cstdint>

extern "C" {

// The calling thread works on iteration `iteration` of crew thread `thread`.
[[gnu::weak]] void mps_stress_in_flight_step(int thread, int64_t iteration);

// The calling thread, a stream's, begins a kernel that was submitted there. `operation` has to live for ever.
[[gnu::weak]] void mps_stress_in_flight_kernel(const char* operation, int stream, int thread, int64_t iteration);

// That kernel, or the calling thread, reads or writes `bytes` bytes from `begin` on: told to ThreadSanitizer, and kept.
[[gnu::weak]] void mps_stress_in_flight_access(const void* begin, size_t bytes, int is_write);
}

namespace mps_sim {

// A frame that the glue puts into TSan's stacks: the address of an operation's name, marked as one that TSan lets
// `__tsan_symbolize_external_ex` name. In LLVM's tsan_defs.h the mark is kExternalPCBit.
inline constexpr uintptr_t kNamedFrame = uintptr_t{1} << 60;
inline constexpr uintptr_t kNamedFrameOfCall = uintptr_t{1} << 59;  // Of a host thread; else of a kernel.

}  // namespace mps_sim
