// Command queues and command buffers, with Metal's rules. Nothing here orders the threads that encode: as with Metal, that is
// for one at a time, and a race shows (unordered_lock.h).
#include <Block.h>
#include <simulated/macos.h>

#include <utility>

#include "counters.h"
#include "executor.h"
#include "objects.h"

using simulated::Commands;
using simulated::CommandBufferState;

namespace simulated {
double now_s() { return static_cast<double>(clock_gettime_nsec_np(CLOCK_MONOTONIC)) * 1e-9; }
}  // namespace simulated

namespace {

constexpr const char* kEncoding = "setCurrentCommandEncoder:";
constexpr const char* kCommitted = "_status < MTLCommandBufferStatusCommitted";

constexpr int kStatusCommitted = MTLCommandBufferStatusCommitted;

bool is_committed(const CommandBufferState& state) { return state.status.load(std::memory_order_relaxed) >= kStatusCommitted; }

void must_not_be_committed(const CommandBufferState& state, const char* method, const char* text) {
  if (is_committed(state)) mps_sim::metal_assertion(method, text);
}

void call_all(std::vector<MTLCommandBufferHandler>& handlers, id<MTLCommandBuffer> buffer) {
  for (MTLCommandBufferHandler handler : handlers) {
    handler(buffer);
    Block_release(handler);
  }
  handlers.clear();
}

void execute(CommandBufferState& state, Commands& commands, id<MTLCommandBuffer> buffer) {
  state.kernel_end.store(simulated::now_s(), std::memory_order_relaxed);
  state.status.store(MTLCommandBufferStatusScheduled, std::memory_order_relaxed);
  call_all(commands.scheduled, buffer);
  {
    std::lock_guard<std::mutex> guard(state.mutex);
    state.is_scheduled = true;
    state.progressed.notify_all();
  }
  state.gpu_start.store(simulated::now_s(), std::memory_order_relaxed);
  for (auto& work : commands.work) work();
  state.gpu_end.store(simulated::now_s(), std::memory_order_relaxed);
}

void complete(CommandBufferState& state, Commands& commands, id<MTLCommandBuffer> buffer) {
  commands.work.clear();
  for (id object : commands.kept) [object release];
  commands.kept.clear();
  state.status.store(MTLCommandBufferStatusCompleted, std::memory_order_relaxed);
  call_all(commands.completed, buffer);
  std::lock_guard<std::mutex> guard(state.mutex);
  state.is_finished.store(true, std::memory_order_release);
  state.progressed.notify_all();
}

}  // namespace

@implementation SimulatedCommandQueue

- (id)init {
  executor_ = new simulated::CommandExecutor;
  return self;
}

- (void)dealloc {
  [label_ release];
  [super dealloc];
}

- (id<MTLCommandBuffer>)commandBuffer {
  return [[[SimulatedCommandBuffer alloc] initWithQueue:self keepsReferences:YES] autorelease];
}

- (id<MTLCommandBuffer>)commandBufferWithUnretainedReferences {
  return [[[SimulatedCommandBuffer alloc] initWithQueue:self keepsReferences:NO] autorelease];
}

- (id<MTLCommandBuffer>)commandBufferWithDescriptor:(MTLCommandBufferDescriptor*)descriptor {
  return [[[SimulatedCommandBuffer alloc] initWithQueue:self keepsReferences:descriptor.retainedReferences] autorelease];
}

// All memory is resident here, always.
- (void)addResidencySet:(id<MTLResidencySet>)set {
}

- (void)removeResidencySet:(id<MTLResidencySet>)set {
}

- (id<MTLDevice>)device {
  return MTLCreateSystemDefaultDevice();
}

- (NSString*)label {
  return label_;
}

- (void)setLabel:(NSString*)label {
  [label_ release];
  label_ = [label copy];
}

@end

@implementation SimulatedCommandBuffer

- (instancetype)initWithQueue:(SimulatedCommandQueue*)queue keepsReferences:(BOOL)keeps {
  simulated::count(simulated::counters.command_buffers);
  state_ = new CommandBufferState;
  state_->keeps_references = keeps;
  queue_ = [queue retain];
  return self;
}

- (void)dealloc {
  Commands& commands = state_->commands;  // Of a buffer that was never committed.
  for (id object : commands.kept) [object release];
  for (auto* handlers : {&commands.scheduled, &commands.completed}) {
    for (MTLCommandBufferHandler handler : *handlers) Block_release(handler);
  }
  delete state_;
  [label_ release];
  [queue_ release];
  [super dealloc];
}

- (void)add:(std::function<void()>)work keeping:(id)object {
  std::lock_guard<simulated::UnorderedLock> guard(state_->lock);
  must_not_be_committed(*state_, kEncoding, kCommitted);
  if (object != nil && state_->keeps_references) state_->commands.kept.push_back([object retain]);
  if (work) state_->commands.work.push_back(std::move(work));
}

- (SimulatedEncoder*)encoder {
  {
    std::lock_guard<simulated::UnorderedLock> guard(state_->lock);
    must_not_be_committed(*state_, kEncoding, kCommitted);
    if (state_->is_encoding) {
      mps_sim::metal_assertion("tryCoalescingPreviousComputeCommandEncoderWithConfig:nextEncoderClass:",
                               "A command encoder is already encoding to this command buffer");
    }
    state_->is_encoding = true;
  }
  return [[[SimulatedEncoder alloc] initWithBuffer:self] autorelease];
}

