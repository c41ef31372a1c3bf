// Compiled graphs: first use from all threads at once, the same shapes with other constants, clearing while in use.
#include <array>
#include <atomic>
#include <deque>
#include <string>

#include "common.h"
#include "native/cases.h"

namespace harness {

namespace {

constexpr int kShapes = 5;
constexpr size_t kBytes = 256;
constexpr int kClearEvery = 8;
constexpr int kBusyUs = 20;
constexpr int kTogether = 20;     // Iterations that all threads begin at the same moment.
constexpr int kBusyColdUs = 300;  // What comes before a graph's run, so that it is in use for a while.

// Two threads at a time, so that the first report is not cut off by the crash of a third thread.
bool is_of_pair(const Worker& worker, int round) {
  return worker.index() == round % worker.count() || worker.index() == (round + 1) % worker.count();
}

// A shape that nobody has used before, by two threads at the same moment.
void look_up_cold(Worker& worker, int stream, int round, std::atomic<uintptr_t>& first_graph) {
  auto constant = static_cast<uint8_t>(1 + round % 250);
  backend::Buffer buffer = backend::allocate(kBytes, stream);
  keep_busy(stream, kBusyColdUs);
  uintptr_t graph = backend::run_graph(stream, "cold" + std::to_string(round), constant, buffer);
  uintptr_t first = 0;
  bool is_first = first_graph.compare_exchange_strong(first, graph, std::memory_order_relaxed);
  expect(is_first || first == graph, "one_graph_per_key", "two threads have different graphs for one shape and constant");
  backend::synchronize(stream);
  expect_filled(buffer, constant, "graph_has_its_constant");
  backend::deallocate(buffer);
  worker.done();
}

// A shape that all threads use, with a constant of one's own.
void look_up_warm(Worker& worker, int stream, int iteration, int busy_us) {
  backend::Buffer buffer = backend::allocate(kBytes, stream);
  keep_busy(stream, busy_us);
  backend::run_graph(stream, "shape" + std::to_string(iteration % kShapes), worker.byte(0), buffer);
  backend::synchronize(stream);
  expect_filled(buffer, worker.byte(0), "graph_has_its_constant");
  backend::deallocate(buffer);
  worker.done();
}

}  // namespace

void run_graph_cache(const Settings& settings) {
  std::deque<Rendezvous> together;
  std::array<std::atomic<uintptr_t>, kTogether> first_graphs{};
  for (int one = 0; one < kTogether; ++one) together.emplace_back(settings.threads);
  run_crew(settings, settings.threads, [&](Worker& worker) {
    int stream = select_own_stream();
    for (int iteration = 0; iteration < settings.iterations; ++iteration) {
      if (iteration < kTogether) together[static_cast<size_t>(iteration)].arrive();
      if (iteration < kTogether && is_of_pair(worker, iteration)) {
        look_up_cold(worker, stream, iteration, first_graphs[static_cast<size_t>(iteration)]);
      } else {
        look_up_warm(worker, stream, iteration, kBusyUs);
      }
    }
  });
  expect(backend::compile_count() > 0, "something_was_compiled", "no graph was compiled");
}

void run_graph_cache_clear(const Settings& settings) {
  run_crew(settings, settings.threads, [&](Worker& worker) {
    int stream = select_own_stream();
    for (int iteration = 0; iteration < settings.iterations; ++iteration) {
      if (worker.index() == 0 && iteration % kClearEvery == 0) backend::clear_graphs();
      look_up_warm(worker, stream, iteration, kBusyColdUs);  // So that there is always a graph in use when one clears.
    }
  });
}

}  // namespace harness
