// Declarations for `make check-macos` alone: see Foundation/Foundation.h beside it.
#pragma once

#include <Metal/Metal.h>

// The numbers are those of the public header: a type's width, and a flag for its kind.
typedef enum MPSDataType : uint32_t {
  MPSDataTypeInvalid = 0,
  MPSDataTypeUInt8 = 8,
} MPSDataType;

typedef NSArray<NSNumber*> MPSShape;

@interface MPSKernel : NSObject
@end

@interface MPSNDArray : NSObject
@end

@interface MPSNDArrayDescriptor : NSObject
@end

@interface MPSCommandBuffer : NSObject <MTLCommandBuffer>
@end
