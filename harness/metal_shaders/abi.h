// What a compiled Metal library and the runner know of each other. Included by both; no C++ library behind it.
//
// Each thread of a threadgroup runs on a stack of its own, of `kStackBytes` and aligned by it, with its `Thread` at the top: so a
// kernel finds its thread from the stack pointer, without thread-local storage.
#pragma once

namespace metal_abi {

constexpr unsigned kSimdWidth = 32;
constexpr unsigned kThreadsMax = 1024;  // Of a threadgroup.
constexpr unsigned kBuffers = 31;
constexpr unsigned kSlotBytes = 64;  // The largest value that lanes of a SIMD group exchange.
constexpr unsigned long kStackBytes = 256 << 10;
constexpr unsigned kVersion = 1;

struct Thread;
struct Runtime;

// The same for all threads of a threadgroup.
struct Launch {
  void* buffers[kBuffers];
  void* memory[kBuffers];       // Threadgroup memory, bound by index.
  unsigned group[3];            // Position in the grid of threadgroups.
  unsigned groups[3];           // In the grid.
  unsigned threads[3];          // Of this group, which is smaller at the grid's edge ...
  unsigned dispatched[3];       // ... than what was asked for.
  unsigned grid[3];             // Threads.
  const Runtime* runtime;
};

struct SimdGroup {
  unsigned lanes;   // Threads that it has; fewer than 32 at the group's end.
  unsigned active;  // Bits: those that met in the last call.
  unsigned meets;   // How many calls it has met in.
};

struct Thread {
  const Launch* launch;
  SimdGroup* simd;
  Thread* const* lanes;  // Of its SIMD group; null where one has not started.
  unsigned local[3], global[3];
  unsigned index;  // In its group.
  alignas(16) char slots[2][kSlotBytes];
};

struct Runtime {
  void (*barrier)(Thread& self, unsigned flags, const void* site);
  void (*meet)(Thread& self, const void* site);  // All lanes of the SIMD group that still run.
  // The memory of the `declaration`-th threadgroup variable of a library: one for all threads of a group.
  void* (*variable)(Thread& self, unsigned declaration, unsigned long bytes);
  // Each of these ends the process where the kernel may not.
  void (*access)(Thread& self, const void* memory, unsigned long bytes, int is_write, const void* site);
  void (*atomic)(Thread& self, const void* memory, unsigned long bytes, int is_write, const void* site);
  void (*fail)(Thread& self, const char* what, const void* site);
};

struct Entry {
  const char* name;
  void (*call)(Thread& self);
  unsigned argument_bytes[kBuffers];  // Of the structure that buffer n points to; 0 where it is none.
  int has_variables;                  // Whether it declares threadgroup memory.
};

// A library's only symbol, `metal_library`.
struct Library {
  unsigned version;
  unsigned count;
  const Entry* const* entries;
  const char *begin, *end;  // Of the library in memory: its constants.
};

// Where the thread of the stack that begins at `block` lies. Not always at the same distance from the begin: what lies at equal
// places of a large power of two is kept in the same few lines of the processor's caches.
__attribute__((no_sanitize("kernel-address"))) inline Thread* thread_at(unsigned long block) {
  unsigned long colour = (block / kStackBytes & 63) * 17 * 64;
  return reinterpret_cast<Thread*>((block + kStackBytes - sizeof(Thread) - colour) & ~63ul);
}

__attribute__((no_sanitize("kernel-address"))) inline Thread& thread_of(const void* frame) {
  return *thread_at(reinterpret_cast<unsigned long>(frame) & ~(kStackBytes - 1));
}

}  // namespace metal_abi
