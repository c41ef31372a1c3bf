// For the fault op_pair_order: copies that run beside their stream, and the waits of everybody who reads the result.
#pragma once

#include "runtime/device.h"

namespace mps_sim {

// Notes that `memory` is complete only when `stream` has reached what is submitted to it now.
void note_side_copy(void* memory, StreamId stream);

// Makes `stream` wait for a side copy into `memory`, if there is one. Inside an AttentionScope it is forgotten.
void wait_for_side_copies(void* memory, StreamId stream);

class AttentionScope {
 public:
  AttentionScope();
  ~AttentionScope();
  AttentionScope(const AttentionScope&) = delete;
  AttentionScope& operator=(const AttentionScope&) = delete;
};

}  // namespace mps_sim
