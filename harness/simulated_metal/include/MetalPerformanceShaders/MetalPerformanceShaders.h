// The part of MetalPerformanceShaders that PyTorch's MPS backend needs: our own declarations of public names. A method that is
// declared here and has a body nowhere ends the process with its name when it is called.
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
// Dimensions are numbered from the one that moves fastest, which is the last one of a shape.
@interface MPSNDArrayDescriptor : NSObject {
 @public
  void* layout_;
  BOOL _packed;
}
@property BOOL preferPackedRows;
@property(readonly) MPSDataType dataType;
@property(readonly) NSUInteger numberOfDimensions;
+ (instancetype)descriptorWithDataType:(MPSDataType)dataType shape:(MPSShape*)shape;
- (void)transposeDimension:(NSUInteger)one withDimension:(NSUInteger)other;
- (void)sliceDimension:(NSUInteger)dimension withSubrange:(NSRange)range;
@end
@interface MPSNDArray : NSObject {
 @public
  void* array_;
}
- (instancetype)initWithDevice:(id<MTLDevice>)device descriptor:(MPSNDArrayDescriptor*)descriptor;
- (instancetype)initWithBuffer:(id<MTLBuffer>)buffer offset:(NSUInteger)offset descriptor:(MPSNDArrayDescriptor*)descriptor;
- (MPSNDArray*)arrayViewWithShape:(MPSShape*)shape strides:(MPSShape*)strides;
- (MPSNDArrayDescriptor*)descriptor;
- (MPSNDArray*)arrayViewWithCommandBuffer:(id<MTLCommandBuffer>)buffer
                               descriptor:(MPSNDArrayDescriptor*)descriptor
                                 aliasing:(MPSAliasingStrategy)aliasing;
- (void)writeBytes:(const void*)bytes strideBytes:(NSInteger*)strides;
- (NSUInteger)lengthOfDimension:(NSUInteger)dimension;
@property(readonly) NSUInteger numberOfDimensions;
@property(readonly) MPSDataType dataType;
@end
@interface MPSNDArrayMultiaryKernel : MPSKernel
- (instancetype)initWithDevice:(id<MTLDevice>)device sourceCount:(NSUInteger)count;
@end
@interface MPSNDArrayUnaryKernel : MPSNDArrayMultiaryKernel
@end
@interface MPSNDArrayIdentity : MPSNDArrayUnaryKernel
- (MPSNDArray*)reshapeWithCommandBuffer:(id<MTLCommandBuffer>)buffer
                            sourceArray:(MPSNDArray*)source
                                  shape:(MPSShape*)shape
                       destinationArray:(MPSNDArray*)destination;
@end
@interface MPSNDArrayMatrixMultiplication : MPSNDArrayMultiaryKernel
- (void)encodeToCommandEncoder:(id<MTLComputeCommandEncoder>)encoder
                 commandBuffer:(id<MTLCommandBuffer>)buffer
                  sourceArrays:(NSArray<MPSNDArray*>*)sources
              destinationArray:(MPSNDArray*)destination;
@end
@interface MPSMatrixDescriptor : NSObject {
 @public
  NSUInteger rows_, columns_, matrices_, rowBytes_, matrixBytes_;
  MPSDataType type_;
}
+ (instancetype)matrixDescriptorWithRows:(NSUInteger)rows
                                 columns:(NSUInteger)columns
                                matrices:(NSUInteger)matrices
                                rowBytes:(NSUInteger)rowBytes
                             matrixBytes:(NSUInteger)matrixBytes
                                dataType:(MPSDataType)dataType;
@end
@interface MPSMatrix : NSObject {
 @public
  id<MTLBuffer> buffer_;
  NSUInteger offset_;
  MPSMatrixDescriptor* descriptor_;
}
- (instancetype)initWithBuffer:(id<MTLBuffer>)buffer offset:(NSUInteger)offset descriptor:(MPSMatrixDescriptor*)descriptor;
@end
@interface MPSMatrixDecompositionLU : MPSKernel
- (instancetype)initWithDevice:(id<MTLDevice>)device rows:(NSUInteger)rows columns:(NSUInteger)columns;
- (void)encodeToCommandBuffer:(id<MTLCommandBuffer>)buffer
                 sourceMatrix:(MPSMatrix*)source
                 resultMatrix:(MPSMatrix*)result
                 pivotIndices:(MPSMatrix*)pivots
                       status:(id<MTLBuffer>)status;
@end
@interface MPSMatrixSolveTriangular : MPSKernel {
 @public
  BOOL right_, upper_, transpose_, unit_;
  double alpha_;
}
- (instancetype)initWithDevice:(id<MTLDevice>)device
                         right:(BOOL)right
                         upper:(BOOL)upper
                     transpose:(BOOL)transpose
                          unit:(BOOL)unit
                         order:(NSUInteger)order
        numberOfRightHandSides:(NSUInteger)count
                         alpha:(double)alpha;
- (void)encodeToCommandBuffer:(id<MTLCommandBuffer>)buffer
                 sourceMatrix:(MPSMatrix*)source
          rightHandSideMatrix:(MPSMatrix*)right
               solutionMatrix:(MPSMatrix*)solution;
@end
