// The device, and the manager of captures, of which there are none here.
#include <Block.h>
#include <stdlib.h>
#include <string.h>

#include "memory.h"
#include "metal_shaders/compiler.h"
#include "objects.h"
#include "options.h"

id<MTLResidencySet> simulated_residency_set(void);

namespace {

constexpr const char* kDevice = "SimulatedDevice";
constexpr NSUInteger kBufferMax = 8ul << 30;
constexpr int kUnsupported = 3;
constexpr int kCompileFailure = 3;  // MTLLibraryErrorCompileFailure.
constexpr int kNewestLanguage = 320;

SimulatedBuffer* buffer(NSUInteger length, MTLResourceOptions options) {
  if (length == 0) mps_sim::metal_assertion("newBufferWithLength:options:", "Cannot create buffer of zero length.", kDevice);
  if (length > kBufferMax) return nil;
  NSUInteger bytes = simulated::aligned(length);
  if (!simulated::take_memory(bytes)) return nil;
  SimulatedBuffer* made = [[SimulatedBuffer alloc] initWithLength:length options:options];
  made->counted_ = bytes;
  made->memory_ = static_cast<char*>(aligned_alloc(simulated::aligned(1), bytes));
  memset(made->memory_, 0, bytes);
  made->owned_ = YES;
  return made;
}

// As the macro __METAL_VERSION__ has it.
int language_version(MTLCompileOptions* options) {
  NSUInteger version = options == nil ? 0 : options.languageVersion;
  return version == 0 ? kNewestLanguage : static_cast<int>((version >> 16) * 100 + (version & 0xffff) * 10);
}

}  // namespace

@implementation SimulatedDevice

- (BOOL)supportsFamily:(MTLGPUFamily)family {
  switch (family) {
    case MTLGPUFamilyApple7:
    case MTLGPUFamilyApple8:
    case MTLGPUFamilyMac2:
    case MTLGPUFamilyMetal3:
      return YES;
    default:
      return NO;
  }
}

- (id<MTLCommandQueue>)newCommandQueue {
  return [SimulatedCommandQueue new];
}

- (id<MTLCommandQueue>)newCommandQueueWithMaxCommandBufferCount:(NSUInteger)count {
  return [SimulatedCommandQueue new];
}

- (id<MTLSharedEvent>)newSharedEvent {
  return [SimulatedSharedEvent new];
}

- (id<MTLBuffer>)newBufferWithLength:(NSUInteger)length options:(MTLResourceOptions)options {
  return buffer(length, options);
}

- (id<MTLBuffer>)newBufferWithBytes:(const void*)bytes length:(NSUInteger)length options:(MTLResourceOptions)options {
  SimulatedBuffer* made = buffer(length, options);
  if (made != nil) memcpy(made->memory_, bytes, length);
  return made;
}

- (id<MTLBuffer>)newBufferWithBytesNoCopy:(void*)bytes
                                   length:(NSUInteger)length
                                  options:(MTLResourceOptions)options
                              deallocator:(void (^)(void*, NSUInteger))deallocator {
  if (reinterpret_cast<uintptr_t>(bytes) % vm_page_size != 0 || length % vm_page_size != 0) {
    NSString* text = [NSString stringWithFormat:@"pointer %p or length %ld is not %ld byte aligned.", bytes, length, vm_page_size];
    mps_sim::metal_assertion("newBufferWithBytesNoCopy:length:options:deallocator:", [text UTF8String], kDevice);
  }
  SimulatedBuffer* made = [[SimulatedBuffer alloc] initWithLength:length options:options];
  made->memory_ = static_cast<char*>(bytes);
  if (deallocator != nil) made->deallocator_ = Block_copy(deallocator);
  return made;
}

- (id<MTLHeap>)newHeapWithDescriptor:(MTLHeapDescriptor*)descriptor {
  if (descriptor.type != MTLHeapTypeAutomatic) mps_sim::not_simulated("a heap whose buffers are placed by hand");
  return simulated::take_memory(descriptor.size) ? [[SimulatedHeap alloc] initWithDescriptor:descriptor] : nil;
}

