// The simulated objects of Metal, as the files that implement them see each other.
#pragma once

#include <Metal/Metal.h>

#include <atomic>
#include <condition_variable>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "metal_shaders/runner.h"
#include "runtime/assertions.h"
#include "simulated_metal.h"
#include "unordered_lock.h"

@interface SimulatedDevice : NSObject <MTLDevice>
@end

@interface SimulatedHeap : NSObject <MTLHeap> {
 @public
  NSUInteger size_;
  MTLStorageMode mode_;
  MTLCPUCacheMode cache_;
  MTLHazardTrackingMode hazard_;
  std::atomic<NSUInteger>* used_;
  std::atomic<MTLPurgeableState>* purgeable_;
}
- (instancetype)initWithDescriptor:(MTLHeapDescriptor*)descriptor;
@end

@interface SimulatedBuffer : NSObject <MTLBuffer> {
 @public
  char* memory_;
  NSUInteger length_;
  NSUInteger counted_;  // Of the device's memory; 0 for memory of the host or of a heap.
  BOOL owned_;
  MTLStorageMode mode_;
  SimulatedHeap* heap_;
  std::atomic<MTLPurgeableState>* purgeable_;
  void (^deallocator_)(void*, NSUInteger);
  NSString* label_;
}
- (instancetype)initWithLength:(NSUInteger)length options:(MTLResourceOptions)options;
@end

@interface SimulatedSharedEvent : NSObject <MTLSharedEvent> {
 @public
  void* state_;
}
- (void)signal:(uint64_t)value;
- (void)waitFor:(uint64_t)value;
@end

@interface SimulatedLibrary : NSObject <MTLLibrary> {
 @public
  std::vector<const metal_abi::Library*>* parts_;  // A bundle has one for each file.
}
- (instancetype)initWithParts:(std::vector<const metal_abi::Library*>)parts;
@end

@interface SimulatedFunction : NSObject <MTLFunction> {
 @public
  const metal_abi::Library* library_;
  const metal_abi::Entry* entry_;
}
@end

@interface SimulatedPipelineState : NSObject <MTLComputePipelineState> {
 @public
  SimulatedFunction* function_;
}
@end

namespace simulated {

class CommandExecutor;

// What a command buffer has to do, and what is to be told when it is done. Filled by one thread at a time.
struct Commands {
  std::vector<std::function<void()>> work;
  std::vector<id> kept;  // Let go of when the GPU is done with them.
  std::vector<MTLCommandBufferHandler> scheduled, completed;
};

// Status and times may be asked for by anyone at any time; the rest is for one thread at a time.
struct CommandBufferState {
  UnorderedLock lock;  // Of `commands` and `is_encoding`: see there.
  Commands commands;
  bool is_encoding = false;
  bool keeps_references = true;
  std::atomic<int> status{MTLCommandBufferStatusNotEnqueued};
  std::atomic<double> gpu_start{0}, gpu_end{0}, kernel_start{0}, kernel_end{0};
  std::mutex mutex;
  std::condition_variable progressed;
  bool is_scheduled = false;
  std::atomic<bool> is_finished{false};
};

double now_s();

}  // namespace simulated

@interface SimulatedCommandQueue : NSObject <MTLCommandQueue> {
 @public
  simulated::CommandExecutor* executor_;  // Never destroyed: its threads have no end.
  NSString* label_;
}
@end

@interface SimulatedCommandBuffer : NSObject <MTLCommandBuffer> {
 @public
  simulated::CommandBufferState* state_;
  SimulatedCommandQueue* queue_;
  NSString* label_;
}
- (instancetype)initWithQueue:(SimulatedCommandQueue*)queue keepsReferences:(BOOL)keeps;
// Adds work, and keeps `object` until the GPU is done with it, if the command buffer keeps references. Both may be missing.
- (void)add:(std::function<void()>)work keeping:(id)object;
- (void)endEncoding;
@end

@interface SimulatedEncoder : NSObject <MTLComputeCommandEncoder, MTLBlitCommandEncoder> {
 @public
  SimulatedCommandBuffer* buffer_;
  BOOL is_ended_;
  SimulatedPipelineState* pipeline_;
  std::vector<metal_shaders::Buffer>* arguments_;  // By index, as all below.
  std::vector<std::shared_ptr<char>>* bytes_;
  std::vector<size_t>* memory_bytes_;
  std::vector<metal_shaders::Range>* resources_;
  NSString* label_;
}
- (instancetype)initWithBuffer:(SimulatedCommandBuffer*)buffer;
// Ends the process when `endEncoding` has been called.
- (void)mustEncode:(const char*)method;
@end
