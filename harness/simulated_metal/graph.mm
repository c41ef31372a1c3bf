// MPSGraph, as far as copies need it: placeholders, constants, casts and conjugates. A graph keeps its tensors; running one
// evaluates the tensor that is asked for, element by element, when the command buffer runs. A program with a tree's own operators
// has core/operators/graph.mm in place of these bodies.
#include <MetalPerformanceShadersGraph/MetalPerformanceShadersGraph.h>

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "arrays.h"
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

char* dense_memory(MPSGraphTensorData* data) {
  const simulated::Array& array = simulated::array_of(data);
  if (!array.is_dense()) mps_sim::not_simulated("a graph that copies from or to an MPSNDArray with gaps");
  return array.memory();
}

std::shared_ptr<Node> node_of(MPSGraphTensor* tensor, NSDictionary* feeds) {
  auto node = std::make_shared<Node>(Node{static_cast<Kind>(tensor->kind_), tensor->type_, tensor->scalar_, nullptr, nullptr});
  if (tensor->from_ != nil) node->from = node_of(tensor->from_, feeds);
  if (node->kind == kPlaceholder) {
    MPSGraphTensorData* fed = [feeds objectForKey:tensor];
    if (fed == nil) mps_sim::metal_assertion("encodeToCommandBuffer:feeds:", "a placeholder is not fed", "MPSGraph");
    node->memory = dense_memory(fed);
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
  MPSNDArrayDescriptor* descriptor = [MPSNDArrayDescriptor descriptorWithDataType:dataType shape:shape];
  array_ = [[MPSNDArray alloc] initWithBuffer:buffer offset:0 descriptor:descriptor];
  return self;
}

- (instancetype)initWithMPSNDArray:(MPSNDArray*)array {
  array_ = [array retain];
  return self;
}

- (void)dealloc {
  [array_ release];
  [super dealloc];
}

- (MPSNDArray*)mpsndarray {
  return array_;
}

- (MPSShape*)shape {
  NSMutableArray<NSNumber*>* shape = [NSMutableArray array];
  for (int64_t size : simulated::array_of(self).sizes) [shape addObject:[NSNumber numberWithLong:size]];
  return shape;
}

- (MPSDataType)dataType {
  return [array_ dataType];
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
  for (MPSGraphTensor* fed in feeds) buffers.push_back((void*)simulated::array_of((MPSGraphTensorData*)[feeds objectForKey:fed]).buffer);
  for (MPSGraphTensor* output in results) {
    MPSGraphTensorData* result = [results objectForKey:output];
    const simulated::Array& array = simulated::array_of(result);
    buffers.push_back((void*)array.buffer);
    auto node = node_of(output, feeds);
    char* target = dense_memory(result);
    size_t count = array.count();
    if (array.offset_bytes + count * simulated::width_of(node->type) > simulated::length(array.buffer)) {
      mps_sim::metal_assertion("encodeToCommandBuffer:resultsDictionary:", "the result's buffer is too small", "MPSGraph");
    }
    simulated::dispatch_host((void*)encoder, [node, target, count] { evaluate(*node, target, count); }, buffers);
  }
  [encoder endEncoding];
}

@end
