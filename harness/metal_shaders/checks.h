// What a kernel may do with memory: read and write what is bound or was made resident, inside its bounds, and where it is asked for,
// without races.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "abi.h"
#include "fibers.h"
#include "races.h"
#include "runner.h"

namespace metal_shaders {

class Checks {
 public:
  void begin(const Dispatch& dispatch, const Stacks& stacks);
  void add_memory(const char* begin, size_t bytes);  // Threadgroup memory.
  void begin_group();
  void barrier(unsigned flags);

  // `site` is where in the library's code the access is, for the line of the shader.
  void access(metal_abi::Thread& thread, const void* memory, size_t bytes, bool is_write, const void* site);
  void atomic(metal_abi::Thread& thread, const void* memory, size_t bytes, bool is_write, const void* site);
  [[noreturn]] void fail(metal_abi::Thread& thread, const char* what, const void* site);

 private:
  static constexpr size_t kRecent = 64;

  const Range* find(const char* memory, size_t bytes, const void* site);
  void must_not_race(metal_abi::Thread& thread, const Range& range, const char* memory, size_t bytes, bool is_write, bool is_atomic,
                     const void* site);
  std::string place(const char* memory) const;

  const Dispatch* dispatch_ = nullptr;
  const Stacks* stacks_ = nullptr;
  std::vector<Range> ranges_;
  Range recent_[kRecent] = {};  // By the place of the access: most places use one buffer.
  Races races_;
};

}  // namespace metal_shaders