- (MTLSizeAndAlign)heapBufferSizeAndAlignWithLength:(NSUInteger)length options:(MTLResourceOptions)options {
  return {simulated::aligned(length), simulated::aligned(1)};
}

- (id<MTLResidencySet>)newResidencySetWithDescriptor:(MTLResidencySetDescriptor*)descriptor error:(NSError**)error {
  return simulated_residency_set();
}

- (id<MTLLibrary>)newLibraryWithSource:(NSString*)source options:(MTLCompileOptions*)options error:(NSError**)error {
  metal_shaders::Compiled compiled = metal_shaders::compile([source UTF8String], language_version(options));
  if (compiled.library == nullptr) {
    if (error != nullptr) {
      NSString* text = [NSString stringWithUTF8String:("the simulated Metal's compiler: " + compiled.problem).c_str()];
      *error = [[[NSError alloc] initWithDescription:text code:kCompileFailure] autorelease];
    }
    return nil;
  }
  return [[SimulatedLibrary alloc] initWithParts:{compiled.library}];
}

- (id<MTLLibrary>)newLibraryWithData:(dispatch_data_t)data error:(NSError**)error {
  const void* bytes = nullptr;
  size_t size = 0;
  dispatch_data_t mapped = dispatch_data_create_map(data, &bytes, &size);
  std::string section(static_cast<const char*>(bytes), size);
  dispatch_release(mapped);
  // What a tree finds in its own library (os.cpp): the section's name.
  if (section.rfind("metal_", 0) != 0) mps_sim::not_simulated("a Metal library in Apple's binary form");
  return [[SimulatedLibrary alloc] initWithParts:metal_shaders::bundled(section)];
}

- (id<MTLComputePipelineState>)newComputePipelineStateWithFunction:(id<MTLFunction>)function error:(NSError**)error {
  if (function == nil) mps_sim::metal_assertion("newComputePipelineStateWithFunction:error:", "computeFunction must not be nil.", kDevice);
  SimulatedPipelineState* made = [SimulatedPipelineState alloc];
  made->function_ = [(SimulatedFunction*)function retain];
  return made;
}

// clang-format off
- (NSString*)name { return @"simulated Metal"; }
- (BOOL)hasUnifiedMemory { return YES; }
- (BOOL)isLowPower { return NO; }
- (NSUInteger)recommendedMaxWorkingSetSize { return simulated::options().memory_bytes; }
- (NSUInteger)maxBufferLength { return kBufferMax; }
- (NSUInteger)currentAllocatedSize { return simulated::taken_memory(); }
// clang-format on

@end

@implementation MTLCaptureDescriptor
@synthesize captureObject = _object, destination = _destination, outputURL = _url;
@end

// As on a Mac that does not run under Xcode.
@implementation MTLCaptureManager

+ (MTLCaptureManager*)sharedCaptureManager {
  static MTLCaptureManager* const manager = [MTLCaptureManager new];
  return manager;
}

- (BOOL)supportsDestination:(MTLCaptureDestination)destination {
  return NO;
}

- (BOOL)startCaptureWithDescriptor:(MTLCaptureDescriptor*)descriptor error:(NSError**)error {
  if (error != nullptr) {
    *error = [[[NSError alloc] initWithDescription:@"Capturing is not supported." code:kUnsupported] autorelease];
  }
  return NO;
}

- (BOOL)isCapturing {
  return NO;
}

@end

id<MTLDevice> MTLCreateSystemDefaultDevice(void) {
  static SimulatedDevice* const device = [SimulatedDevice new];
  return [device retain];
}

NSArray<id<MTLDevice>>* MTLCopyAllDevices(void) {
  return [[NSArray arrayWithObject:[MTLCreateSystemDefaultDevice() autorelease]] retain];
}
