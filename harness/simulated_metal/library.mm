// Libraries, functions and pipeline states: kernels that were compiled from the Metal Shading Language (metal_shaders/).
#include <string.h>

#include "objects.h"

@interface SimulatedArgumentEncoder : NSObject <MTLArgumentEncoder> {
 @public
  NSUInteger bytes_;
  SimulatedBuffer* target_;
  NSUInteger offset_;
  NSString* label_;
}
@end

namespace {
constexpr const char* kArguments = "SimulatedArgumentEncoder";
constexpr NSUInteger kSlotBytes = sizeof(uint64_t);  // Of an id: a structure of pointers, as the kernel sees it.
}  // namespace

@implementation SimulatedLibrary

- (instancetype)initWithParts:(std::vector<const metal_abi::Library*>)parts {
  parts_ = new std::vector<const metal_abi::Library*>(std::move(parts));
  return self;
}

- (void)dealloc {
  delete parts_;
  [super dealloc];
}

- (id<MTLFunction>)newFunctionWithName:(NSString*)name {
  for (const metal_abi::Library* part : *parts_) {
    for (unsigned one = 0; one < part->count; ++one) {
      if (strcmp(part->entries[one]->name, [name UTF8String]) != 0) continue;
      SimulatedFunction* made = [SimulatedFunction alloc];
      made->library_ = part;
      made->entry_ = part->entries[one];
      return made;
    }
  }
  return nil;
}

- (NSArray<NSString*>*)functionNames {
  std::vector<id> names;
  for (const metal_abi::Library* part : *parts_) {
    for (unsigned one = 0; one < part->count; ++one) names.push_back([NSString stringWithUTF8String:part->entries[one]->name]);
  }
  return [NSArray arrayWithObjects:names.data() count:names.size()];
}

- (id<MTLDevice>)device {
  return MTLCreateSystemDefaultDevice();
}

@end

@implementation SimulatedFunction

- (id<MTLArgumentEncoder>)newArgumentEncoderWithBufferIndex:(NSUInteger)index {
  NSUInteger bytes = index < metal_abi::kBuffers ? entry_->argument_bytes[index] : 0;
  if (bytes == 0) {
    std::string text = "buffer " + std::to_string(index) + " of " + entry_->name + " is not an argument buffer.";
    mps_sim::metal_assertion("newArgumentEncoderWithBufferIndex:", text.c_str(), "SimulatedFunction");
  }
  SimulatedArgumentEncoder* made = [SimulatedArgumentEncoder alloc];
  made->bytes_ = bytes;
  return made;
}

- (NSString*)name {
  return [NSString stringWithUTF8String:entry_->name];
}

@end

@implementation SimulatedArgumentEncoder

- (void)dealloc {
  [target_ release];
  [label_ release];
  [super dealloc];
}

- (void)setArgumentBuffer:(id<MTLBuffer>)buffer offset:(NSUInteger)offset {
  [(id)buffer retain];
  [target_ release];
  target_ = (SimulatedBuffer*)buffer;
  offset_ = offset;
  if (target_ != nil && offset + bytes_ > target_->length_) {
    std::string text = "offset(" + std::to_string(offset) + ") + encodedLength(" + std::to_string(bytes_) + ") must be <= " +
                       std::to_string(target_->length_) + ".";
    mps_sim::metal_assertion("setArgumentBuffer:offset:", text.c_str(), kArguments);
  }
}

- (void)setBuffer:(id<MTLBuffer>)buffer offset:(NSUInteger)offset atIndex:(NSUInteger)index {
  const char* method = "setBuffer:offset:atIndex:";
  if (target_ == nil) mps_sim::metal_assertion(method, "no argument buffer was set.", kArguments);
  if ((index + 1) * kSlotBytes > bytes_) {
    std::string text = "index(" + std::to_string(index) + ") is not in the argument buffer's structure.";
    mps_sim::metal_assertion(method, text.c_str(), kArguments);
  }
  uint64_t address = buffer == nil ? 0 : [buffer gpuAddress] + offset;
  memcpy(target_->memory_ + offset_ + index * kSlotBytes, &address, sizeof address);
}

- (void)setLabel:(NSString*)label {
  [label_ release];
  label_ = [label copy];
}

// clang-format off
- (NSUInteger)encodedLength { return bytes_; }
- (NSString*)label { return label_; }
// clang-format on

@end

@implementation SimulatedPipelineState

- (void)dealloc {
  [function_ release];
  [super dealloc];
}

- (NSUInteger)staticThreadgroupMemoryLength {
  if (function_->entry_->has_variables) mps_sim::not_simulated("staticThreadgroupMemoryLength of a kernel that declares threadgroup memory");
  return 0;
}

// clang-format off
- (NSUInteger)maxTotalThreadsPerThreadgroup { return metal_abi::kThreadsMax; }
- (NSUInteger)threadExecutionWidth { return metal_abi::kSimdWidth; }
- (NSString*)label { return [function_ name]; }
// clang-format on

@end

@implementation MTLCompileOptions
@synthesize mathMode = _mode, mathFloatingPointFunctions = _functions, languageVersion = _version, fastMathEnabled = _fast;
@end
