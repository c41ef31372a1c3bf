// What happened on the device, for statistics().
#pragma once

#include <atomic>
#include <cstdint>

namespace mps_sim {

struct Counters {
  std::atomic<int64_t> submitted{0}, executed{0}, commits{0}, handlers{0}, synchronisations{0}, allocations{0};
};

// The streams' threads use it for every operation. It lives as long as the process does, unless the fault
// exit_static_destruction destroys it at exit, as a static object would be.
Counters& counters();
void destroy_counters();

}  // namespace mps_sim
