// Encoders: each message becomes work of the command buffer. Arguments are checked when they are encoded, as Metal's validation
// does: the stack of the process's end then shows who passed them.
#include <string.h>

#include <utility>

#include "counters.h"
#include "kernels.h"
#include "objects.h"

namespace {

constexpr const char* kBlit = "SimulatedBlitCommandEncoder";
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

}  // namespace

@implementation SimulatedEncoder

- (instancetype)initWithBuffer:(SimulatedCommandBuffer*)buffer {
  buffer_ = [buffer retain];
  arguments_ = new std::map<NSUInteger, simulated::Argument>;
  bytes_ = new std::map<NSUInteger, std::shared_ptr<std::string>>;
  return self;
}

- (void)dealloc {
  if (!is_ended_) mps_sim::metal_assertion("dealloc", "Command encoder released without endEncoding", "SimulatedCommandEncoder");
  delete arguments_;
  delete bytes_;
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

- (void)fillBuffer:(id<MTLBuffer>)buffer range:(NSRange)range value:(uint8_t)value {
  [self mustEncode:"fillBuffer:range:value:"];
  simulated::count(simulated::counters.blits);
  SimulatedBuffer* target = checked(buffer, range.location, range.length, "fillBuffer:range:value:", "buffer");
  char* begin = target->memory_ + range.location;
  [buffer_ add:[begin, range, value] { memset(begin, value, range.length); } keeping:target];
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
  [buffer_ add:[begin, target, size] { memmove(target, begin, size); } keeping:from];
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
  auto copy = std::make_shared<std::string>(static_cast<const char*>(bytes), length);
  (*bytes_)[index] = copy;
  (*arguments_)[index] = {copy->data(), length};
}

- (void)setBuffer:(id<MTLBuffer>)buffer offset:(NSUInteger)offset atIndex:(NSUInteger)index {
  [self mustEncode:"setBuffer:offset:atIndex:"];
  SimulatedBuffer* bound = (SimulatedBuffer*)buffer;
  if (bound == nil) {
    arguments_->erase(index);
    return;
  }
  if (offset >= bound->length_) {
    std::string text = "offset(" + std::to_string(offset) + ") must be < [buffer length](" + std::to_string(bound->length_) + ").";
    mps_sim::metal_assertion("setBuffer:offset:atIndex:", text.c_str(), kCompute);
  }
  (*arguments_)[index] = {bound->memory_ + offset, bound->length_ - offset};
  [buffer_ add:nullptr keeping:bound];
}

- (void)useResource:(id<MTLResource>)resource usage:(MTLResourceUsage)usage {
  [self mustEncode:"useResource:usage:"];
  [buffer_ add:nullptr keeping:(id)resource];
}

- (void)useHeap:(id<MTLHeap>)heap {
  [self mustEncode:"useHeap:"];
  [buffer_ add:nullptr keeping:(id)heap];
}

- (void)dispatchThreads:(MTLSize)threads threadsPerThreadgroup:(MTLSize)group {
  [self mustEncode:"dispatchThreads:threadsPerThreadgroup:"];
  if (pipeline_ == nil) {
    mps_sim::metal_assertion("dispatchThreads:threadsPerThreadgroup:", "A valid compute pipeline state must be set.", kCompute);
  }
  simulated::count(simulated::counters.dispatches);
  SimulatedFunction* function = pipeline_->function_;
  simulated::HostKernel body = simulated::find_kernel(*function->name_);
  std::vector<simulated::Argument> arguments;
  for (auto& [index, argument] : *arguments_) {
    if (arguments.size() <= index) arguments.resize(index + 1);
    arguments[index] = argument;
  }
  simulated::Grid grid{threads.width, threads.height, threads.depth};
  [buffer_ add:[body = std::move(body), arguments = std::move(arguments), bytes = *bytes_, grid, function] {
    body(arguments, grid, *function->source_);
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

Counts counts() {
  Counters& all = counters;
  return {all.command_buffers, all.dispatches, all.blits, all.signals, all.waits, all.heaps, all.buffers, all.graphs, all.signposts};
}

}  // namespace simulated
