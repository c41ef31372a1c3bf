// The part of MPSGraph that PyTorch's MPS backend needs: our own declarations of public names. A method that is declared here
// and has a body nowhere ends the process with its name when it is called.
#pragma once
#include <MetalPerformanceShaders/MetalPerformanceShaders.h>
typedef NS_ENUM(uint64_t, MPSGraphOptimization) { MPSGraphOptimizationLevel0 = 0, MPSGraphOptimizationLevel1 = 1 };
@interface MPSGraphObject : NSObject
@end
@interface MPSGraphOperation : MPSGraphObject
@end
@interface MPSGraphTensor : MPSGraphObject <NSCopying> {
 @public
  int kind_;
  MPSDataType type_;
  double scalar_;
  MPSShape* shape_;
  MPSGraphTensor* from_;
}
@property(readonly) MPSShape* shape;
@property(readonly) MPSDataType dataType;
@end
@interface MPSGraphTensorData : MPSGraphObject {
 @public
  MPSNDArray* array_;
}
- (instancetype)initWithMTLBuffer:(id<MTLBuffer>)buffer shape:(MPSShape*)shape dataType:(MPSDataType)dataType;
- (instancetype)initWithMPSNDArray:(MPSNDArray*)array;
- (MPSNDArray*)mpsndarray;
@property(readonly) MPSShape* shape;
@property(readonly) MPSDataType dataType;
@end
@interface MPSGraphCompilationDescriptor : MPSGraphObject {
  MPSGraphOptimization _level;
}
@property MPSGraphOptimization optimizationLevel;
@end
@interface MPSGraphExecutionDescriptor : MPSGraphObject {
  MPSGraphCompilationDescriptor* _compilation;
  BOOL _continues;
}
@property(retain) MPSGraphCompilationDescriptor* compilationDescriptor;
@end
#include <MetalPerformanceShadersGraph/descriptors.h>
@interface MPSGraph : MPSGraphObject {
  NSMutableArray<MPSGraphTensor*>* tensors_;
}
- (MPSGraphTensor*)placeholderWithShape:(MPSShape*)shape dataType:(MPSDataType)dataType name:(NSString*)name;
- (MPSGraphTensor*)constantWithScalar:(double)scalar shape:(MPSShape*)shape dataType:(MPSDataType)dataType;
- (MPSGraphTensor*)constantWithScalar:(double)scalar dataType:(MPSDataType)dataType;
- (MPSGraphTensor*)castTensor:(MPSGraphTensor*)tensor toType:(MPSDataType)type name:(NSString*)name;
- (MPSGraphTensor*)conjugateWithTensor:(MPSGraphTensor*)tensor name:(NSString*)name;
- (MPSGraphTensor*)identityWithTensor:(MPSGraphTensor*)tensor name:(NSString*)name;
- (MPSGraphTensor*)cumulativeSumWithTensor:(MPSGraphTensor*)tensor axis:(NSInteger)axis name:(NSString*)name;
- (MPSGraphTensor*)transposeTensor:(MPSGraphTensor*)tensor
                         dimension:(NSUInteger)one
                     withDimension:(NSUInteger)other
                              name:(NSString*)name;
- (void)encodeToCommandBuffer:(MPSCommandBuffer*)buffer
                        feeds:(NSDictionary*)feeds
             targetOperations:(NSArray<MPSGraphOperation*>*)operations
            resultsDictionary:(NSDictionary*)results
          executionDescriptor:(MPSGraphExecutionDescriptor*)descriptor;
@end
#include <MetalPerformanceShadersGraph/images.h>
#include <MetalPerformanceShadersGraph/operations.h>
