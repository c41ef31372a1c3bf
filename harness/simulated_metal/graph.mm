// MPSGraph, as far as copies need it: placeholders, constants, casts and conjugates. A graph keeps its tensors; running one
// evaluates the tensor that is asked for, element by element, when the command buffer runs.
#include <MetalPerformanceShadersGraph/MetalPerformanceShadersGraph.h>

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "casts.h"
#include "counters.h"
#include "objects.h"

namespace {

enum Kind : int { kPlaceholder, kConstant, kIdentity, kCast, kConjugate };

using Bytes = std::vector<char>;

// A tensor of a graph without Objective-C, which an evaluation needs when the graph may be gone already.
struct Node {
  Kind kind;
  MPSDataType type;
  double scalar;
  std::shared_ptr<Node> from;
  const char* memory;  // Of a placeholder that is fed.
};

std::shared_ptr<Node> node_of(MPSGraphTensor* tensor, NSDictionary* feeds) {
  auto node = std::make_shared<Node>(Node{static_cast<Kind>(tensor->kind_), tensor->type_, tensor->scalar_, nullptr, nullptr});
  if (tensor->from_ != nil) node->from = node_of(tensor->from_, feeds);
  if (node->kind == kPlaceholder) {
    MPSGraphTensorData* fed = [feeds objectForKey:tensor];
    if (fed == nil) mps_sim::metal_assertion("encodeToCommandBuffer:feeds:", "a placeholder is not fed", "MPSGraph");
    node->memory = static_cast<const char*>(simulated::memory(fed->buffer_));
  }
  return node;
}

void evaluate(const Node& node, char* target, size_t count) {
  size_t bytes = count * simulated::width_of(node.type);
  switch (node.kind) {
    case kPlaceholder:
      memmove(target, node.memory, bytes);
      return;
    case kConstant:
      for (size_t at = 0; at < count; ++at) {
        simulated::cast(node.type, target + at * simulated::width_of(node.type), simulated::kDouble, &node.scalar, 1);
      }
      return;
    default: {
      Bytes from(count * simulated::width_of(node.from->type));
      evaluate(*node.from, from.data(), count);
      if (node.kind == kConjugate) simulated::conjugate(node.from->type, from.data(), count);
      simulated::cast(node.type, target, node.from->type, from.data(), count);
    }
  }
}

size_t elements(MPSShape* shape) {
  size_t count = 1;
  for (NSNumber* size in shape) count *= [size unsignedLongValue];
  return count;
}

}  // namespace

@implementation MPSGraphObject
@end

@implementation MPSGraphOperation
@end

@implementation MPSGraphTensor

- (void)dealloc {
  [shape_ release];
  [super dealloc];
}

- (id)copyWithZone:(void*)zone {
  return [self retain];
}

- (MPSShape*)shape {
  return shape_;
}

- (MPSDataType)dataType {
  return type_;
}

@end

@implementation MPSGraphTensorData

- (instancetype)initWithMTLBuffer:(id<MTLBuffer>)buffer shape:(MPSShape*)shape dataType:(MPSDataType)dataType {
  buffer_ = [(id)buffer retain];
  shape_ = [shape retain];
  type_ = dataType;
  return self;
}

- (void)dealloc {
  [(id)buffer_ release];
  [shape_ release];
  [super dealloc];
}

- (MPSShape*)shape {
  return shape_;
}

- (MPSDataType)dataType {
  return type_;
}

@end

@implementation MPSGraphCompilationDescriptor
@synthesize optimizationLevel = _level;
@end

// PyTorch declares the second property itself: it is a private one.
@interface MPSGraphExecutionDescriptor ()
@property(readwrite, atomic) BOOL enableCommitAndContinue;
@end

@implementation MPSGraphExecutionDescriptor
@synthesize compilationDescriptor = _compilation, enableCommitAndContinue = _continues;
@end

@implementation MPSGraph

- (void)dealloc {
  [tensors_ release];
  [super dealloc];
}

- (MPSGraphTensor*)tensor:(Kind)kind type:(MPSDataType)type from:(MPSGraphTensor*)from shape:(MPSShape*)shape {
  MPSGraphTensor* made = [[MPSGraphTensor alloc] autorelease];
  made->kind_ = kind;
  made->type_ = type;
  made->from_ = from;  // The graph keeps it.
  made->shape_ = [shape retain];
  if (tensors_ == nil) tensors_ = [[NSMutableArray array] retain];
  [tensors_ addObject:made];
  return made;
}

- (MPSGraphTensor*)placeholderWithShape:(MPSShape*)shape dataType:(MPSDataType)type name:(NSString*)name {
  return [self tensor:kPlaceholder type:type from:nil shape:shape];
}

- (MPSGraphTensor*)constantWithScalar:(double)scalar shape:(MPSShape*)shape dataType:(MPSDataType)type {
  MPSGraphTensor* made = [self tensor:kConstant type:type from:nil shape:shape];
  made->scalar_ = scalar;
  return made;
}

- (MPSGraphTensor*)constantWithScalar:(double)scalar dataType:(MPSDataType)type {
  return [self constantWithScalar:scalar shape:@[ @1 ] dataType:type];
}

- (MPSGraphTensor*)identityWithTensor:(MPSGraphTensor*)from name:(NSString*)name {
  return [self tensor:kIdentity type:from->type_ from:from shape:from->shape_];
}

- (MPSGraphTensor*)castTensor:(MPSGraphTensor*)from toType:(MPSDataType)type name:(NSString*)name {
  return [self tensor:kCast type:type from:from shape:from->shape_];
}

- (MPSGraphTensor*)conjugateWithTensor:(MPSGraphTensor*)from name:(NSString*)name {
  return [self tensor:kConjugate type:from->type_ from:from shape:from->shape_];
}

// PyTorch asks whether a graph has it to tell macOS 13 from older ones.
- (MPSGraphTensor*)cumulativeSumWithTensor:(MPSGraphTensor*)from axis:(NSInteger)axis name:(NSString*)name {
  mps_sim::not_simulated("-[MPSGraph cumulativeSumWithTensor:axis:name:]");
}

- (void)encodeToCommandBuffer:(MPSCommandBuffer*)buffer
                        feeds:(NSDictionary*)feeds
             targetOperations:(NSArray<MPSGraphOperation*>*)operations
            resultsDictionary:(NSDictionary*)results
          executionDescriptor:(MPSGraphExecutionDescriptor*)descriptor {
  simulated::count(simulated::counters.graphs);
  id<MTLComputeCommandEncoder> encoder = [buffer computeCommandEncoder];
  std::vector<void*> buffers;
  for (MPSGraphTensor* fed in feeds) buffers.push_back((void*)((MPSGraphTensorData*)[feeds objectForKey:fed])->buffer_);
  for (MPSGraphTensor* output in results) {
    MPSGraphTensorData* result = [results objectForKey:output];
    buffers.push_back((void*)result->buffer_);
    auto node = node_of(output, feeds);
    char* target = static_cast<char*>(simulated::memory(result->buffer_));
    size_t count = elements(result->shape_);
    if (count * simulated::width_of(node->type) > simulated::length(result->buffer_)) {
      mps_sim::metal_assertion("encodeToCommandBuffer:resultsDictionary:", "the result's buffer is too small", "MPSGraph");
    }
    simulated::dispatch_host((void*)encoder, [node, target, count] { evaluate(*node, target, count); }, buffers);
  }
  [encoder endEncoding];
}

@end
