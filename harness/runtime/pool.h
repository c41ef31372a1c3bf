// Which stream a thread works on: the fork's pool (round-robin, or exclusive slots), or upstream's stream 0 for all.
#pragma once

#include "device.h"
#include "thread_state.h"

namespace mps_sim {

constexpr int kPoolStreams = 31;          // The fork's: 1-31 beside the main thread's 0.
constexpr int kPoolStreamsUpstream = 32;  // Upstream's: 1-32 beside the default stream 0.

void release_slot_at_exit(ThreadState& thread);

}  // namespace mps_sim
