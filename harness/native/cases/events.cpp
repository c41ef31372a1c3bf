// Events: positions on a stream that other streams and threads wait for, taken from a pool that all threads share.
#include <atomic>
#include <vector>

#include "common.h"
#include "native/cases.h"

namespace harness {

namespace {
constexpr size_t kBytes = 256;
constexpr size_t kEventsMax = 4096;
constexpr int kBusyUs = 20;
}  // namespace

void run_event_pool(const Settings& settings) {
  std::vector<std::atomic<int>> holders(kEventsMax);
  run_crew(settings, settings.threads, [&](Worker& worker) {
    int producer = backend::current_stream(), consumer = other_stream(producer);
    for (int iteration = 0; iteration < settings.iterations; ++iteration) {
      backend::Buffer from = backend::allocate(kBytes, producer), to = backend::allocate(kBytes, consumer);
      uint32_t event = backend::event_acquire(false);
      auto& holder = holders[event % kEventsMax];
      int others = holder.fetch_add(1, std::memory_order_relaxed);
      expect(others == 0, "event_exclusive", "event " + std::to_string(event) + " has two owners");
      keep_busy(producer, kBusyUs);
      backend::fill(producer, from, worker.byte(iteration));
      backend::event_record(event, producer);
      backend::event_wait(event, consumer);
      backend::copy(consumer, from, to);
      backend::commit(consumer);  // From here on it may run: before the fill, if it does not wait.
      backend::event_synchronize(event);
      expect(backend::event_query(event), "event_done_after_synchronize", "an event that was waited for is not done");
      holder.fetch_sub(1, std::memory_order_relaxed);
      backend::event_release(event);
      backend::synchronize(consumer);
      expect_filled(to, worker.byte(iteration), "value_after_event");
      backend::deallocate(from);
      backend::deallocate(to);
      worker.done();
    }
  });
}

void run_event_timing(const Settings& settings) {
  const size_t before = backend::allocated_bytes();
  run_crew(settings, settings.threads, [&](Worker& worker) {
    int stream = backend::current_stream();
    backend::Buffer buffer = backend::allocate(kBytes, stream);
    for (int iteration = 0; iteration < settings.iterations; ++iteration) {
      uint32_t start = backend::event_acquire(true), end = backend::event_acquire(true);
      backend::event_record(start, stream);
      backend::fill(stream, buffer, worker.byte(iteration));
      backend::event_record(end, stream);
      if (iteration % 2 == 0) backend::synchronize(stream);
      double elapsed_ms = backend::event_elapsed_ms(start, end);
      expect(elapsed_ms >= 0, "elapsed_time_not_negative", std::to_string(elapsed_ms) + " ms between two events of one stream");
      backend::event_release(start);
      backend::event_release(end);
      worker.done();
    }
    backend::synchronize(stream);
    backend::deallocate(buffer);
  });
  const size_t after = backend::allocated_bytes();
  expect(after <= before, "memory_as_before", std::to_string(after) + " bytes are in use, and were " + std::to_string(before));
}

}  // namespace harness
