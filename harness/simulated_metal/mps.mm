// MetalPerformanceShaders: the command buffer that PyTorch encodes to, and descriptors. What has no body here ends the process
// with its name when it is called.
#include <MetalPerformanceShaders/MetalPerformanceShaders.h>

// One after another of Metal's own command buffers is behind it. As Metal's, it is for one thread at a time.
@implementation MPSCommandBuffer

+ (instancetype)commandBufferFromCommandQueue:(id<MTLCommandQueue>)queue {
  return [self commandBufferWithCommandBuffer:[queue commandBuffer]];
}

+ (instancetype)commandBufferWithCommandBuffer:(id<MTLCommandBuffer>)buffer {
  MPSCommandBuffer* made = [[MPSCommandBuffer alloc] autorelease];
  made->root_ = [(id)buffer retain];
  return made;
}

- (void)dealloc {
  [(id)root_ release];
  [super dealloc];
}

- (void)commitAndContinue {
  id<MTLCommandBuffer> committed = root_;
  [committed commit];
  root_ = [[[committed commandQueue] commandBuffer] retain];
  [(id)committed release];
}

// clang-format off
- (id<MTLCommandBuffer>)rootCommandBuffer { return root_; }
- (id<MTLBlitCommandEncoder>)blitCommandEncoder { return [root_ blitCommandEncoder]; }
- (id<MTLComputeCommandEncoder>)computeCommandEncoder { return [root_ computeCommandEncoder]; }
- (id<MTLComputeCommandEncoder>)computeCommandEncoderWithDispatchType:(MTLDispatchType)type { return [root_ computeCommandEncoderWithDispatchType:type]; }
- (void)addScheduledHandler:(MTLCommandBufferHandler)handler { [root_ addScheduledHandler:handler]; }
- (void)addCompletedHandler:(MTLCommandBufferHandler)handler { [root_ addCompletedHandler:handler]; }
- (void)encodeSignalEvent:(id<MTLEvent>)event value:(uint64_t)value { [root_ encodeSignalEvent:event value:value]; }
- (void)encodeWaitForEvent:(id<MTLEvent>)event value:(uint64_t)value { [root_ encodeWaitForEvent:event value:value]; }
- (void)commit { [root_ commit]; }
- (void)waitUntilScheduled { [root_ waitUntilScheduled]; }
- (void)waitUntilCompleted { [root_ waitUntilCompleted]; }
- (MTLCommandBufferStatus)status { return root_.status; }
- (BOOL)retainedReferences { return root_.retainedReferences; }
- (id<MTLCommandQueue>)commandQueue { return root_.commandQueue; }
- (id<MTLDevice>)device { return root_.device; }
- (NSError*)error { return root_.error; }
- (CFTimeInterval)GPUStartTime { return root_.GPUStartTime; }
- (CFTimeInterval)GPUEndTime { return root_.GPUEndTime; }
- (CFTimeInterval)kernelStartTime { return root_.kernelStartTime; }
- (CFTimeInterval)kernelEndTime { return root_.kernelEndTime; }
- (NSString*)label { return root_.label; }
- (void)setLabel:(NSString*)label { root_.label = label; }
// clang-format on

@end

@implementation MPSKernel
- (instancetype)initWithDevice:(id<MTLDevice>)device {
  return self;
}
@end

@implementation MPSNDArrayMultiaryKernel
- (instancetype)initWithDevice:(id<MTLDevice>)device sourceCount:(NSUInteger)count {
  return [self initWithDevice:device];
}
@end

@implementation MPSNDArrayUnaryKernel
@end

@implementation MPSNDArrayMatrixMultiplication
@end

@implementation MPSMatrixDescriptor
@end

@implementation MPSMatrix
@end

@implementation MPSMatrixDecompositionLU
@end

@implementation MPSMatrixSolveTriangular
@end
