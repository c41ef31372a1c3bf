// Simulated Metal objects over the runtime's command buffers: the same rules, and the same words when they are broken, as
// the simulated device has. Work is done by a thread per queue, so that completion handlers run elsewhere, as on a Mac.
#include "metal.h"

#include <Block.h>

#include <condition_variable>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <mutex>

#include "runtime/metal.h"
#include "runtime/stream.h"

@interface SimulatedBuffer : NSObject <MTLBuffer> {
  void* contents_;
  NSUInteger length_;
}
- (id)initWithLength:(NSUInteger)length;
@end

@interface SimulatedSharedEvent : NSObject <MTLSharedEvent> {
 @public
  std::mutex* mutex_;
  std::condition_variable* signaled_;
  uint64_t value_;
}
@end

@interface SimulatedBlitEncoder : NSObject <MTLBlitCommandEncoder> {
  mps_sim::Encoder* encoder_;
}
- (id)initWithEncoder:(mps_sim::Encoder*)encoder;
@end

@interface SimulatedCommandBuffer : NSObject <MTLCommandBuffer> {
  std::shared_ptr<mps_sim::CommandBuffer>* buffer_;
  mps_sim::Stream* executor_;
}
- (id)initWithExecutor:(mps_sim::Stream*)executor;
@end

@interface SimulatedCommandQueue : NSObject <MTLCommandQueue> {
  mps_sim::Stream* executor_;  // Never destroyed: its thread has no end.
}
@end

@interface SimulatedDevice : NSObject <MTLDevice>
@end

namespace {

mps_sim::Work work(const char* name, mps_sim::Kernel kernel) {
  mps_sim::Work made;
  made.name = name;
  made.kernel = std::move(kernel);
  return made;
}

}  // namespace

@implementation SimulatedBuffer
- (id)initWithLength:(NSUInteger)length {
  contents_ = std::calloc(1, length);
  length_ = length;
  return self;
}
- (void)dealloc {
  std::free(contents_);
  [super dealloc];
}
- (void*)contents {
  return contents_;
}
- (NSUInteger)length {
  return length_;
}
@end

@implementation SimulatedSharedEvent
- (id)init {
  mutex_ = new std::mutex;
  signaled_ = new std::condition_variable;
  return self;
}
- (void)dealloc {
  delete signaled_;
  delete mutex_;
  [super dealloc];
}
- (uint64_t)signaledValue {
  std::lock_guard<std::mutex> guard(*mutex_);
  return value_;
}
@end

@implementation SimulatedBlitEncoder
- (id)initWithEncoder:(mps_sim::Encoder*)encoder {
  encoder_ = encoder;
  return self;
}
- (void)fillBuffer:(id<MTLBuffer>)buffer range:(NSRange)range value:(uint8_t)value {
  char* begin = static_cast<char*>([buffer contents]) + range.location;
  NSUInteger length = range.length;
  encoder_->dispatch(work("fill", [begin, length, value] { std::memset(begin, value, length); }));
}
- (void)copyFromBuffer:(id<MTLBuffer>)source
          sourceOffset:(NSUInteger)sourceOffset
              toBuffer:(id<MTLBuffer>)destination
     destinationOffset:(NSUInteger)destinationOffset
                  size:(NSUInteger)size {
  const char* from = static_cast<const char*>([source contents]) + sourceOffset;
  char* to = static_cast<char*>([destination contents]) + destinationOffset;
  encoder_->dispatch(work("copy", [from, to, size] { std::memcpy(to, from, size); }));
}
- (void)endEncoding {
  encoder_->end();
}
@end

@implementation SimulatedCommandBuffer
- (id)initWithExecutor:(mps_sim::Stream*)executor {
  buffer_ = new std::shared_ptr<mps_sim::CommandBuffer>(std::make_shared<mps_sim::CommandBuffer>());
  executor_ = executor;
  return self;
}
- (void)dealloc {
  delete buffer_;
  [super dealloc];
}
- (id<MTLBlitCommandEncoder>)blitCommandEncoder {
  return [[[SimulatedBlitEncoder alloc] initWithEncoder:(*buffer_)->compute_encoder()] autorelease];
}
- (void)addCompletedHandler:(MTLCommandBufferHandler)handler {
  MTLCommandBufferHandler kept = Block_copy(handler);
  (*buffer_)->add_completed_handler([self, kept] {
    kept(self);
    Block_release(kept);
  });
}
- (void)encodeSignalEvent:(id<MTLSharedEvent>)event value:(uint64_t)value {
  SimulatedSharedEvent* simulated = [(SimulatedSharedEvent*)event retain];
  mps_sim::Encoder* encoder = (*buffer_)->compute_encoder();
  encoder->dispatch(work("signal", [simulated, value] {
    {
      std::lock_guard<std::mutex> guard(*simulated->mutex_);
      simulated->value_ = value;
      simulated->signaled_->notify_all();
    }
    [simulated release];
  }));
  encoder->end();
}
- (void)encodeWaitForEvent:(id<MTLSharedEvent>)event value:(uint64_t)value {
  SimulatedSharedEvent* simulated = [(SimulatedSharedEvent*)event retain];
  mps_sim::Encoder* encoder = (*buffer_)->compute_encoder();
  encoder->dispatch(work("wait", [simulated, value] {
    {
      std::unique_lock<std::mutex> guard(*simulated->mutex_);
      simulated->signaled_->wait(guard, [&] { return simulated->value_ >= value; });
    }
    [simulated release];
  }));
  encoder->end();
}
- (void)commit {
  (*buffer_)->commit();
  // A committed buffer lives until it has completed, whoever lets go of it before.
  std::shared_ptr<void> kept([self retain], [](void* buffer) { [static_cast<SimulatedCommandBuffer*>(buffer) release]; });
  executor_->push(std::shared_ptr<mps_sim::CommandBuffer>(kept, buffer_->get()));
}
- (void)waitUntilCompleted {
  (*buffer_)->wait_until_completed();
}
- (MTLCommandBufferStatus)status {
  return static_cast<MTLCommandBufferStatus>((*buffer_)->status());
}
@end

@implementation SimulatedCommandQueue
- (id)init {
  executor_ = new mps_sim::Stream(-1);
  return self;
}
- (id<MTLCommandBuffer>)commandBuffer {
  return [[[SimulatedCommandBuffer alloc] initWithExecutor:executor_] autorelease];
}
@end

@implementation SimulatedDevice
- (id<MTLCommandQueue>)newCommandQueue {
  return [SimulatedCommandQueue new];
}
- (id<MTLBuffer>)newBufferWithLength:(NSUInteger)length options:(MTLResourceOptions)options {
  return [[SimulatedBuffer alloc] initWithLength:length];
}
- (id<MTLSharedEvent>)newSharedEvent {
  return [SimulatedSharedEvent new];
}
@end

id<MTLDevice> MTLCreateSystemDefaultDevice(void) {
  static SimulatedDevice* const device = [SimulatedDevice new];
  return [device retain];
}
