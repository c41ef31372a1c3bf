// Graphs through PyTorch's own cache, whose look-up is code in a header: it is compiled, and instrumented, with this file.
#include <ATen/detail/MPSHooksInterface.h>
#include <ATen/native/mps/OperationUtils.h>

#include <atomic>
#include <string>

#include "native/mps/memory.h"
#include "native/mps/streams.h"

namespace harness::backend {

namespace {

namespace ops = at::native::mps;

std::atomic<uint64_t> compiled{0};

struct FillGraph : ops::MPSCachedGraph {
  explicit FillGraph(MPSGraph* graph) : ops::MPSCachedGraph(graph) {}
  MPSGraphTensor* result = nil;
};

FillGraph* find_graph(const std::string& shape, uint8_t constant, NSArray<NSNumber*>* sizes) {
  std::string key = "mps_stress_fill:" + shape + ":" + std::to_string(constant) + ":" + [[sizes description] UTF8String];
  return ops::LookUpOrCreateCachedGraph<FillGraph>(key, [&](MPSGraph* graph, FillGraph* made) {
    compiled.fetch_add(1, std::memory_order_relaxed);
    MPSGraphTensor* value = [graph constantWithScalar:constant shape:sizes dataType:MPSDataTypeUInt8];
    made->result = [graph identityWithTensor:value name:nil];
  });
}

template <typename Cache>
void clear(const at::MPSHooksInterface& hooks) {
  // Where a cache can be cleared, emptying the allocator's cache is what clears it.
  if constexpr (requires(Cache cache) { cache.clear(); }) {
    hooks.emptyCache();
  } else {
    throw Unavailable("MPSGraphCache::clear");
  }
}

}  // namespace

uintptr_t run_graph(int stream, const std::string& shape, uint8_t constant, Buffer buffer) {
  @autoreleasepool {
    NSArray<NSNumber*>* sizes = @[ @(buffer.bytes) ];
    FillGraph* graph = find_graph(shape, constant, sizes);
    MPSGraphTensorData* data = [[[MPSGraphTensorData alloc] initWithMTLBuffer:metal_buffer(buffer)
                                                                        shape:sizes
                                                                     dataType:MPSDataTypeUInt8] autorelease];
    stream_at(stream)->executeMPSGraph(graph->graph(), @{}, @{graph->result : data}, at::mps::SyncType::NONE);
    return reinterpret_cast<uintptr_t>(graph);
  }
}

uint64_t compile_count() { return compiled.load(std::memory_order_relaxed); }

void clear_graphs() { clear<ops::MPSGraphCache>(at::detail::getMPSHooks()); }

}  // namespace harness::backend
