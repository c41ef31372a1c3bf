// The profiler is switched on and off by one thread, while the others do what it follows.
#include <ATen/detail/MPSHooksInterface.h>
#include <ATen/mps/MPSProfiler.h>

#include "native/cases/common.h"
#include "native/mps/cases/list.h"

namespace harness {

namespace {
constexpr size_t kBytes = 256;
}  // namespace

void run_profiler_switched(const Settings& settings) {
  const at::MPSHooksInterface& hooks = at::detail::getMPSHooks();
  backend::current_stream();
  at::mps::getMPSProfiler();
  run_crew(settings, settings.threads, [&](Worker& worker) {
    int stream = backend::current_stream();
    backend::Buffer buffer = backend::allocate(kBytes, stream);
    for (int iteration = 0; iteration < settings.iterations; ++iteration) {
      if (worker.index() == 0) {
        hooks.profilerStartTrace(iteration % 2 == 0 ? "interval" : "event", false);
        hooks.profilerStopTrace();
      } else {
        backend::run_graph(stream, "profiled", worker.byte(0), buffer);
        backend::synchronize(stream);
        expect_filled(buffer, worker.byte(0), "value");
      }
      worker.done();
    }
    backend::deallocate(buffer);
  });
}

}  // namespace harness
