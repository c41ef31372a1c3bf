// Encoders: each message becomes work of the command buffer. Arguments are checked when they are encoded, as Metal's validation
// does: the stack of the process's end then shows who passed them.
#include <stdlib.h>
#include <string.h>

#include <utility>

#include "counters.h"
#include "objects.h"
#include "options.h"
#include "runtime/order.h"
#include "runtime/order_host.h"
#include "runtime/random.h"

namespace {

constexpr const char* kBlit = "SimulatedBlitCommandEncoder";
constexpr NSUInteger kAlignment = 256;
constexpr NSUInteger kThreadgroupMemoryMax = 32768;
constexpr const char* kCompute = "SimulatedComputeCommandEncoder";

SimulatedBuffer* checked(id<MTLBuffer> buffer, NSUInteger offset, NSUInteger size, const char* method, const char* what) {
  SimulatedBuffer* simulated = (SimulatedBuffer*)buffer;
  if (simulated == nil) mps_sim::metal_assertion(method, (std::string(what) + " must not be nil.").c_str(), kBlit);
  if (offset + size > simulated->length_) {
    std::string text = "(" + std::string(what) + "Offset(" + std::to_string(offset) + ") + size(" + std::to_string(size) + ")) must be <= " +
                       std::to_string(simulated->length_) + ".";
    mps_sim::metal_assertion(method, text.c_str(), kBlit);
  }
  return simulated;
}

void must_be_buffer(const char* method, NSUInteger index) {
  if (index < metal_abi::kBuffers) return;
  std::string text = "index(" + std::to_string(index) + ") must be < " + std::to_string(metal_abi::kBuffers) + ".";
  mps_sim::metal_assertion(method, text.c_str(), kCompute);
}

void must_be_inside(const char* method, NSUInteger offset, NSUInteger length) {
  if (offset < length) return;
  std::string text = "offset(" + std::to_string(offset) + ") must be < [buffer length](" + std::to_string(length) + ").";
  mps_sim::metal_assertion(method, text.c_str(), kCompute);
}

void copy_size(MTLSize from, unsigned (&to)[3]) {
  to[0] = static_cast<unsigned>(from.width);
  to[1] = static_cast<unsigned>(from.height);
  to[2] = static_cast<unsigned>(from.depth);
}

// A buffer over the host's memory owns nothing.
using HostUse = std::shared_ptr<mps_sim::order::HostUse>;
HostUse host_use(SimulatedBuffer* buffer, const void* begin, size_t bytes, bool is_write) {
  if (buffer->owned_ || !mps_sim::order::is_on()) return nullptr;
  return std::make_shared<mps_sim::order::HostUse>(begin, bytes, is_write);
}

void done(const HostUse& use) {
  if (use != nullptr) use->done();
}

// Of the order of a dispatch's threads: by how many this queue's GPU has run before.
uint64_t next_seed() {
  static thread_local uint64_t dispatches = 0;
  return mps_sim::mix(simulated::options().seed, dispatches++);
}

}  // namespace

@implementation SimulatedEncoder

- (instancetype)initWithBuffer:(SimulatedCommandBuffer*)buffer {
  buffer_ = [buffer retain];
  arguments_ = new std::vector<metal_shaders::Buffer>(metal_abi::kBuffers);
  bytes_ = new std::vector<std::shared_ptr<char>>(metal_abi::kBuffers);
  memory_bytes_ = new std::vector<size_t>(metal_abi::kBuffers);
  resources_ = new std::vector<metal_shaders::Range>;
  return self;
}

- (void)dealloc {
  if (!is_ended_) mps_sim::metal_assertion("dealloc", "Command encoder released without endEncoding", "SimulatedCommandEncoder");
  delete arguments_;
  delete bytes_;
  delete memory_bytes_;
  delete resources_;
  [pipeline_ release];
  [label_ release];
  [buffer_ release];
  [super dealloc];
}

- (void)mustEncode:(const char*)method {
  if (is_ended_) mps_sim::metal_assertion(method, "endEncoding has already been called.", "SimulatedCommandEncoder");
}

- (void)endEncoding {
  [self mustEncode:"endEncoding"];
  is_ended_ = YES;
  [buffer_ endEncoding];
}

- (NSString*)label {
  return label_;
}

