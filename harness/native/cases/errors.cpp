// Work that fails on the device: whoever encoded it is told at its next wait, and nobody else is.
#include <string>

#include "common.h"
#include "native/cases.h"

namespace harness {

namespace {
constexpr size_t kBytes = 64;
constexpr int kFailEvery = 5;
}  // namespace

void run_errors(const Settings& settings) {
  run_crew(settings, settings.threads, [&](Worker& worker) {
    int stream = backend::current_stream();
    backend::Buffer buffer = backend::allocate(kBytes, stream);
    for (int iteration = 0; iteration < settings.iterations; ++iteration) {
      bool fails = iteration % kFailEvery == worker.index() % kFailEvery;
      std::string text = "planted by thread " + std::to_string(worker.index()) + " in iteration " + std::to_string(iteration);
      backend::fill(stream, buffer, worker.byte(iteration));
      if (fails) backend::fail(stream, text);
      std::string got = error_of([&] { backend::synchronize(stream); });
      if (fails) {
        expect(!got.empty(), "error_is_raised", "nobody was told of: " + text);
      }
      if (!got.empty()) {
        expect(fails && got.find(text) != std::string::npos, "error_reaches_its_own_thread",
               "thread " + std::to_string(worker.index()) + " got: " + got);
      }
      worker.done();
    }
    backend::deallocate(buffer);
  });
}

}  // namespace harness