- (void)endEncoding {
  std::lock_guard<simulated::UnorderedLock> guard(state_->lock);
  state_->is_encoding = false;
}

- (id<MTLBlitCommandEncoder>)blitCommandEncoder {
  return [self encoder];
}

- (id<MTLComputeCommandEncoder>)computeCommandEncoder {
  return [self encoder];
}

- (id<MTLComputeCommandEncoder>)computeCommandEncoderWithDispatchType:(MTLDispatchType)type {
  return [self encoder];  // Concurrent dispatches may run in any order: this one, too.
}

- (void)addScheduledHandler:(MTLCommandBufferHandler)handler {
  std::lock_guard<simulated::UnorderedLock> guard(state_->lock);
  must_not_be_committed(*state_, "addScheduledHandler:", "Scheduled handler provided after commit call");
  state_->commands.scheduled.push_back(Block_copy(handler));
}

- (void)addCompletedHandler:(MTLCommandBufferHandler)handler {
  std::lock_guard<simulated::UnorderedLock> guard(state_->lock);
  must_not_be_committed(*state_, "addCompletedHandler:", "Completed handler provided after commit call");
  state_->commands.completed.push_back(Block_copy(handler));
}

- (void)mustNotEncode:(const char*)method text:(const char*)text {
  std::lock_guard<simulated::UnorderedLock> guard(state_->lock);
  if (state_->is_encoding) mps_sim::metal_assertion(method, text);
}

- (void)encodeSignalEvent:(id<MTLEvent>)event value:(uint64_t)value {
  [self mustNotEncode:"encodeSignalEvent:value:" text:"encodeSignalEvent:value: with uncommitted encoder"];
  simulated::count(simulated::counters.signals);
  SimulatedSharedEvent* shared = (SimulatedSharedEvent*)event;
  [self add:[shared, value] { [shared signal:value]; } keeping:shared];
}

- (void)encodeWaitForEvent:(id<MTLEvent>)event value:(uint64_t)value {
  [self mustNotEncode:"encodeWaitForEvent:value:" text:"encodeWaitForEvent:value: with uncommitted encoder"];
  simulated::count(simulated::counters.waits);
  SimulatedSharedEvent* shared = (SimulatedSharedEvent*)event;
  [self add:[shared, value] { [shared waitFor:value]; } keeping:shared];
}

- (void)commit {
  auto commands = std::make_shared<Commands>();
  {
    std::lock_guard<simulated::UnorderedLock> guard(state_->lock);
    if (state_->is_encoding) mps_sim::metal_assertion("commit", "commit command buffer with uncommitted encoder");
    if (state_->status.exchange(kStatusCommitted, std::memory_order_relaxed) >= kStatusCommitted) {
      mps_sim::metal_assertion("validate", "commit an already committed command buffer");
    }
    *commands = std::exchange(state_->commands, {});
  }
  state_->kernel_start.store(simulated::now_s(), std::memory_order_relaxed);
  [self retain];  // Until it has completed, whoever lets go of it before.
  queue_->executor_->push([self, commands] { execute(*state_, *commands, self); },
                          [self, commands] {
                            complete(*state_, *commands, self);
                            [self release];
                          });
}

- (void)waitUntilScheduled {
  if (!is_committed(*state_)) mps_sim::metal_assertion("waitUntilScheduled", "waitUntilScheduled before commit: it would never end");
  std::unique_lock<std::mutex> lock(state_->mutex);
  state_->progressed.wait(lock, [self] { return state_->is_scheduled; });
}

- (void)waitUntilCompleted {
  if (!is_committed(*state_)) mps_sim::metal_assertion("waitUntilCompleted", "waitUntilCompleted before commit: it would never end");
  if (state_->is_finished.load(std::memory_order_acquire)) return;
  std::unique_lock<std::mutex> lock(state_->mutex);
  state_->progressed.wait(lock, [self] { return state_->is_finished.load(std::memory_order_acquire); });
}

// clang-format off
- (MTLCommandBufferStatus)status { return static_cast<MTLCommandBufferStatus>(state_->status.load(std::memory_order_relaxed)); }
- (NSError*)error { return nil; }
- (BOOL)retainedReferences { return state_->keeps_references; }
- (id<MTLCommandQueue>)commandQueue { return queue_; }
- (id<MTLDevice>)device { return [queue_ device]; }
- (CFTimeInterval)GPUStartTime { return state_->gpu_start.load(std::memory_order_relaxed); }
- (CFTimeInterval)GPUEndTime { return state_->gpu_end.load(std::memory_order_relaxed); }
- (CFTimeInterval)kernelStartTime { return state_->kernel_start.load(std::memory_order_relaxed); }
- (CFTimeInterval)kernelEndTime { return state_->kernel_end.load(std::memory_order_relaxed); }
- (NSString*)label { return label_; }
// clang-format on

- (void)setLabel:(NSString*)label {
  [label_ release];
  label_ = [label copy];
}

@end

@implementation MTLCommandBufferDescriptor
@synthesize retainedReferences = _retained;
- (id)init {
  _retained = YES;
  return self;
}
@end
