// One situation per process: `layer_run(NAME)` prints "ok", says what was wrong, or ends as Metal would end it.
#import <Metal/Metal.h>
#import <MetalPerformanceShadersGraph/MetalPerformanceShadersGraph.h>
#include <Block.h>
#include <dispatch/dispatch.h>

#include <atomic>
#include <condition_variable>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <mutex>
#include <string>
#include <thread>

#include "simulated_metal/simulated_metal.h"

namespace {

constexpr NSUInteger kBytes = 256;
int wrong = 0;

void check(bool holds, const char* what) {
  if (holds) return;
  ++wrong;
  std::printf("wrong: %s\n", what);
}

id<MTLDevice> device() { return [MTLCreateSystemDefaultDevice() autorelease]; }

void fill(id<MTLCommandBuffer> commands, id<MTLBuffer> buffer, uint8_t value) {
  id<MTLBlitCommandEncoder> encoder = [commands blitCommandEncoder];
  [encoder fillBuffer:buffer range:NSMakeRange(0, [buffer length]) value:value];
  [encoder endEncoding];
}

struct Gate {
  std::mutex mutex;
  std::condition_variable changed;
  int opened = 0;
  void open() {
    std::lock_guard<std::mutex> guard(mutex);
    ++opened;
    changed.notify_all();
  }
  void wait(int count = 1) {
    std::unique_lock<std::mutex> lock(mutex);
    changed.wait(lock, [&] { return opened >= count; });
  }
};

void command_buffer_lives() {
  id<MTLCommandQueue> queue = [device() newCommandQueue];
  id<MTLBuffer> buffer = [device() newBufferWithLength:kBytes options:MTLResourceStorageModeShared];
  std::thread::id caller = std::this_thread::get_id(), handler_of;
  std::thread::id* seen = &handler_of;
  id<MTLCommandBuffer> commands = [queue commandBuffer];
  check(commands.status == MTLCommandBufferStatusNotEnqueued, "new");
  fill(commands, buffer, 7);
  check([(id)buffer retainCount] == 2, "a command buffer keeps what it uses");
  [commands addCompletedHandler:^(id<MTLCommandBuffer>) {
    *seen = std::this_thread::get_id();
  }];
  [commands commit];
  [commands waitUntilCompleted];
  check(commands.status == MTLCommandBufferStatusCompleted, "completed");
  check([(id)buffer retainCount] == 1, "and lets go of it when it is completed");
  check(handler_of != caller && handler_of != std::thread::id(), "a handler runs on a thread of Metal's, before the wait ends");
  check(commands.GPUEndTime >= commands.GPUStartTime && commands.GPUStartTime > 0, "times");
  check(static_cast<uint8_t*>([buffer contents])[kBytes - 1] == 7, "value");
}

void unretained_references() {
  id<MTLCommandQueue> queue = [device() newCommandQueue];
  id<MTLBuffer> buffer = [device() newBufferWithLength:kBytes options:MTLResourceStorageModeShared];
  id<MTLCommandBuffer> commands = [queue commandBufferWithUnretainedReferences];
  fill(commands, buffer, 1);
  check([(id)buffer retainCount] == 1, "a command buffer without references keeps nothing");
  [commands commit];
  [commands waitUntilCompleted];
}

void commit_and_continue() {
  id<MTLCommandQueue> queue = [device() newCommandQueue];
  id<MTLBuffer> buffer = [device() newBufferWithLength:kBytes options:MTLResourceStorageModeShared];
  MPSCommandBuffer* commands = [MPSCommandBuffer commandBufferFromCommandQueue:queue];
  id<MTLCommandBuffer> first = [[commands rootCommandBuffer] retain];
  fill(commands, buffer, 1);
  [commands commitAndContinue];
  check([commands rootCommandBuffer] != first, "another command buffer is behind it");
  check(commands.status == MTLCommandBufferStatusNotEnqueued, "which is not committed");
  fill(commands, buffer, 2);
  [commands commit];
  [commands waitUntilCompleted];
  check(first.status == MTLCommandBufferStatusCompleted, "the first one ran");
  check(static_cast<uint8_t*>([buffer contents])[0] == 2, "in order");
}

void shared_event() {
  id<MTLCommandQueue> producer = [device() newCommandQueue], consumer = [device() newCommandQueue];
  id<MTLBuffer> buffer = [device() newBufferWithLength:kBytes options:MTLResourceStorageModeShared];
  id<MTLBuffer> copied = [device() newBufferWithLength:kBytes options:MTLResourceStorageModeShared];
  id<MTLSharedEvent> event = [device() newSharedEvent];
  MTLSharedEventListener *one = [MTLSharedEventListener new], *other = [MTLSharedEventListener new];
  check([one dispatchQueue] != [other dispatchQueue], "each listener has a queue of its own");
  Gate first_called, second_called;
  Gate *first = &first_called, *second = &second_called;
  // The first listener waits for the second one: with one thread for both it would wait for ever.
  [event notifyListener:one atValue:1 block:^(id<MTLSharedEvent>, uint64_t) {
    second->wait();
    first->open();
  }];
  [event notifyListener:other atValue:1 block:^(id<MTLSharedEvent>, uint64_t) {
    second->open();
  }];
  id<MTLCommandBuffer> waiting = [consumer commandBuffer];
  [waiting encodeWaitForEvent:event value:1];
  id<MTLBlitCommandEncoder> encoder = [waiting blitCommandEncoder];
  [encoder copyFromBuffer:buffer sourceOffset:0 toBuffer:copied destinationOffset:0 size:kBytes];
  [encoder endEncoding];
  [waiting commit];
  check(event.signaledValue == 0, "not signaled before");
  id<MTLCommandBuffer> signaling = [producer commandBuffer];
  fill(signaling, buffer, 9);
  [signaling encodeSignalEvent:event value:1];
  [signaling commit];
  [waiting waitUntilCompleted];
  first_called.wait();
  check(event.signaledValue == 1, "signaled");
  check(static_cast<uint8_t*>([copied contents])[0] == 9, "the wait was for the fill");
}

void heap() {
  MTLHeapDescriptor* descriptor = [[MTLHeapDescriptor new] autorelease];
  descriptor.size = 4 * kBytes;
  descriptor.storageMode = MTLStorageModePrivate;
  NSUInteger before = [device() currentAllocatedSize];
  id<MTLHeap> heap = [device() newHeapWithDescriptor:descriptor];
  check([device() currentAllocatedSize] == before + 4 * kBytes, "a heap takes its memory at once");
  check(heap.hazardTrackingMode == MTLHazardTrackingModeUntracked, "what is in a heap is not tracked unless that is asked for");
  id<MTLBuffer> buffer = [heap newBufferWithLength:kBytes options:MTLResourceStorageModePrivate];
  check([buffer contents] == nullptr, "private memory is not the host's");
  check([buffer heap] == heap && [(id)heap retainCount] == 2, "a buffer keeps its heap");
  check([heap maxAvailableSizeWithAlignment:kBytes] == 3 * kBytes, "available");
  check([heap newBufferWithLength:4 * kBytes options:MTLResourceStorageModePrivate] == nil, "more than is available is nil");
  [buffer release];
  check([heap usedSize] == 0, "memory comes back");
  check([heap setPurgeableState:MTLPurgeableStateVolatile] == MTLPurgeableStateNonVolatile, "the state before");
  [heap release];
  check([device() currentAllocatedSize] == before, "all of it");
}

void memory_limit() {
  MTLHeapDescriptor* descriptor = [[MTLHeapDescriptor new] autorelease];
  descriptor.size = 2 * [device() recommendedMaxWorkingSetSize];
  check([device() newHeapWithDescriptor:descriptor] == nil, "twice the working set cannot be had");
}

void macos() {
  NSProcessInfo* info = [NSProcessInfo processInfo];
  std::printf("%ld.%ld %d %d\n", info.operatingSystemVersion.majorVersion, info.operatingSystemVersion.minorVersion,
              [info isOperatingSystemAtLeastVersion:{14, 4, 0}], [info isOperatingSystemAtLeastVersion:{15, 0, 0}]);
}

void collections() {
  NSMutableDictionary* dictionary = [NSMutableDictionary dictionary];
  [dictionary setObject:@1 forKey:@"key"];
  check([[dictionary objectForKey:[NSString stringWithUTF8String:"key"]] intValue] == 1, "keys are compared by what they say");
  NSArray* array = @[ @"a", @2, @2.5 ];
  check(std::string([[array componentsJoinedByString:@","] UTF8String]) == "a,2,2.5", "joined");
  int sum = 0;
  for (NSNumber* one in @[ @1, @2, @3 ]) sum += [one intValue];
  check(sum == 6, "enumerated");
}

using Adds = int (^)(int);
int called_with_two(Adds adds) { return adds(2); }

void block_of_a_lambda() {
  int most = 0;
  @autoreleasepool {
    const int first = 40;
    auto lambda = [first](int second) { return first + second; };
    most = called_with_two(lambda);
    Adds kept = [[(id)^(int second) { return first + second; } copy] retain];
    check(kept(1) == 41, "a block is an object");
    [(id)kept release];
    [(id)kept release];
  }
  check(most == 42, "a C++ lambda where a block is wanted");
}

void block_keeps_objects() {
  id<MTLBuffer> buffer = [device() newBufferWithLength:kBytes options:MTLResourceStorageModeShared];
  void (^block)(void) = Block_copy(^{
    (void)[buffer length];
  });
  check([(id)buffer retainCount] == 2, "a copied block keeps what it captured");
  Block_release(block);
  check([(id)buffer retainCount] == 1, "until it is gone");
}

void graph_casts() {
  id<MTLCommandQueue> queue = [device() newCommandQueue];
  id<MTLBuffer> from = [device() newBufferWithLength:16 options:MTLResourceStorageModeShared];
  id<MTLBuffer> to = [device() newBufferWithLength:16 options:MTLResourceStorageModeShared];
  static_cast<float*>([from contents])[3] = -2.75f;
  MPSGraph* graph = [MPSGraph new];
  MPSGraphTensor* input = [graph placeholderWithShape:nil dataType:MPSDataTypeFloat32 name:nil];
  MPSGraphTensor* output = [graph castTensor:input toType:MPSDataTypeInt32 name:nil];
  MPSShape* shape = @[ @4 ];
  auto data = [](id<MTLBuffer> buffer, MPSShape* shape, MPSDataType type) {
    return [[[MPSGraphTensorData alloc] initWithMTLBuffer:buffer shape:shape dataType:type] autorelease];
  };
  MPSCommandBuffer* commands = [MPSCommandBuffer commandBufferFromCommandQueue:queue];
  [graph encodeToCommandBuffer:commands
                         feeds:@{input : data(from, shape, MPSDataTypeFloat32)}
              targetOperations:nil
             resultsDictionary:@{output : data(to, shape, MPSDataTypeInt32)}
           executionDescriptor:nil];
  [graph release];
  [commands commit];
  [commands waitUntilCompleted];
  check(static_cast<int*>([to contents])[3] == -2 && static_cast<int*>([to contents])[0] == 0, "cast");
}

void queue_specifics() {
  static const char key = 0;
  dispatch_queue_t queue = dispatch_queue_create("outer", DISPATCH_QUEUE_SERIAL), inner = dispatch_queue_create("inner", DISPATCH_QUEUE_SERIAL);
  int value = 0;
  int* context = &value;
  dispatch_queue_set_specific(queue, &key, context, nullptr);
  std::thread::id caller = std::this_thread::get_id();
  dispatch_sync(queue, ^{
    check(dispatch_get_specific(&key) == context, "on the queue");
    std::printf("%s\n", std::this_thread::get_id() == caller ? "caller" : "elsewhere");
    dispatch_sync(inner, ^{
      check(dispatch_get_specific(&key) == nullptr, "on another one");
    });
  });
  check(dispatch_get_specific(&key) == nullptr, "on none");
  Gate gate;
  Gate* opened = &gate;
  dispatch_async(queue, ^{
    opened->open();
  });
  gate.wait();
}

void sync_on_own_queue() {
  dispatch_queue_t outer = dispatch_queue_create("outer", DISPATCH_QUEUE_SERIAL), inner = dispatch_queue_create("inner", DISPATCH_QUEUE_SERIAL);
  dispatch_sync(outer, ^{
    dispatch_sync(inner, ^{
      dispatch_sync(outer, ^{
      });
    });
  });
}

void encode_after_commit() {
  id<MTLCommandBuffer> commands = [[device() newCommandQueue] commandBuffer];
  [commands commit];
  [commands blitCommandEncoder];
}

void commit_open_encoder() {
  id<MTLCommandBuffer> commands = [[device() newCommandQueue] commandBuffer];
  [commands blitCommandEncoder];
  [commands commit];
}

void handler_after_commit() {
  id<MTLCommandBuffer> commands = [[device() newCommandQueue] commandBuffer];
  [commands commit];
  [commands addCompletedHandler:^(id<MTLCommandBuffer>) {
  }];
}

void released_encoder() {
  @autoreleasepool {
    [[[device() newCommandQueue] commandBuffer] computeCommandEncoder];
  }
}

void unknown_selector() { [[MPSGraph new] transposeTensor:nil dimension:0 withDimension:1 name:nil]; }

const std::map<std::string, void (*)()> situations = {
    {"command_buffer_lives", command_buffer_lives}, {"unretained_references", unretained_references},
    {"commit_and_continue", commit_and_continue},   {"shared_event", shared_event},
    {"heap", heap},                                 {"memory_limit", memory_limit},
    {"macos", macos},                               {"collections", collections},
    {"block_keeps_objects", block_keeps_objects},   {"graph_casts", graph_casts},
    {"queue_specifics", queue_specifics},           {"sync_on_own_queue", sync_on_own_queue},
    {"encode_after_commit", encode_after_commit},   {"commit_open_encoder", commit_open_encoder},
    {"handler_after_commit", handler_after_commit}, {"released_encoder", released_encoder},
    {"unknown_selector", unknown_selector},         {"block_of_a_lambda", block_of_a_lambda},
};

}  // namespace

extern "C" void layer_run(const char* situation) {
  @autoreleasepool {
    situations.at(situation)();
    std::puts(wrong == 0 ? "ok" : "failed");
    std::fflush(stdout);
  }
  std::_Exit(wrong != 0);
}
