// Completion handlers run on a thread of Metal's: what they share with the threads that encode needs a lock.
#include "native/metal_platform.h"

#include <map>
#include <mutex>

#include "common.h"
#include "native/cases.h"
#include "native/faults.h"

namespace harness {

namespace {

constexpr NSUInteger kBytes = 64;

// In flight per thread, as a backend's allocator keeps what a completed command buffer gives back.
class InFlight {
 public:
  void add(int thread) {
    std::lock_guard<std::mutex> guard(mutex_);
    ++counts_[thread];
  }

  void remove(int thread) {
    if (case_fault("handler_unlocked")) {
      --counts_[thread];
      return;
    }
    std::lock_guard<std::mutex> guard(mutex_);
    --counts_[thread];
  }

  int left() {
    std::lock_guard<std::mutex> guard(mutex_);
    int sum = 0;
    for (auto& [thread, count] : counts_) sum += count;
    return sum;
  }

 private:
  std::mutex mutex_;
  std::map<int, int> counts_;
};

}  // namespace

void run_completion_handlers(const Settings& settings) {
  @autoreleasepool {
    id<MTLDevice> device = MTLCreateSystemDefaultDevice();
    InFlight in_flight;
    InFlight* shared = &in_flight;
    run_crew(settings, settings.threads, [&](Worker& worker) {
      id<MTLCommandQueue> queue = [device newCommandQueue];
      id<MTLBuffer> memory = [device newBufferWithLength:kBytes options:MTLResourceStorageModeShared];
      int index = worker.index();
      for (int iteration = 0; iteration < settings.iterations; ++iteration) {
        @autoreleasepool {
          id<MTLCommandBuffer> commands = [queue commandBuffer];
          id<MTLBlitCommandEncoder> encoder = [commands blitCommandEncoder];
          [encoder fillBuffer:memory range:NSMakeRange(0, kBytes) value:worker.byte(iteration)];
          [encoder endEncoding];
          shared->add(index);
          [commands addCompletedHandler:^(id<MTLCommandBuffer>) {
            shared->remove(index);
            count_handler();
          }];
          [commands commit];
          if (iteration % 4 == 3 || iteration + 1 == settings.iterations) [commands waitUntilCompleted];
        }
        worker.done();
      }
      [queue release];
      [memory release];
    });
    expect(in_flight.left() == 0, "every_handler_ran", std::to_string(in_flight.left()) + " command buffers were never handled");
    auto expected = static_cast<uint64_t>(settings.threads) * static_cast<uint64_t>(settings.iterations);
    expect(handlers_run() == expected, "every_handler_ran",
           std::to_string(handlers_run()) + " handlers ran for " + std::to_string(expected) + " command buffers");
    [device release];
  }
}

}  // namespace harness
