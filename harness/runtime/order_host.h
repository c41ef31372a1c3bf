// Promised against kept on a backend that runs over the simulated Metal. The layer knows which of the host's memory encoded work
// will touch, and which work has run; what the program asked for is seen at torch's allocator and at the calls that wait.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>

#include "device.h"

namespace mps_sim::order {

// Bytes of the host's memory that encoded work reads or writes: until it has run, or is dropped, nobody may free them.
class HostUse {
 public:
  HostUse(const void* begin, size_t bytes, bool is_write);
  ~HostUse();
  HostUse(const HostUse&) = delete;
  HostUse& operator=(const HostUse&) = delete;
  void done();

 private:
  uintptr_t begin_, end_;
  bool is_write_, is_pending_;
  friend void host_memory_freed(const void* base, size_t bytes);
};

bool is_host_memory_in_use();  // Cheap: whether a call of `host_memory_freed` can find anything.
void host_memory_freed(const void* base, size_t bytes);  // Before it is.

// A piece of work that the calling thread submitted to a stream: to be marked as soon as it has run.
struct Submitted {
  std::atomic<bool> has_run{false};
};
std::shared_ptr<Submitted> work_submitted(StreamId stream, const char* name);

constexpr StreamId kAllStreams = -1;
// A call that waits for a stream has returned: all that this thread had submitted there has run.
void wait_returned(StreamId stream, const char* call);

}  // namespace mps_sim::order
