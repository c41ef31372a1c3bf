// Buffers, heaps and residency sets. A buffer of a heap has memory of its own; the heap counts it.
#include <Block.h>
#include <stdlib.h>
#include <string.h>

#include <set>

#include "counters.h"
#include "memory.h"
#include "objects.h"
#include "options.h"

namespace {

constexpr NSUInteger kAlignment = 256;
constexpr int kScribble = 0x55;
std::atomic<NSUInteger> allocated{0};

NSUInteger rounded(NSUInteger length) { return (length + kAlignment - 1) / kAlignment * kAlignment; }

MTLStorageMode storage_mode(MTLResourceOptions options) { return static_cast<MTLStorageMode>((options >> 4) & 15); }

// Returns the state before. What is volatile may be emptied at any time, and is at once where an option says so.
MTLPurgeableState exchange(std::atomic<MTLPurgeableState>& state, MTLPurgeableState wanted) {
  if (wanted == MTLPurgeableStateKeepCurrent) return state.load();
  bool is_emptied = wanted == MTLPurgeableStateVolatile && simulated::options().purges;
  return state.exchange(is_emptied ? MTLPurgeableStateEmpty : wanted);
}

}  // namespace

namespace simulated {

bool take_memory(uint64_t bytes) {
  // The working set is a recommendation; what fails on a Mac is some way above it.
  uint64_t limit = options().memory_bytes + options().memory_bytes / 4;
  if (allocated.fetch_add(bytes, std::memory_order_relaxed) + bytes <= limit) return true;
  allocated.fetch_sub(bytes, std::memory_order_relaxed);
  return false;
}

void give_memory_back(uint64_t bytes) { allocated.fetch_sub(bytes, std::memory_order_relaxed); }
uint64_t taken_memory() { return allocated.load(std::memory_order_relaxed); }
uint64_t aligned(uint64_t bytes) { return rounded(bytes); }

void* memory(const void* buffer) { return buffer == nullptr ? nullptr : ((SimulatedBuffer*)buffer)->memory_; }
size_t length(const void* buffer) { return buffer == nullptr ? 0 : ((SimulatedBuffer*)buffer)->length_; }

}  // namespace simulated

@implementation SimulatedBuffer

- (instancetype)initWithLength:(NSUInteger)length options:(MTLResourceOptions)options {
  simulated::count(simulated::counters.buffers);
  length_ = length;
  mode_ = storage_mode(options);
  purgeable_ = new std::atomic<MTLPurgeableState>(MTLPurgeableStateNonVolatile);
  return self;
}

- (void)dealloc {
  if (owned_) free(memory_);
  if (deallocator_ != nil) {
    deallocator_(memory_, length_);
    Block_release(deallocator_);
  }
  if (heap_ != nil) {
    heap_->used_->fetch_sub(rounded(length_), std::memory_order_relaxed);
    [heap_ release];
  }
  simulated::give_memory_back(counted_);
  delete purgeable_;
  [label_ release];
  [super dealloc];
}

- (void*)contents {
  return mode_ == MTLStorageModePrivate ? nullptr : memory_;
}

- (MTLPurgeableState)setPurgeableState:(MTLPurgeableState)state {
  MTLPurgeableState before = exchange(*purgeable_, state);
  if (purgeable_->load() == MTLPurgeableStateEmpty) memset(memory_, kScribble, length_);
  return before;
}

- (void)setLabel:(NSString*)label {
  [label_ release];
  label_ = [label copy];
}

// clang-format off
- (NSUInteger)length { return length_; }
- (NSUInteger)allocatedSize { return rounded(length_); }
- (uint64_t)gpuAddress { return reinterpret_cast<uint64_t>(memory_); }
- (id<MTLHeap>)heap { return heap_; }
- (MTLStorageMode)storageMode { return mode_; }
- (MTLHazardTrackingMode)hazardTrackingMode { return heap_ == nil ? MTLHazardTrackingModeTracked : heap_->hazard_; }
- (NSString*)label { return label_; }
// clang-format on

@end

@implementation SimulatedHeap

- (instancetype)initWithDescriptor:(MTLHeapDescriptor*)descriptor {
  simulated::count(simulated::counters.heaps);
  size_ = descriptor.size;
  mode_ = descriptor.storageMode;
  cache_ = descriptor.cpuCacheMode;
  // A heap's resources are not tracked unless it is asked for, unlike a device's.
  hazard_ = descriptor.hazardTrackingMode == MTLHazardTrackingModeTracked ? MTLHazardTrackingModeTracked : MTLHazardTrackingModeUntracked;
  used_ = new std::atomic<NSUInteger>(0);
  purgeable_ = new std::atomic<MTLPurgeableState>(MTLPurgeableStateNonVolatile);
  return self;
}