- (void)setLabel:(NSString*)label {
  [label_ release];
  label_ = [label copy];
}

// Names for a tool that shows what was encoded; here none does.
- (void)pushDebugGroup:(NSString*)name {
  [self mustEncode:"pushDebugGroup:"];
}

- (void)popDebugGroup {
  [self mustEncode:"popDebugGroup"];
}

- (void)insertDebugSignpost:(NSString*)name {
  [self mustEncode:"insertDebugSignpost:"];
}

- (void)fillBuffer:(id<MTLBuffer>)buffer range:(NSRange)range value:(uint8_t)value {
  [self mustEncode:"fillBuffer:range:value:"];
  simulated::count(simulated::counters.blits);
  SimulatedBuffer* target = checked(buffer, range.location, range.length, "fillBuffer:range:value:", "buffer");
  char* begin = target->memory_ + range.location;
  [buffer_ add:[begin, range, value, use = host_use(target, begin, range.length, true)] {
    memset(begin, value, range.length);
    done(use);
  } keeping:target];
}

- (void)copyFromBuffer:(id<MTLBuffer>)source
          sourceOffset:(NSUInteger)sourceOffset
              toBuffer:(id<MTLBuffer>)destination
     destinationOffset:(NSUInteger)destinationOffset
                  size:(NSUInteger)size {
  const char* method = "copyFromBuffer:sourceOffset:toBuffer:destinationOffset:size:";
  [self mustEncode:method];
  simulated::count(simulated::counters.blits);
  SimulatedBuffer* from = checked(source, sourceOffset, size, method, "source");
  SimulatedBuffer* to = checked(destination, destinationOffset, size, method, "destination");
  const char* begin = from->memory_ + sourceOffset;
  char* target = to->memory_ + destinationOffset;
  [buffer_ add:[begin, target, size, read = host_use(from, begin, size, false), write = host_use(to, target, size, true)] {
    memmove(target, begin, size);
    done(read);
    done(write);
  } keeping:from];
  [buffer_ add:nullptr keeping:to];
}

- (void)setComputePipelineState:(id<MTLComputePipelineState>)state {
  [self mustEncode:"setComputePipelineState:"];
  if (state == nil) mps_sim::metal_assertion("setComputePipelineState:", "computePipelineState must not be nil.", kCompute);
  [(id)state retain];
  [pipeline_ release];
  pipeline_ = (SimulatedPipelineState*)state;
}

- (void)setBytes:(const void*)bytes length:(NSUInteger)length atIndex:(NSUInteger)index {
  [self mustEncode:"setBytes:length:atIndex:"];
  must_be_buffer("setBytes:length:atIndex:", index);
  // As aligned as a buffer is: a kernel reads vectors of it.
  std::shared_ptr<char> copy(static_cast<char*>(aligned_alloc(kAlignment, (length + kAlignment) / kAlignment * kAlignment)), free);
  memcpy(copy.get(), bytes, length);
  (*bytes_)[index] = copy;
  (*arguments_)[index] = {copy.get(), {copy.get(), length, static_cast<int>(index)}};
}

- (void)setBuffer:(id<MTLBuffer>)buffer offset:(NSUInteger)offset atIndex:(NSUInteger)index {
  const char* method = "setBuffer:offset:atIndex:";
  [self mustEncode:method];
  must_be_buffer(method, index);
  SimulatedBuffer* bound = (SimulatedBuffer*)buffer;
  (*bytes_)[index].reset();
  if (bound == nil) {
    (*arguments_)[index] = {};
    return;
  }
  must_be_inside(method, offset, bound->length_);
  (*arguments_)[index] = {bound->memory_ + offset, {bound->memory_, bound->length_, static_cast<int>(index)}};
  [buffer_ add:nullptr keeping:bound];
}

- (void)setBuffers:(const id<MTLBuffer>[])buffers offsets:(const NSUInteger[])offsets withRange:(NSRange)range {
  for (NSUInteger one = 0; one < range.length; ++one) [self setBuffer:buffers[one] offset:offsets[one] atIndex:range.location + one];
}

