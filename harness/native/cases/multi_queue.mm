// A command queue per thread on bare Metal, side by side, with shared events where one needs what another has made.
#include "native/metal_platform.h"

#include <vector>

#include "common.h"
#include "native/cases.h"
#include "native/faults.h"

namespace harness {

namespace {

constexpr NSUInteger kBytes = 256;

struct Station {
  id<MTLCommandQueue> queue;
  id<MTLBuffer> own, copied;
  id<MTLSharedEvent> filled, taken;  // Values count iterations.
};

// A ring: every thread fills its buffer, and copies its neighbour's once that is filled. A buffer is filled again
// only after the neighbour has taken it.
void go_round(std::vector<Station>& ring, Worker& worker, int iteration) {
  auto size = ring.size();
  auto index = static_cast<size_t>(worker.index());
  Station& mine = ring[index];
  Station& before = ring[(index + size - 1) % size];
  auto round = static_cast<uint64_t>(iteration);
  id<MTLCommandBuffer> commands = [mine.queue commandBuffer];
  if (iteration > 0) [commands encodeWaitForEvent:mine.taken value:round];
  id<MTLBlitCommandEncoder> encoder = [commands blitCommandEncoder];
  [encoder fillBuffer:mine.own range:NSMakeRange(0, kBytes) value:worker.byte(iteration)];
  [encoder endEncoding];
  [commands encodeSignalEvent:mine.filled value:round + 1];
  [commands commit];

  id<MTLCommandBuffer> copying = [mine.queue commandBuffer];
  if (!case_fault("queue_wait_missing")) [copying encodeWaitForEvent:before.filled value:round + 1];
  encoder = [copying blitCommandEncoder];
  [encoder copyFromBuffer:before.own sourceOffset:0 toBuffer:mine.copied destinationOffset:0 size:kBytes];
  [encoder endEncoding];
  [copying encodeSignalEvent:before.taken value:round + 1];
  [copying commit];
  [copying waitUntilCompleted];

  uint8_t expected = Worker(static_cast<int>((index + size - 1) % size), worker.count(), 0).byte(iteration);
  const auto* bytes = static_cast<const uint8_t*>([mine.copied contents]);
  for (NSUInteger byte = 0; byte < kBytes; ++byte) {
    if (!expect(bytes[byte] == expected, "value_of_neighbour", "a copy of another queue's buffer has other contents")) break;
  }
  worker.done();
}

}  // namespace

void run_multi_queue(const Settings& settings) {
  @autoreleasepool {
    id<MTLDevice> device = MTLCreateSystemDefaultDevice();
    std::vector<Station> ring(static_cast<size_t>(settings.threads));
    for (Station& one : ring) {
      one.queue = [device newCommandQueue];
      one.own = [device newBufferWithLength:kBytes options:MTLResourceStorageModeShared];
      one.copied = [device newBufferWithLength:kBytes options:MTLResourceStorageModeShared];
      one.filled = [device newSharedEvent];
      one.taken = [device newSharedEvent];
    }
    run_crew(settings, settings.threads, [&](Worker& worker) {
      for (int iteration = 0; iteration < settings.iterations; ++iteration) {
        @autoreleasepool {
          go_round(ring, worker, iteration);
        }
      }
    });
    // What the last commands still use goes with the process.
    [device release];
  }
}

}  // namespace harness