- (void)dealloc {
  simulated::give_memory_back(size_);
  delete used_;
  delete purgeable_;
  [super dealloc];
}

- (id<MTLBuffer>)newBufferWithLength:(NSUInteger)length options:(MTLResourceOptions)options {
  if (length == 0) mps_sim::metal_assertion("newBufferWithLength:options:", "Cannot create buffer of zero length.", "SimulatedHeap");
  if (storage_mode(options) != mode_) {
    mps_sim::metal_assertion("newBufferWithLength:options:", "the storage mode of the options is not the heap's", "SimulatedHeap");
  }
  NSUInteger bytes = rounded(length);
  if (used_->fetch_add(bytes, std::memory_order_relaxed) + bytes > size_) {
    used_->fetch_sub(bytes, std::memory_order_relaxed);
    return nil;
  }
  SimulatedBuffer* made = [[SimulatedBuffer alloc] initWithLength:length options:options];
  made->memory_ = static_cast<char*>(aligned_alloc(kAlignment, bytes));
  if (made->memory_ == nullptr) {
    used_->fetch_sub(bytes, std::memory_order_relaxed);
    [made release];
    return nil;
  }
  made->owned_ = YES;
  made->heap_ = [self retain];
  return made;
}

- (NSUInteger)maxAvailableSizeWithAlignment:(NSUInteger)alignment {
  // Buffers are apart: what is free is in one piece.
  return (size_ - used_->load(std::memory_order_relaxed)) / kAlignment * kAlignment;
}

// clang-format off
- (MTLPurgeableState)setPurgeableState:(MTLPurgeableState)state { return exchange(*purgeable_, state); }
- (NSUInteger)size { return size_; }
- (NSUInteger)usedSize { return used_->load(std::memory_order_relaxed); }
- (NSUInteger)currentAllocatedSize { return size_; }
- (MTLStorageMode)storageMode { return mode_; }
- (MTLCPUCacheMode)cpuCacheMode { return cache_; }
- (MTLHazardTrackingMode)hazardTrackingMode { return hazard_; }
// clang-format on

@end

@implementation MTLHeapDescriptor
@synthesize size = _size, storageMode = _mode, cpuCacheMode = _cache, hazardTrackingMode = _hazard, type = _type;

- (MTLResourceOptions)resourceOptions {
  return static_cast<MTLResourceOptions>(_cache) | static_cast<MTLResourceOptions>(_mode) << 4 | static_cast<MTLResourceOptions>(_hazard) << 8;
}

- (void)setResourceOptions:(MTLResourceOptions)options {
  _cache = static_cast<MTLCPUCacheMode>(options & 15);
  _mode = storage_mode(options);
  _hazard = static_cast<MTLHazardTrackingMode>((options >> 8) & 3);
}

@end

// Not for several threads at once, as on a Mac; it takes no lock.
@interface SimulatedResidencySet : NSObject <MTLResidencySet> {
 @public
  std::set<id>* allocations_;
}
@end

@implementation SimulatedResidencySet

- (id)init {
  allocations_ = new std::set<id>;
  return self;
}

- (void)dealloc {
  [self removeAllAllocations];
  delete allocations_;
  [super dealloc];
}

- (void)addAllocation:(id<MTLAllocation>)allocation {
  if (allocations_->insert((id)allocation).second) [(id)allocation retain];
}

- (void)removeAllocation:(id<MTLAllocation>)allocation {
  if (allocations_->erase((id)allocation) > 0) [(id)allocation release];
}

- (void)removeAllAllocations {
  for (id one : *allocations_) [one release];
  allocations_->clear();
}

- (BOOL)containsAllocation:(id<MTLAllocation>)allocation {
  return allocations_->count((id)allocation) > 0;
}

- (NSUInteger)allocationCount {
  return allocations_->size();
}

- (uint64_t)allocatedSize {
  uint64_t sum = 0;
  for (id one : *allocations_) sum += [(id<MTLAllocation>)one allocatedSize];
  return sum;
}

// All memory is resident here, always.
- (void)commit {
}

- (void)requestResidency {
}

- (void)endResidency {
}

@end

@implementation MTLResidencySetDescriptor
@synthesize label = _label, initialCapacity = _capacity;
@end

id<MTLResidencySet> simulated_residency_set(void) { return [SimulatedResidencySet new]; }
