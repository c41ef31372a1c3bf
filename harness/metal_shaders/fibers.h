// Stacks for the threads of a threadgroup, all on one thread of the operating system, and the switch between them.
#pragma once

#include <cstddef>

#include "abi.h"

// Functions that are left on one stack and returned from on another: ThreadSanitizer's own stack of calls must not hear of them.
#if defined(__clang__)
#define METAL_SHADERS_SWITCHES __attribute__((disable_sanitizer_instrumentation, noinline))
#else
#define METAL_SHADERS_SWITCHES __attribute__((noinline))
#endif

namespace metal_shaders {

// `kThreadsMax` stacks in a row, the first of them with a page behind their ends that nobody may touch: a kernel that needs too
// much stack does so on these, too, and a process may have only some ten thousand such pages. Memory is taken when it is first used.
class Stacks {
 public:
  Stacks();

  // Where the thread of this stack lies: at its top.
  metal_abi::Thread* thread(unsigned stack) const;
  bool has(const void* memory, size_t bytes) const {
    size_t at = static_cast<size_t>(static_cast<const char*>(memory) - begin_);
    return at < kBytes && bytes <= kBytes - at;
  }
  // Makes `stack` such that the first switch to the returned pointer calls `body`, which must not return.
  void* prepare(unsigned stack, void (*body)());

 private:
  static constexpr unsigned kGuarded = 32;
  static constexpr size_t kBytes = metal_abi::kThreadsMax * metal_abi::kStackBytes;

  char* begin_;
  bool is_guarded_[kGuarded] = {};
};

// Saves where this stack is in `*from`, and goes on with the other.
void switch_stack(void** from, void* to);

}  // namespace metal_shaders
