// Events by number, from the pool that torch.mps.Event uses. As there, recording and waiting commit what came before.
#include <ATen/mps/MPSEvent.h>

#include <array>
#include <atomic>

#include "native/mps/streams.h"

namespace harness::backend {

namespace {

constexpr bool kCommits = true;
constexpr size_t kEventsMax = 65536;

using at::mps::MPSStream;

// Whether an event measures time: needed again when it moves to another stream.
std::array<std::atomic<bool>, kEventsMax> is_timed{};

std::shared_ptr<at::mps::MPSEventPool> pool() { return at::mps::getMPSEventPool(); }

template <typename Pool>
void record(Pool& pool, uint32_t event, MPSStream* stream) {
  if constexpr (requires { pool.recordEvent(event, stream, kCommits); }) {
    pool.recordEvent(event, stream, kCommits);
  } else if constexpr (requires { pool.resetEvent(event, stream, true); }) {
    pool.resetEvent(event, stream, is_timed[event % kEventsMax].load());
    pool.recordEvent(event, kCommits);
  } else {
    if (number_of(stream) != 0) throw Unavailable("MPSEventPool::recordEvent on a stream of one's choice");
    pool.recordEvent(event, kCommits);
  }
}

template <typename Pool>
void wait(Pool& pool, uint32_t event, MPSStream* stream) {
  if constexpr (requires { pool.waitForEvent(event, stream, kCommits); }) {
    pool.waitForEvent(event, stream, kCommits);
  } else if constexpr (requires { pool.waitForEvent(event, kCommits, stream); }) {
    pool.waitForEvent(event, kCommits, stream);
  } else {
    if (number_of(stream) != 0) throw Unavailable("MPSEventPool::waitForEvent on a stream of one's choice");
    pool.waitForEvent(event, kCommits);
  }
}

}  // namespace

uint32_t event_acquire(bool timing) {
  uint32_t event = pool()->acquireEvent(timing);
  is_timed[event % kEventsMax].store(timing);
  return event;
}

void event_release(uint32_t event) { pool()->releaseEvent(event); }
void event_record(uint32_t event, int stream) { record(*pool(), event, stream_at(stream)); }
void event_wait(uint32_t event, int stream) { wait(*pool(), event, stream_at(stream)); }
void event_synchronize(uint32_t event) { pool()->synchronizeEvent(event); }
bool event_query(uint32_t event) { return pool()->queryEvent(event); }
double event_elapsed_ms(uint32_t start, uint32_t end) { return pool()->elapsedTime(start, end); }

}  // namespace harness::backend
