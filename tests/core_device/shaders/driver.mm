// The simulated Metal for a test in Python: one dispatch of a kernel of a Metal text, through Metal's own interface.
#import <Metal/Metal.h>

#include <sched.h>

#include <cstdio>
#include <cstring>
#include <string>

#include "simulated_metal/simulated_metal.h"

namespace {

id<MTLDevice> device() {
  static id<MTLDevice> const one = MTLCreateSystemDefaultDevice();
  return one;
}

id<MTLCommandQueue> queue() {
  static id<MTLCommandQueue> const one = [device() newCommandQueue];
  return one;
}

}  // namespace

extern "C" {

// The library of a text; null with `problem` where there is none. `version` as in 3.1: 310.
void* shaders_compile(const char* text, int version, char* problem, size_t problem_bytes) {
  @autoreleasepool {
    MTLCompileOptions* options = [[MTLCompileOptions new] autorelease];
    options.languageVersion = static_cast<MTLLanguageVersion>((version / 100) << 16 | version % 100 / 10);
    NSError* error = nil;
    id<MTLLibrary> library = [device() newLibraryWithSource:[NSString stringWithUTF8String:text] options:options error:&error];
    if (library == nil) snprintf(problem, problem_bytes, "%s", [[error description] UTF8String]);
    return (void*)library;
  }
}

// The names of a library's functions, a line each.
void shaders_names(void* library, char* names, size_t bytes) {
  @autoreleasepool {
    std::string all;
    for (NSString* one in [(id<MTLLibrary>)library functionNames]) all += std::string([one UTF8String]) + "\n";
    snprintf(names, bytes, "%s", all.c_str());
  }
}

struct ShaderBuffer {
  void* memory;  // Copied into a buffer before the dispatch, and back after it.
  size_t bytes, offset;
  // 'b' a buffer, 'v' bytes by value, 'm' threadgroup memory, '-' none; of the `resources` next buffers 'a' an argument buffer that
  // Metal's encoder fills, 'p' a buffer with their addresses
  char kind;
  int resources;
  bool is_resident;  // Whether such a buffer is told to the encoder.
};

// Returns 0, or 1 where the library has no such function. `reads_early`: the buffers are read without waiting for the GPU,
// when it has written them: the status, which says so, orders nothing.
int shaders_run(void* library, const char* name, ShaderBuffer* buffers, int count, const unsigned* threads, const unsigned* group,
                int counts_groups, int reads_early) {
  @autoreleasepool {
    id<MTLFunction> function = [(id<MTLLibrary>)library newFunctionWithName:[NSString stringWithUTF8String:name]];
    if (function == nil) return 1;
    id<MTLComputePipelineState> pipeline = [device() newComputePipelineStateWithFunction:function error:nullptr];
    id<MTLCommandBuffer> commands = [queue() commandBuffer];
    id<MTLComputeCommandEncoder> encoder = [commands computeCommandEncoder];
    [encoder setComputePipelineState:pipeline];
    id<MTLBuffer> made[64] = {};
    auto buffer = [&](int one) {
      made[one] = [device() newBufferWithBytes:buffers[one].memory length:buffers[one].bytes options:MTLResourceStorageModeShared];
      return made[one];
    };
    for (int one = 0, index = 0; one < count; ++one, ++index) {
      ShaderBuffer& given = buffers[one];
      if (given.kind == 'b') [encoder setBuffer:buffer(one) offset:given.offset atIndex:index];
      if (given.kind == 'v') [encoder setBytes:given.memory length:given.bytes atIndex:index];
      if (given.kind == 'm') [encoder setThreadgroupMemoryLength:given.bytes atIndex:given.offset], --index;
      if (given.kind == 'p') {
        id<MTLBuffer> memory = [device() newBufferWithLength:8 * given.resources options:MTLResourceStorageModeShared];
        auto* addresses = static_cast<uint64_t*>([memory contents]);
        for (int last = one + given.resources; one < last;) {
          ++one;
          *addresses++ = [buffer(one) gpuAddress];
          if (buffers[one].is_resident) [encoder useResource:made[one] usage:MTLResourceUsageRead];
        }
        [encoder setBuffer:memory offset:0 atIndex:index];
      }
      if (given.kind == 'a') {
        id<MTLArgumentEncoder> arguments = [function newArgumentEncoderWithBufferIndex:index];
        id<MTLBuffer> memory = [device() newBufferWithLength:arguments.encodedLength options:MTLResourceStorageModeShared];
        [arguments setArgumentBuffer:memory offset:0];
        for (int last = one + given.resources; one < last;) {
          ++one;
          [arguments setBuffer:buffer(one) offset:0 atIndex:buffers[one].offset];
          if (buffers[one].is_resident) [encoder useResource:made[one] usage:MTLResourceUsageRead | MTLResourceUsageWrite];
        }
        [encoder setBuffer:memory offset:0 atIndex:index];
      }
    }
    MTLSize size = MTLSizeMake(threads[0], threads[1], threads[2]), of_group = MTLSizeMake(group[0], group[1], group[2]);
    if (counts_groups) [encoder dispatchThreadgroups:size threadsPerThreadgroup:of_group];
    else [encoder dispatchThreads:size threadsPerThreadgroup:of_group];
    [encoder endEncoding];
    [commands commit];
    while (reads_early && commands.status != MTLCommandBufferStatusCompleted) sched_yield();
    for (int one = 0; one < count && reads_early; ++one) {
      if (made[one] != nil) memcpy(buffers[one].memory, [made[one] contents], buffers[one].bytes);
    }
    [commands waitUntilCompleted];
    for (int one = 0; one < count; ++one) {
      if (made[one] != nil) memcpy(buffers[one].memory, [made[one] contents], buffers[one].bytes);
      [made[one] release];
    }
    return 0;
  }
}

}  // extern "C"
