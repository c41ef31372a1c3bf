// What was done, for a driver's summary: relaxed, so that counting orders no threads.
#pragma once

#include <atomic>
#include <cstdint>

namespace simulated {

struct Counters {
  std::atomic<uint64_t> command_buffers, dispatches, blits, signals, waits, heaps, buffers, graphs, signposts;
};
inline Counters counters;

inline void count(std::atomic<uint64_t>& one) { one.fetch_add(1, std::memory_order_relaxed); }

}  // namespace simulated
