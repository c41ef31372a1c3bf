// Threads that end, and a process that ends, with work in flight.
#include <algorithm>
#include <vector>

#include "common.h"
#include "native/cases.h"

namespace harness {

namespace {
constexpr size_t kBytes = 256;
constexpr int kBusyUs = 50;
constexpr int kBusyAtExitUs = 2000;
constexpr int kGraphs = 3;
constexpr int kRounds = 4;
}  // namespace

void run_thread_exit(const Settings& settings) {
  int count = std::max(settings.iterations / kRounds, 1);
  for (int round = 0; round < kRounds; ++round) {
    std::vector<backend::Buffer> results(static_cast<size_t>(settings.threads * count));
    run_crew(settings, settings.threads, [&](Worker& worker) {
      int stream = backend::current_stream();
      keep_busy(stream, kBusyUs);
      for (int one = 0; one < count; ++one) {
        backend::Buffer buffer = backend::allocate(kBytes, stream);
        backend::run_graph(stream, "exit" + std::to_string(one % kGraphs), worker.byte(one % kGraphs), buffer);
        results[static_cast<size_t>(worker.index() * count + one)] = buffer;
        worker.done();
      }
      backend::commit(stream);
    });
    backend::synchronize_all();
    for (int thread = 0; thread < settings.threads; ++thread) {
      for (int one = 0; one < count; ++one) {
        backend::Buffer buffer = results[static_cast<size_t>(thread * count + one)];
        expect_filled(buffer, Worker(thread, settings.threads, 0).byte(one % kGraphs), "work_of_ended_threads_is_done");
        backend::deallocate(buffer);
      }
    }
  }
  // The process ends while this still runs: on one stream, so that one thread of the device meets what is gone, and its
  // report is not cut off by the crash of another.
  run_crew(settings, 1, [&](Worker& worker) {
    int stream = backend::current_stream();
    backend::Buffer buffer = backend::allocate(kBytes, stream);
    for (int one = 0; one < kGraphs; ++one) {
      keep_busy(stream, kBusyAtExitUs);
      backend::fill(stream, buffer, worker.byte(one));
    }
    backend::commit(stream);
  });
}

}  // namespace harness
