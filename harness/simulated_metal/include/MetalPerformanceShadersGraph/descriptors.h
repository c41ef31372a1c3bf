// What describes MPSGraph's operations on images, random numbers, Fourier transforms and LSTMs: our own declarations of public
// names, with Apple's numbers.
#pragma once

typedef NS_ENUM(NSUInteger, MPSGraphTensorNamedDataLayout) {
  MPSGraphTensorNamedDataLayoutNCHW = 0,
  MPSGraphTensorNamedDataLayoutNHWC = 1,
  MPSGraphTensorNamedDataLayoutOIHW = 2,
  MPSGraphTensorNamedDataLayoutHWIO = 3,
  MPSGraphTensorNamedDataLayoutCHW = 4,
  MPSGraphTensorNamedDataLayoutHWC = 5,
  MPSGraphTensorNamedDataLayoutHW = 6,
  MPSGraphTensorNamedDataLayoutNCDHW = 7,
  MPSGraphTensorNamedDataLayoutNDHWC = 8,
  MPSGraphTensorNamedDataLayoutOIDHW = 9,
  MPSGraphTensorNamedDataLayoutDHWIO = 10,
};
typedef NS_ENUM(NSUInteger, MPSGraphPaddingStyle) { MPSGraphPaddingStyleExplicit = 0 };
typedef NS_ENUM(NSInteger, MPSGraphPaddingMode) {
  MPSGraphPaddingModeConstant = 0,
  MPSGraphPaddingModeReflect = 1,
  MPSGraphPaddingModeSymmetric = 2,
  MPSGraphPaddingModeClampToEdge = 3,
  MPSGraphPaddingModeZero = 4,
};
typedef NS_ENUM(NSUInteger, MPSGraphResizeMode) { MPSGraphResizeNearest = 0, MPSGraphResizeBilinear = 1 };
typedef NS_ENUM(NSUInteger, MPSGraphResizeNearestRoundingMode) {
  MPSGraphResizeNearestRoundingModeRoundPreferCeil = 0,
  MPSGraphResizeNearestRoundingModeRoundPreferFloor = 1,
  MPSGraphResizeNearestRoundingModeCeil = 2,
  MPSGraphResizeNearestRoundingModeFloor = 3,
  MPSGraphResizeNearestRoundingModeRoundToEven = 4,
  MPSGraphResizeNearestRoundingModeRoundToOdd = 5,
};
typedef NS_ENUM(NSUInteger, MPSGraphPoolingReturnIndicesMode) {
  MPSGraphPoolingReturnIndicesNone = 0,
  MPSGraphPoolingReturnIndicesGlobalFlatten2D = 2,
};
typedef NS_ENUM(uint64_t, MPSGraphRandomDistribution) {
  MPSGraphRandomDistributionUniform = 0,
  MPSGraphRandomDistributionNormal = 1,
};
typedef NS_ENUM(NSUInteger, MPSGraphFFTScalingMode) {
  MPSGraphFFTScalingModeNone = 0,
  MPSGraphFFTScalingModeSize = 1,
  MPSGraphFFTScalingModeUnitary = 2,
};

@interface MPSGraphPooling2DOpDescriptor : MPSGraphObject {
 @public
  NSUInteger kernelWidth, kernelHeight, strideInX, strideInY, dilationRateInX, dilationRateInY;
  NSUInteger paddingLeft, paddingRight, paddingTop, paddingBottom;
  MPSGraphTensorNamedDataLayout dataLayout;
  BOOL ceilMode, includeZeroPadToAverage;
  MPSGraphPoolingReturnIndicesMode returnIndicesMode;
  MPSDataType returnIndicesDataType;
}
+ (instancetype)descriptorWithKernelWidth:(NSUInteger)kernelWidth
                             kernelHeight:(NSUInteger)kernelHeight
                                strideInX:(NSUInteger)strideInX
                                strideInY:(NSUInteger)strideInY
                          dilationRateInX:(NSUInteger)dilationRateInX
                          dilationRateInY:(NSUInteger)dilationRateInY
                              paddingLeft:(NSUInteger)left
                             paddingRight:(NSUInteger)right
                               paddingTop:(NSUInteger)top
                            paddingBottom:(NSUInteger)bottom
                             paddingStyle:(MPSGraphPaddingStyle)style
                               dataLayout:(MPSGraphTensorNamedDataLayout)layout;
@property BOOL ceilMode, includeZeroPadToAverage;
@property MPSGraphPoolingReturnIndicesMode returnIndicesMode;
@property MPSDataType returnIndicesDataType;
@end

@interface MPSGraphConvolution2DOpDescriptor : MPSGraphObject {
 @public
  NSUInteger strideInX, strideInY, dilationRateInX, dilationRateInY, groups;
  NSUInteger paddingLeft, paddingRight, paddingTop, paddingBottom;
  MPSGraphPaddingStyle paddingStyle;
  MPSGraphTensorNamedDataLayout dataLayout, weightsLayout;
}
@property NSUInteger strideInX, strideInY, dilationRateInX, dilationRateInY, groups;
@property NSUInteger paddingLeft, paddingRight, paddingTop, paddingBottom;
@property MPSGraphPaddingStyle paddingStyle;
@property MPSGraphTensorNamedDataLayout dataLayout, weightsLayout;
@end

@interface MPSGraphConvolution3DOpDescriptor : MPSGraphObject {
 @public
  NSUInteger strideInX, strideInY, strideInZ, dilationRateInX, dilationRateInY, dilationRateInZ, groups;
  NSUInteger paddingLeft, paddingRight, paddingTop, paddingBottom, paddingFront, paddingBack;
  MPSGraphPaddingStyle paddingStyle;
  MPSGraphTensorNamedDataLayout dataLayout, weightsLayout;
}
@property NSUInteger strideInX, strideInY, strideInZ, dilationRateInX, dilationRateInY, dilationRateInZ, groups;
@property NSUInteger paddingLeft, paddingRight, paddingTop, paddingBottom, paddingFront, paddingBack;
@property MPSGraphPaddingStyle paddingStyle;
@property MPSGraphTensorNamedDataLayout dataLayout, weightsLayout;
@end

@interface MPSGraphDepthwiseConvolution3DOpDescriptor : MPSGraphObject {
 @public
  NSArray<NSNumber*>*strides, *dilationRates, *paddingValues;
  MPSGraphPaddingStyle paddingStyle;
  NSInteger channelDimensionIndex;
}
@property(copy) NSArray<NSNumber*>*strides, *dilationRates, *paddingValues;
@property MPSGraphPaddingStyle paddingStyle;
@property NSInteger channelDimensionIndex;
@end

@interface MPSGraphRandomOpDescriptor : MPSGraphObject {
 @public
  MPSGraphRandomDistribution distribution;
  MPSDataType dataType;
  float min, max, mean, standardDeviation;
  NSInteger minInteger, maxInteger;
}
+ (instancetype)descriptorWithDistribution:(MPSGraphRandomDistribution)distribution dataType:(MPSDataType)dataType;
@property float min, max, mean, standardDeviation;
@property NSInteger minInteger, maxInteger;
@end

@interface MPSGraphFFTDescriptor : MPSGraphObject {
 @public
  BOOL inverse, roundToOddHermitean;
  MPSGraphFFTScalingMode scalingMode;
}
+ (instancetype)descriptor;
@property BOOL inverse, roundToOddHermitean;
@property MPSGraphFFTScalingMode scalingMode;
@end
