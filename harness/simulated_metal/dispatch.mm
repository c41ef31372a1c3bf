// A serial queue as a lock, whose block runs on the calling thread; why not Debian's libdispatch stands in dispatch.h.
// `dispatch_get_specific` follows the innermost queue of the thread: a queue entered inside another one gives it back.
#include "dispatch.h"

#include <map>

#include "runtime/locks.h"

struct simulated_dispatch_queue {
  mps_sim::SerialQueue serial;  // The one that the simulated device's streams have: not re-entrant, and it says so.
  std::map<const void*, void*> specifics;
};

namespace {
thread_local dispatch_queue_t current_queue = nullptr;
}  // namespace

dispatch_queue_t dispatch_queue_create(const char*, dispatch_queue_attr_t) { return new simulated_dispatch_queue; }

void dispatch_release(dispatch_queue_t queue) { delete queue; }

void dispatch_sync(dispatch_queue_t queue, dispatch_block_t block) {
  queue->serial.sync([&] {
    dispatch_queue_t outer = current_queue;
    current_queue = queue;
    block();
    current_queue = outer;
  });
}

void dispatch_queue_set_specific(dispatch_queue_t queue, const void* key, void* context, dispatch_function_t) {
  queue->specifics[key] = context;
}

void* dispatch_get_specific(const void* key) {
  if (current_queue == nullptr) return nullptr;
  auto found = current_queue->specifics.find(key);
  return found == current_queue->specifics.end() ? nullptr : found->second;
}
