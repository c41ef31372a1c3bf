// Which thread works on which stream: the main thread on 0, workers elsewhere, bound for as long as they live.
#include <algorithm>
#include <array>
#include <atomic>
#include <vector>

#include "common.h"
#include "native/cases.h"

namespace harness {

namespace {

constexpr int kStreamsMax = 64;
constexpr int kRounds = 4;
constexpr size_t kBytes = 256;

void work_once(Worker& worker, int stream, int iteration) {
  backend::Buffer from = backend::allocate(kBytes, stream), to = backend::allocate(kBytes, stream);
  backend::fill(stream, from, worker.byte(iteration));
  backend::copy(stream, from, to);
  backend::deallocate(from);
  backend::synchronize(stream);
  expect_filled(to, worker.byte(iteration), "value");
  backend::deallocate(to);
  worker.done();
}

void look_at_main_thread(uint64_t operations) {
  // For as long as the crew is at work, but not for ever.
  for (int look = 0; look < 100000 && operations_done() < operations; ++look) {
    int stream = backend::current_stream();
    if (!expect(stream == 0, "main_on_stream_0", "the main thread is on stream " + std::to_string(stream))) return;
  }
}

}  // namespace

void run_stream_pool(const Settings& settings) {
  look_at_main_thread(1);
  std::vector<int> streams(static_cast<size_t>(settings.threads));
  auto operations = static_cast<uint64_t>(settings.threads) * static_cast<uint64_t>(settings.iterations);
  run_crew(
      settings, settings.threads,
      [&](Worker& worker) {
        int stream = backend::current_stream();
        streams[static_cast<size_t>(worker.index())] = stream;
        expect(stream > 0, "worker_not_on_stream_0", "a worker is on stream " + std::to_string(stream));
        for (int iteration = 0; iteration < settings.iterations; ++iteration) {
          int now = backend::current_stream();
          expect(now == stream, "binding_stable",
                 "a thread of stream " + std::to_string(stream) + " is on stream " + std::to_string(now));
          work_once(worker, stream, iteration);
        }
      },
      [&] { look_at_main_thread(operations); });
  if (settings.threads >= backend::stream_count()) return;
  std::sort(streams.begin(), streams.end());
  expect(std::adjacent_find(streams.begin(), streams.end()) == streams.end(), "streams_distinct",
         "two workers share a stream although there are as many streams as workers");
}

void run_pool_churn(const Settings& settings) {
  std::array<std::atomic<int>, kStreamsMax> holders{};
  int iterations = std::max(settings.iterations / kRounds, 2);
  for (int round = 0; round < kRounds; ++round) {
    run_crew(settings, settings.threads, [&](Worker& worker) {
      for (int iteration = 0; iteration < iterations; ++iteration) {
        int stream = backend::current_stream();
        auto& holder = holders[static_cast<size_t>(stream)];
        int others = holder.fetch_add(1, std::memory_order_relaxed);
        expect(others == 0, "slot_exclusive", "two live threads hold stream " + std::to_string(stream));
        work_once(worker, stream, iteration);
        holder.fetch_sub(1, std::memory_order_relaxed);
        // The last slot is given back by the end of the thread.
        if (iteration + 1 < iterations) backend::release_slot();
      }
    });
  }
}

}  // namespace harness
