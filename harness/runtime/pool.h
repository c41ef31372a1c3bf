// Which stream a thread works on: the fork's pool (round-robin, or exclusive slots), or upstream's stream 0 for all.
#pragma once

#include "device.h"
#include "thread_state.h"

namespace mps_sim {

constexpr int kPoolStreams = 31;          // The fork's: 1-31 beside the main thread's 0.
constexpr int kPoolStreamsUpstream = 32;  // Upstream's: 1-32 beside the default stream 0.

// For the order that is promised. A lane is the stream on which the program believes work to run: that of the calling thread's
// own work (`otherwise` where it was never told one), and that of a stream which it names.
StreamId own_lane(StreamId otherwise);
StreamId lane_of(StreamId stream);

void release_slot_at_exit(ThreadState& thread);

}  // namespace mps_sim
