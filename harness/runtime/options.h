// What configure() sets, for the whole process and before the device is used.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

namespace mps_sim {

enum class Design { fork, fork_free_list, upstream };
enum class ScheduleKind { free, random, pct };

struct Options {
  Design design = Design::fork;
  uint64_t seed = 0;
  int commit_every = 4;            // Operations per command buffer.
  int queue_depth = 64;            // Committed command buffers per stream before a commit waits, as in Metal.
  int compile_us = 20;             // What a miss of the graph cache costs.
  int jitter_us = 0;               // Longest random pause of a stream before an operation.
  size_t memory_bytes_max = 0;     // 0: as much as the host gives.
  bool checks_order = true;        // Promised against kept: see order.h.
  int pool_wait_ms = 0;            // fork-free-list without a free slot: 0 raises, -1 waits, else milliseconds.
  ScheduleKind schedule = ScheduleKind::free;
  uint64_t schedule_seed = 0;
  int schedule_depth = 3;          // PCT's bug depth d: d - 1 priority changes.
  int schedule_steps = 2000;       // PCT's estimate of the number of steps.
};

Options& options();

inline bool has_thread_streams() { return options().design != Design::upstream; }

}  // namespace mps_sim