- (void)setBufferOffset:(NSUInteger)offset atIndex:(NSUInteger)index {
  const char* method = "setBufferOffset:atIndex:";
  [self mustEncode:method];
  must_be_buffer(method, index);
  metal_shaders::Buffer& bound = (*arguments_)[index];
  if (bound.data == nullptr) mps_sim::metal_assertion(method, "no buffer is set at this index.", kCompute);
  must_be_inside(method, offset, bound.range.bytes);
  bound.data = const_cast<char*>(bound.range.begin) + offset;
}

- (void)setThreadgroupMemoryLength:(NSUInteger)length atIndex:(NSUInteger)index {
  const char* method = "setThreadgroupMemoryLength:atIndex:";
  [self mustEncode:method];
  must_be_buffer(method, index);
  if (length % 16 != 0 || length > kThreadgroupMemoryMax) {
    std::string text = "length(" + std::to_string(length) + ") must be a multiple of 16 bytes, and at most " +
                       std::to_string(kThreadgroupMemoryMax) + ".";
    mps_sim::metal_assertion(method, text.c_str(), kCompute);
  }
  (*memory_bytes_)[index] = length;
}

- (void)useResource:(id<MTLResource>)resource usage:(MTLResourceUsage)usage {
  [self mustEncode:"useResource:usage:"];
  SimulatedBuffer* buffer = (SimulatedBuffer*)resource;
  if (buffer != nil) resources_->push_back({buffer->memory_, buffer->length_, metal_shaders::kResource});
  [buffer_ add:nullptr keeping:(id)resource];
}

- (void)useResources:(const id<MTLResource>[])resources count:(NSUInteger)count usage:(MTLResourceUsage)usage {
  for (NSUInteger one = 0; one < count; ++one) [self useResource:resources[one] usage:usage];
}

- (void)useHeap:(id<MTLHeap>)heap {
  mps_sim::not_simulated("useHeap: of a compute encoder");
}

- (void)dispatchThreads:(MTLSize)threads threadsPerThreadgroup:(MTLSize)group {
  const char* method = "dispatchThreads:threadsPerThreadgroup:";
  [self mustEncode:method];
  if (pipeline_ == nil) mps_sim::metal_assertion(method, "A valid compute pipeline state must be set.", kCompute);
  NSUInteger size = group.width * group.height * group.depth;
  if (size == 0 || size > metal_abi::kThreadsMax) {
    std::string text = "(threadsPerThreadgroup.width(" + std::to_string(group.width) + ") * threadsPerThreadgroup.height(" +
                       std::to_string(group.height) + ") * threadsPerThreadgroup.depth(" + std::to_string(group.depth) + "))(" +
                       std::to_string(size) + ") must be > 0 and <= 1024. (device threadgroup size limit)";
    mps_sim::metal_assertion(method, text.c_str(), kCompute);
  }
  simulated::count(simulated::counters.dispatches);
  SimulatedFunction* function = pipeline_->function_;
  metal_shaders::Dispatch dispatch{function->library_, function->entry_, *arguments_, *memory_bytes_, *resources_};
  copy_size(threads, dispatch.grid);
  copy_size(group, dispatch.group);
  [buffer_ add:[dispatch, bytes = *bytes_]() mutable {
    dispatch.seed = next_seed();
    dispatch.finds_races = simulated::options().kernel_races;
    metal_shaders::run(dispatch);
  } keeping:pipeline_];
}

- (void)dispatchThreadgroups:(MTLSize)groups threadsPerThreadgroup:(MTLSize)group {
  [self dispatchThreads:MTLSizeMake(groups.width * group.width, groups.height * group.height, groups.depth * group.depth)
      threadsPerThreadgroup:group];
}

@end

namespace simulated {

void dispatch_host(void* encoder, std::function<void()> body, const std::vector<void*>& buffers) {
  SimulatedEncoder* simulated = (SimulatedEncoder*)encoder;
  [simulated mustEncode:"dispatchThreads:threadsPerThreadgroup:"];
  count(counters.dispatches);
  for (void* buffer : buffers) [simulated->buffer_ add:nullptr keeping:(id)buffer];
  [simulated->buffer_ add:std::move(body) keeping:nil];
}

void count_graph() { count(counters.graphs); }

Counts counts() {
  Counters& all = counters;
  return {all.command_buffers, all.dispatches, all.blits, all.signals, all.waits, all.heaps, all.buffers, all.graphs, all.signposts};
}

}  // namespace simulated
