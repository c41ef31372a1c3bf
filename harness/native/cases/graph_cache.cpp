// Compiled graphs: first use from all threads at once, the same shapes with other constants, clearing while in use.
#include <string>

#include "common.h"
#include "native/cases.h"

namespace harness {

namespace {

constexpr int kShapes = 5;
constexpr size_t kBytes = 256;
constexpr int kClearEvery = 4;
constexpr int kBusyUs = 20;

void look_up(Worker& worker, int stream, int iteration, bool is_cold) {
  // Cold: everybody compiles the same graph at the same time. Otherwise: known shapes, a constant of one's own.
  auto constant = static_cast<uint8_t>(is_cold ? 1 + iteration % 250 : worker.byte(iteration));
  std::string shape = (is_cold ? "cold" : "shape") + std::to_string(is_cold ? iteration : iteration % kShapes);
  backend::Buffer buffer = backend::allocate(kBytes, stream);
  keep_busy(stream, kBusyUs);
  backend::run_graph(stream, shape, constant, buffer);
  backend::synchronize(stream);
  expect_filled(buffer, constant, "graph_has_its_constant");
  backend::deallocate(buffer);
  worker.done();
}

}  // namespace

void run_graph_cache(const Settings& settings) {
  run_crew(settings, settings.threads, [&](Worker& worker) {
    int stream = backend::new_stream();
    backend::use_stream(stream);
    for (int iteration = 0; iteration < settings.iterations; ++iteration) look_up(worker, stream, iteration, iteration % 2 == 0);
  });
  expect(backend::compile_count() > 0, "something_was_compiled", "no graph was compiled");
}

void run_graph_cache_clear(const Settings& settings) {
  run_crew(settings, settings.threads, [&](Worker& worker) {
    int stream = backend::new_stream();
    backend::use_stream(stream);
    for (int iteration = 0; iteration < settings.iterations; ++iteration) {
      if (worker.index() == 0 && iteration % kClearEvery == 0) backend::empty_cache();
      look_up(worker, stream, iteration % (2 * kShapes), false);
    }
  });
}

}  // namespace harness
