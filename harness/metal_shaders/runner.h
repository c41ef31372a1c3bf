// Runs a dispatch of a compiled kernel on the calling thread.
//
// The threads of a group run one after another in a drawn order. One that comes to a barrier or to a call of its SIMD group waits on
// a stack of its own, while the next one runs; a kernel without such calls is a plain loop. Which of the threads that can run goes
// on is drawn, too: all alike, or one SIMD group or thread as far ahead of the others as the kernel's barriers allow. So a barrier
// that is missing lets a reader come before its writer.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "abi.h"

namespace metal_shaders {

// Memory that a kernel may use.
struct Range {
  const char* begin;
  std::size_t bytes;
  int index;  // Of a buffer; kResource for what was only made resident.
};
constexpr int kResource = -1;

struct Buffer {
  void* data = nullptr;  // Null where nothing is bound.
  Range range{};
};

struct Dispatch {
  const metal_abi::Library* library;
  const metal_abi::Entry* entry;
  std::vector<Buffer> buffers;       // By index.
  std::vector<std::size_t> memory_bytes;  // Threadgroup memory by index.
  std::vector<Range> resources;
  unsigned grid[3];   // Threads.
  unsigned group[3];  // Threads of a full group.
  uint64_t seed;
  bool finds_races = false;  // Ends the process at the first race of two threads.
};

// Ends the process with the kernel's name, the thread and the line of the shader where a kernel does what it may not.
void run(const Dispatch& dispatch);

}  // namespace metal_shaders
