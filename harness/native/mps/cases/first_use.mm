// What PyTorch makes at its first use, first used by all threads at the same moment: there is one of it, and making it is no
// race. A process has one such moment, so the settings' iterations mean nothing here.
#include <ATen/mps/MPSAllocatorInterface.h>
#include <ATen/mps/MPSDevice.h>
#include <ATen/mps/MPSEvent.h>
#include <ATen/mps/MPSGeneratorImpl.h>
#include <ATen/mps/MPSProfiler.h>
#include <ATen/mps/MPSStream.h>
#include <ATen/native/mps/MetalShaderLibrary.h>
#include <ATen/native/mps/OperationUtils.h>

#include <atomic>
#include <functional>
#include <string>
#include <vector>

#include "native/invariants.h"
#include "native/mps/cases/list.h"

namespace harness {

namespace {

// `find` returns what must be the same for every thread.
void start_cold(const Settings& settings, const std::function<const void*()>& find) {
  std::vector<std::atomic<const void*>> found(static_cast<size_t>(settings.threads));
  run_crew(settings, settings.threads, [&](Worker& worker) {
    @autoreleasepool {
      found[static_cast<size_t>(worker.index())].store(find(), std::memory_order_relaxed);
    }
    worker.done();
  });
  const void* first = found[0].load();
  expect(first != nullptr, "made_at_first_use", "the first thread found nothing");
  for (auto& one : found) {
    if (!expect(one.load() == first, "one_instance", "two threads that came first at the same moment have different ones")) return;
  }
}

}  // namespace

void run_device_first_use(const Settings& settings) {
  start_cold(settings, [] { return static_cast<const void*>(at::mps::MPSDevice::getInstance()); });
}

void run_first_use(const Settings& settings) {
  start_cold(settings, [] { return static_cast<const void*>(at::mps::getDefaultMPSStream()); });
}

void run_allocator_first_use(const Settings& settings) {
  at::mps::getDefaultMPSStream();  // What it needs is there: the stream has a case of its own.
  start_cold(settings, [] { return static_cast<const void*>(at::mps::getIMPSAllocator()); });
}

void run_events_first_use(const Settings& settings) {
  at::mps::getDefaultMPSStream();
  start_cold(settings, [] { return static_cast<const void*>(at::mps::getMPSEventPool().get()); });
}

void run_profiler_first_use(const Settings& settings) {
  start_cold(settings, [] { return static_cast<const void*>(&at::mps::getMPSProfiler()); });
}

void run_capture_first_use(const Settings& settings) {
  auto& profiler = at::mps::getMPSProfiler();
  run_crew(settings, settings.threads, [&](Worker& worker) {
    @autoreleasepool {
      profiler.isCaptureEnabled();
    }
    worker.done();
  });
}

void run_generator_first_use(const Settings& settings) {
  start_cold(settings, [] { return static_cast<const void*>(at::mps::detail::getDefaultMPSGenerator().unsafeGetGeneratorImpl()); });
}

void run_graph_cache_first_use(const Settings& settings) {
  start_cold(settings, [] { return static_cast<const void*>(at::native::mps::MPSGraphCache::getInstance()); });
}

// Operators ask for their pipelines on the stream's queue or outside it, as it happens: the library is what all share.
void run_pipelines(const Settings& settings) {
  at::mps::getDefaultMPSStream();
  static at::native::mps::MetalShaderLibrary library("kernel void mps_stress_one() {} kernel void mps_stress_other() {}");
  run_crew(settings, settings.threads, [&](Worker& worker) {
    for (int iteration = 0; iteration < settings.iterations; ++iteration) {
      @autoreleasepool {
        std::string name = (iteration + worker.index()) % 2 == 0 ? "mps_stress_one" : "mps_stress_other";
        auto pipeline = library.getPipelineStateForFunc(name);
        expect(pipeline != nil, "pipeline_found", "no pipeline for " + name);
      }
      worker.done();
    }
  });
}

}  // namespace harness
