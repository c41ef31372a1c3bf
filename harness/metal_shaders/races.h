// Races inside one dispatch, by which accesses a barrier orders and not by what happened to come first: one run in any order is
// enough. A read and a write of the same bytes race where neither a barrier nor a SIMD group orders them and not both are atomic.
//
// Two writes are not reported: kernels let threads write equal values, and which of two values stays shows by the drawn order.
// Lanes of one SIMD group are in order, as on Apple's GPUs, where they run in step.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <unordered_map>

#include "abi.h"

namespace metal_shaders {

class Races {
 public:
  struct Access {
    const void* site = nullptr;  // Null for none.
    uint32_t group = 0;          // Number in the grid of threadgroups.
    uint16_t thread = 0;         // Index in the group.
    uint8_t bytes = 0;           // Bits: which of the word's four.
    bool is_atomic = false;
    uint32_t barriers = 0, fences = 0;  // That the group had come to; fences are those that concern this memory.
  };

  void begin();        // A dispatch.
  void begin_group();  // Its threadgroup memory is new.
  void barrier(unsigned flags);

  // The other access of a race with this one; null where there is none. Remembers this one.
  const Access* note(const metal_abi::Thread& thread, const void* memory, size_t bytes, bool is_write, bool is_atomic, bool is_of_group,
                     const void* site);

 private:
  static constexpr size_t kPageBytes = 4096;

  struct Word {
    uint64_t age = 0;
    Access write, reads[2];  // The last reads of two SIMD groups.
  };
  struct Page {
    Word words[kPageBytes / 4];
  };

  Word& word(uintptr_t address);
  static bool race(const Access& before, const Access& now, bool was_write);

  std::unordered_map<uintptr_t, std::unique_ptr<Page>> pages_;
  uintptr_t last_number_ = ~uintptr_t{0};
  Page* last_ = nullptr;
  uint64_t age_ = 0, dispatch_age_ = 0, group_age_ = 0;
  uint32_t barriers_ = 0, device_fences_ = 0, group_fences_ = 0;
};

}  // namespace metal_shaders
