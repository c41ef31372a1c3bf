// The functions behind torch.mps.*, called by some threads while the others encode.
#include <ATen/detail/MPSHooksInterface.h>
#include <ATen/mps/MPSAllocatorInterface.h>
#include <c10/core/impl/DeviceGuardImplInterface.h>

#include <string>
#include <thread>
#include <vector>

#include "native/cases/common.h"
#include "native/mps/cases/list.h"
#include "native/mps/queue.h"
#include "native/mps/streams.h"

namespace harness {

namespace {

constexpr size_t kBytes = 4096;
constexpr size_t kLarge = size_t{3} << 20;
constexpr int kSizes = 7;
constexpr int kEmptyEvery = 4;
constexpr int kReads = 4;

// Every thread encodes to its current stream and calls `between`, as a program without locks does.
void encode_and_call(const Settings& settings, void (*between)(const at::MPSHooksInterface&)) {
  const at::MPSHooksInterface& hooks = at::detail::getMPSHooks();
  backend::current_stream();
  backend::deallocate(backend::allocate(kBytes, 0));
  run_crew(settings, settings.threads, [&](Worker& worker) {
    int stream = backend::current_stream();
    backend::Buffer buffer = backend::allocate(kBytes, stream);
    for (int iteration = 0; iteration < settings.iterations; ++iteration) {
      backend::fill(stream, buffer, worker.byte(iteration));
      std::this_thread::yield();  // On a busy machine a thread could do all of its rounds at one go. This orders nobody.
      between(hooks);
      worker.done();
    }
    backend::synchronize(stream);
    expect_filled(buffer, worker.byte(settings.iterations - 1), "value");
    backend::deallocate(buffer);
  });
}

}  // namespace

void run_synchronize(const Settings& settings) {
  encode_and_call(settings, [](const at::MPSHooksInterface& hooks) { hooks.deviceSynchronize(); });
}

void run_commit_stream(const Settings& settings) {
  encode_and_call(settings, [](const at::MPSHooksInterface& hooks) { hooks.commitStream(); });
}

void run_guard_synchronize(const Settings& settings) {
  encode_and_call(settings, [](const at::MPSHooksInterface&) {
    c10::impl::getDeviceGuardImpl(c10::DeviceType::MPS)->synchronizeDevice(0);
  });
}

void run_hooks_command_buffer(const Settings& settings) {
  const at::MPSHooksInterface& hooks = at::detail::getMPSHooks();
  at::mps::MPSStream* stream = at::mps::getDefaultMPSStream();
  run_crew(settings, 1, [&](Worker& worker) {
    for (int iteration = 0; iteration < settings.iterations; ++iteration) {
      backend::on_queue(stream->queue(), [&] {
        @autoreleasepool {
          stream->commandEncoder();  // As an operator leaves it.
          id<MTLCommandBuffer> commands = (id<MTLCommandBuffer>)hooks.getCommandBuffer();
          [[commands computeCommandEncoder] endEncoding];
        }
      });
      worker.done();
    }
  });
}

void run_memory_fraction(const Settings& settings) {
  const at::MPSHooksInterface& hooks = at::detail::getMPSHooks();
  backend::current_stream();
  run_crew(settings, settings.threads, [&](Worker& worker) {
    int stream = backend::current_stream();
    for (int iteration = 0; iteration < settings.iterations; ++iteration) {
      if (worker.index() == 0) {
        hooks.setMemoryFraction(iteration % 2 == 0 ? 1.5 : 1.0);
      } else {
        backend::deallocate(backend::allocate(kLarge * static_cast<size_t>(1 + iteration % kSizes), stream));
      }
      worker.done();
    }
  });
}

void run_statistics(const Settings& settings) {
  const at::MPSHooksInterface& hooks = at::detail::getMPSHooks();
  backend::current_stream();
  run_crew(settings, settings.threads, [&](Worker& worker) {
    int stream = backend::current_stream();
    for (int iteration = 0; iteration < settings.iterations; ++iteration) {
      backend::Buffer buffer = backend::allocate(100 * static_cast<size_t>(worker.index() + 1), stream);
      for (int read = 0; read < kReads; ++read) {
        expect(hooks.getCurrentAllocatedMemory() > 0, "allocated_memory_counted", "a buffer is live, and no memory is allocated");
        expect(hooks.getDriverAllocatedMemory() > 0, "allocated_memory_counted", "a buffer is live, and the driver has given no memory");
        std::this_thread::yield();  // Between a read and the lock of the next call, which orders it, another thread writes.
      }
      expect(hooks.getRecommendedMaxMemory() > 0, "memory_recommended", "no memory is recommended");
      if (iteration % (2 * kEmptyEvery) == 0) hooks.emptyCache();
      backend::deallocate(buffer);
      worker.done();
    }
  });
}

void run_pressure(const Settings& settings) {
  backend::current_stream();
  run_crew(settings, settings.threads, [&](Worker& worker) {
    int stream = backend::current_stream();
    for (int iteration = 0; iteration < settings.iterations; ++iteration) {
      backend::Buffer small = backend::allocate(kBytes, stream);
      backend::Buffer large = backend::allocate(kLarge * static_cast<size_t>(1 + (worker.index() + iteration) % kSizes), stream);
      backend::fill(stream, small, worker.byte(iteration));
      backend::fill(stream, large, worker.byte(iteration));
      backend::deallocate(large);  // While the fill is still to come.
      if (iteration % kEmptyEvery == worker.index() % kEmptyEvery) backend::empty_cache();
      backend::synchronize(stream);
      expect_filled(small, worker.byte(iteration), "value");
      backend::deallocate(small);
      worker.done();
    }
  });
}

}  // namespace harness
