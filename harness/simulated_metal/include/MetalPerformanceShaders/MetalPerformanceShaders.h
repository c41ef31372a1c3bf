// The part of MetalPerformanceShaders that PyTorch's MPS core needs: our own declarations of public names. A method that is
// declared here and has no body in mps.mm ends the process with its name when it is called.
#pragma once
#include <Metal/Metal.h>
typedef NS_ENUM(uint32_t, MPSDataType) {
  MPSDataTypeInvalid = 0,
  MPSDataTypeFloatBit = 0x10000000,
  MPSDataTypeFloat32 = MPSDataTypeFloatBit | 32,
  MPSDataTypeFloat16 = MPSDataTypeFloatBit | 16,
  MPSDataTypeComplexBit = 0x01000000,
  MPSDataTypeComplexFloat32 = MPSDataTypeFloatBit | MPSDataTypeComplexBit | 64,
  MPSDataTypeComplexFloat16 = MPSDataTypeFloatBit | MPSDataTypeComplexBit | 32,
  MPSDataTypeSignedBit = 0x20000000,
  MPSDataTypeInt8 = MPSDataTypeSignedBit | 8,
  MPSDataTypeInt16 = MPSDataTypeSignedBit | 16,
  MPSDataTypeInt32 = MPSDataTypeSignedBit | 32,
  MPSDataTypeInt64 = MPSDataTypeSignedBit | 64,
  MPSDataTypeUInt8 = 8,
  MPSDataTypeUInt16 = 16,
  MPSDataTypeUInt32 = 32,
  MPSDataTypeUInt64 = 64,
  MPSDataTypeAlternateEncodingBit = 0x80000000,
  MPSDataTypeBFloat16 = MPSDataTypeAlternateEncodingBit | MPSDataTypeFloat16,
  MPSDataTypeBool = MPSDataTypeAlternateEncodingBit | 8,
};
typedef NSArray<NSNumber*> MPSShape;
typedef NS_ENUM(NSUInteger, MPSAliasingStrategy) { MPSAliasingStrategyDefault = 0, MPSAliasingStrategyShallAlias = 1 };

@interface MPSCommandBuffer : NSObject <MTLCommandBuffer> {
  id<MTLCommandBuffer> root_;
}
+ (instancetype)commandBufferFromCommandQueue:(id<MTLCommandQueue>)queue;
+ (instancetype)commandBufferWithCommandBuffer:(id<MTLCommandBuffer>)buffer;
- (void)commitAndContinue;
@property(readonly) id<MTLCommandBuffer> rootCommandBuffer;
@end
@interface MPSKernel : NSObject
- (instancetype)initWithDevice:(id<MTLDevice>)device;
@end
@interface MPSNDArrayDescriptor : NSObject {
  BOOL _packed;
}
@property BOOL preferPackedRows;
+ (instancetype)descriptorWithDataType:(MPSDataType)dataType shape:(MPSShape*)shape;
- (void)transposeDimension:(NSUInteger)one withDimension:(NSUInteger)other;
- (void)sliceDimension:(NSUInteger)dimension withSubrange:(NSRange)range;
@end
@interface MPSNDArray : NSObject
- (instancetype)initWithDevice:(id<MTLDevice>)device descriptor:(MPSNDArrayDescriptor*)descriptor;
- (instancetype)initWithBuffer:(id<MTLBuffer>)buffer offset:(NSUInteger)offset descriptor:(MPSNDArrayDescriptor*)descriptor;
- (MPSNDArray*)arrayViewWithShape:(MPSShape*)shape strides:(MPSShape*)strides;
- (MPSNDArrayDescriptor*)descriptor;
- (MPSNDArray*)arrayViewWithCommandBuffer:(id<MTLCommandBuffer>)buffer
                               descriptor:(MPSNDArrayDescriptor*)descriptor
                                 aliasing:(MPSAliasingStrategy)aliasing;
- (void)writeBytes:(const void*)bytes strideBytes:(NSInteger*)strides;
@property(readonly) NSUInteger numberOfDimensions;
@property(readonly) MPSDataType dataType;
@end
@interface MPSNDArrayMultiaryKernel : MPSKernel
@end
@interface MPSNDArrayUnaryKernel : MPSNDArrayMultiaryKernel
@end
@interface MPSNDArrayIdentity : MPSNDArrayUnaryKernel
- (MPSNDArray*)reshapeWithCommandBuffer:(id<MTLCommandBuffer>)buffer
                            sourceArray:(MPSNDArray*)source
                                  shape:(MPSShape*)shape
                       destinationArray:(MPSNDArray*)destination;
@end
