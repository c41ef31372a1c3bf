// The command-buffer protocol on bare Metal, with no machine-learning framework: tells a driver's fault from PyTorch's.
#include "native/metal_platform.h"

#include <atomic>
#include <cstring>

#include "common.h"
#include "native/cases.h"
#include "native/faults.h"
#include "native/hand_over.h"

namespace harness {

namespace {

constexpr NSUInteger kBytes = 256;
constexpr int kCommitEvery = 4;

bool holds(id<MTLBuffer> buffer, uint8_t value) {
  const auto* bytes = static_cast<const uint8_t*>([buffer contents]);
  for (NSUInteger index = 0; index < [buffer length]; ++index) {
    if (bytes[index] != value) return false;
  }
  return true;
}

// Every thread has command buffers of its own: status, handler and contents follow Metal's documentation.
void run_own_buffers(Worker& worker, id<MTLCommandQueue> queue, id<MTLBuffer> memory, int iteration) {
  id<MTLCommandBuffer> commands = [queue commandBuffer];
  expect([commands status] == MTLCommandBufferStatusNotEnqueued, "new_command_buffer_is_not_enqueued", "it has another status");
  std::atomic<int> handled{0};
  std::atomic<int>* handled_by = &handled;
  hand_over(handled_by);
  id<MTLBlitCommandEncoder> encoder = [commands blitCommandEncoder];
  [encoder fillBuffer:memory range:NSMakeRange(0, kBytes) value:worker.byte(iteration)];
  [encoder endEncoding];
  [commands addCompletedHandler:^(id<MTLCommandBuffer>) {
    take_over(handled_by);
    handled_by->fetch_add(1);
    count_handler();
  }];
  [commands commit];
  [commands waitUntilCompleted];
  expect([commands status] == MTLCommandBufferStatusCompleted, "completed_after_wait", "a command buffer that was waited for is not completed");
  expect(handled.load() == 1, "handler_runs_once", "a completion handler ran " + std::to_string(handled.load()) + " times");
  expect(holds(memory, worker.byte(iteration)), "value", "the filled memory has other contents");
}

// One command buffer for all threads behind a serial queue, as a backend with one stream has it.
class SharedCommands {
 public:
  explicit SharedCommands(id<MTLCommandQueue> queue)
      : queue_(queue), serial_(dispatch_queue_create("mps-stress.shared", DISPATCH_QUEUE_SERIAL)) {}

  ~SharedCommands() {
    finish();
    dispatch_release(serial_);
  }

  void fill(id<MTLBuffer> memory, uint8_t value) {
    if (case_fault("protocol_encoder_unqueued")) {
      encode(current(), memory, value);
      return;
    }
    dispatch_sync(serial_, ^{
      encode(current(), memory, value);
      if (++encoded_ % kCommitEvery == 0) commit();
    });
  }

  void flush() {
    if (case_fault("protocol_commit_unqueued")) {
      if (commands_ != nil) [commands_ commit];
      return;
    }
    dispatch_sync(serial_, ^{
      commit();
    });
  }

  void finish() {
    flush();
    if (last_ != nil) [last_ waitUntilCompleted];
    [last_ release];
    last_ = nil;
  }

 private:
  id<MTLCommandBuffer> current() {
    if (commands_ == nil) commands_ = [[queue_ commandBuffer] retain];
    return commands_;
  }

  static void encode(id<MTLCommandBuffer> commands, id<MTLBuffer> memory, uint8_t value) {
    id<MTLBlitCommandEncoder> encoder = [commands blitCommandEncoder];
    [encoder fillBuffer:memory range:NSMakeRange(0, kBytes) value:value];
    [encoder endEncoding];
  }

  void commit() {
    if (commands_ == nil) return;
    [commands_ commit];
    [last_ release];
    last_ = commands_;
    commands_ = nil;
  }

  id<MTLCommandQueue> queue_;
  dispatch_queue_t serial_;
  id<MTLCommandBuffer> commands_ = nil;
  id<MTLCommandBuffer> last_ = nil;
  int encoded_ = 0;
};

}  // namespace

void run_command_buffer(const Settings& settings) {
  @autoreleasepool {
    id<MTLDevice> device = MTLCreateSystemDefaultDevice();
    id<MTLCommandQueue> queue = [device newCommandQueue];
    {
      SharedCommands shared(queue);
      SharedCommands* commands = &shared;
      run_crew(settings, settings.threads, [&](Worker& worker) {
        id<MTLBuffer> own = [device newBufferWithLength:kBytes options:MTLResourceStorageModeShared];
        id<MTLBuffer> through_shared = [device newBufferWithLength:kBytes options:MTLResourceStorageModeShared];
        for (int iteration = 0; iteration < settings.iterations; ++iteration) {
          @autoreleasepool {
            commands->fill(through_shared, worker.byte(iteration));
            run_own_buffers(worker, queue, own, iteration);
            if (iteration % kCommitEvery == worker.index() % kCommitEvery) commands->flush();
          }
          worker.done();
        }
        commands->flush();
        [own release];
        // `through_shared` may still be written to; it is let go with the process.
      });
    }
    [queue release];
    [device release];
  }
}

}  // namespace harness
