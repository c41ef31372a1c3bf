// Kernels of a program's own, of the simulated device alone: a kernel of a fresh library is asked for by two threads at the
// same moment, and run by both.
#include <array>
#include <atomic>
#include <deque>
#include <memory>

#include "native/cases.h"
#include "native/cases/common.h"
#include "runtime/shader_library.h"

namespace harness {

namespace {

constexpr size_t kBytes = 256;
constexpr int kTogether = 20;  // Iterations that all threads begin at the same moment.
constexpr int kBusyUs = 300;   // What comes before a kernel's run, so that it is in use for a while.
const char* const kKernel = "fill";

struct Kernel {
  mps_sim::ShaderLibrary library{{kKernel}};
  std::atomic<uintptr_t> first{0};
};

}  // namespace

void run_shader_library(const Settings& settings) {
  std::deque<Rendezvous> together;
  std::array<std::unique_ptr<Kernel>, kTogether> kernels;
  for (int one = 0; one < kTogether; ++one) together.emplace_back(settings.threads);
  for (auto& one : kernels) one = std::make_unique<Kernel>();
  run_crew(settings, settings.threads, [&](Worker& worker) {
    const int stream = select_own_stream();
    for (int iteration = 0; iteration < settings.iterations; ++iteration) {
      if (iteration < kTogether) together[static_cast<size_t>(iteration)].arrive();
      Kernel& kernel = *kernels[static_cast<size_t>(iteration % kTogether)];
      const bool is_of_pair = worker.index() == iteration % worker.count() || worker.index() == (iteration + 1) % worker.count();
      if (iteration < kTogether && !is_of_pair) continue;  // So that a first report is not cut off by the crash of a third thread.
      backend::Buffer buffer = backend::allocate(kBytes, stream);
      keep_busy(stream, kBusyUs);
      const std::shared_ptr<mps_sim::Pipeline> pipeline = kernel.library.pipeline(kKernel);
      const auto address = reinterpret_cast<uintptr_t>(pipeline.get());
      uintptr_t first = 0;
      const bool is_first = kernel.first.compare_exchange_strong(first, address, std::memory_order_relaxed);
      expect(is_first || first == address, "one_pipeline_per_kernel", "two threads have different pipelines of one kernel");
      mps_sim::note_found_pipeline(pipeline);
      backend::fill(stream, buffer, worker.byte(iteration));
      backend::synchronize(stream);
      expect_filled(buffer, worker.byte(iteration), "value_after_kernel");
      backend::deallocate(buffer);
      worker.done();
    }
  });
}

std::vector<Case> backend_cases() {
  return {{"shader_library", "kernels of a program's own, touched for the first time by two threads", "upstream", false, 2,
           true, false, run_shader_library}};
}

}  // namespace harness
