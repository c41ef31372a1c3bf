// MPSGraph's pooling in two dimensions: each side is padded by itself, which torch's functions cannot, so values are padded first.
#include <limits>
#include <utility>

#include "graph.h"
#include "runtime/assertions.h"

using namespace mps_graph;

@implementation MPSGraphPooling2DOpDescriptor
@synthesize ceilMode, includeZeroPadToAverage, returnIndicesMode, returnIndicesDataType;

+ (instancetype)descriptorWithKernelWidth:(NSUInteger)width
                             kernelHeight:(NSUInteger)height
                                strideInX:(NSUInteger)strideX
                                strideInY:(NSUInteger)strideY
                          dilationRateInX:(NSUInteger)dilationX
                          dilationRateInY:(NSUInteger)dilationY
                              paddingLeft:(NSUInteger)left
                             paddingRight:(NSUInteger)right
                               paddingTop:(NSUInteger)top
                            paddingBottom:(NSUInteger)bottom
                             paddingStyle:(MPSGraphPaddingStyle)style
                               dataLayout:(MPSGraphTensorNamedDataLayout)layout {
  if (style != MPSGraphPaddingStyleExplicit) mps_sim::not_simulated("a padding style of an MPSGraph pooling");
  MPSGraphPooling2DOpDescriptor* made = [[MPSGraphPooling2DOpDescriptor new] autorelease];
  made->kernelWidth = width;
  made->kernelHeight = height;
  made->strideInX = strideX;
  made->strideInY = strideY;
  made->dilationRateInX = dilationX;
  made->dilationRateInY = dilationY;
  made->paddingLeft = left;
  made->paddingRight = right;
  made->paddingTop = top;
  made->paddingBottom = bottom;
  made->dataLayout = layout;
  return made;
}
@end

namespace {

using Numbers = std::vector<int64_t>;

// A pooling without Objective-C. Sizes are height, then width.
struct Pooling {
  Numbers kernel, stride, dilation, before, after;
  bool is_ceiled, counts_padding, is_channels_last;

  explicit Pooling(const MPSGraphPooling2DOpDescriptor* of)
      : kernel(pair(of->kernelHeight, of->kernelWidth)),
        stride(pair(of->strideInY, of->strideInX)),
        dilation(pair(of->dilationRateInY, of->dilationRateInX)),
        before(pair(of->paddingTop, of->paddingLeft)),
        after(pair(of->paddingBottom, of->paddingRight)),
        is_ceiled(of->ceilMode),
        counts_padding(of->includeZeroPadToAverage),
        is_channels_last(of->dataLayout == MPSGraphTensorNamedDataLayoutNHWC) {}

  static Numbers pair(NSUInteger height, NSUInteger width) { return {static_cast<int64_t>(height), static_cast<int64_t>(width)}; }

  at::Tensor planes(const at::Tensor& tensor) const { return is_channels_last ? tensor.permute({0, 3, 1, 2}).contiguous() : tensor; }
  at::Tensor as_given(const at::Tensor& planes) const { return is_channels_last ? planes.permute({0, 2, 3, 1}) : planes; }

  at::Tensor padded(const at::Tensor& planes, const at::Scalar& value) const {
    return at::constant_pad_nd(planes, {before[1], after[1], before[0], after[0]}, value);
  }
  // Padded with less than any value, so that what lies in the padding is never the largest: whole numbers become wider ones.
  at::Tensor padded_below(const at::Tensor& planes) const {
    if (c10::isFloatingType(planes.scalar_type())) return padded(planes, -std::numeric_limits<double>::infinity());
    return padded(planes.to(c10::kLong), std::numeric_limits<int64_t>::min());
  }
  at::Tensor cropped(const at::Tensor& padded, const at::Tensor& like) const {
    return padded.narrow(-2, before[0], like.size(-2)).narrow(-1, before[1], like.size(-1));
  }

  // The largest values, and where each was: counted in its padded plane.
  std::tuple<at::Tensor, at::Tensor> largest(const at::Tensor& padded) const {
    return at::max_pool2d_with_indices(padded, kernel, stride, {0, 0}, dilation, is_ceiled);
  }
  at::Tensor sums(const at::Tensor& padded) const {
    return at::avg_pool2d(padded, kernel, stride, {0, 0}, is_ceiled, /*count_include_pad=*/false, /*divisor_override=*/1);
  }
  // By what a sum is divided: all of the window, or what of it lies on values.
  at::Tensor counts(const at::Tensor& planes) const {
    const auto options = planes.options().dtype(c10::kFloat);
    if (counts_padding) return at::full({}, kernel[0] * kernel[1], options);
    const at::Tensor ones = at::ones({1, planes.size(-2), planes.size(-1)}, options);
    return sums(padded(ones, 0)).clamp_min(1);
  }
};

at::Tensor divided(const at::Tensor& sums, const at::Tensor& counts) {
  if (!c10::isIntegralType(sums.scalar_type(), true)) return (sums / counts).to(sums.scalar_type());
  return at::div(sums, counts.to(c10::kLong), "trunc").to(sums.scalar_type());
}

at::Tensor as_plane_positions(const at::Tensor& indices, const Pooling& pooling, const at::Tensor& padded, const at::Tensor& planes) {
  const int64_t padded_width = padded.size(-1);
  const at::Tensor row = at::div(indices, padded_width, "floor") - pooling.before[0];
  return row * planes.size(-1) + indices.remainder(padded_width) - pooling.before[1];
}

}  // namespace

@implementation MPSGraph (InterpretedPooling)

- (MPSGraphTensor*)maxPooling2DWithSourceTensor:(MPSGraphTensor*)source
                                     descriptor:(MPSGraphPooling2DOpDescriptor*)descriptor
                                           name:(NSString*)label {
  return add(self, "maxPooling2D", {source}, [p = Pooling(descriptor)](const Values& v) {
    return p.as_given(std::get<0>(p.largest(p.padded_below(p.planes(v[0]))))).to(v[0].scalar_type());
  });
}

- (NSArray<MPSGraphTensor*>*)maxPooling2DReturnIndicesWithSourceTensor:(MPSGraphTensor*)source
                                                            descriptor:(MPSGraphPooling2DOpDescriptor*)descriptor
                                                                  name:(NSString*)label {
  if (descriptor->returnIndicesMode != MPSGraphPoolingReturnIndicesGlobalFlatten2D) {
    mps_sim::not_simulated("mode " + std::to_string(descriptor->returnIndicesMode) + " of an MPSGraph pooling's indices");
  }
  const c10::ScalarType type = type_of(descriptor->returnIndicesDataType);
  return add_several(self, "maxPooling2DReturnIndices", {source}, [p = Pooling(descriptor), type](const Values& v) {
    const at::Tensor planes = p.planes(v[0]), padded = p.padded_below(planes);
    const auto [values, indices] = p.largest(padded);
    return Values{p.as_given(values).to(v[0].scalar_type()), p.as_given(as_plane_positions(indices, p, padded, planes).to(type))};
  }, {output_of(source).type(), type});
}

- (MPSGraphTensor*)maxPooling2DGradientWithGradientTensor:(MPSGraphTensor*)gradient
                                             sourceTensor:(MPSGraphTensor*)source
                                               descriptor:(MPSGraphPooling2DOpDescriptor*)descriptor
                                                     name:(NSString*)label {
  return add(self, "maxPooling2DGradient", {gradient, source}, [p = Pooling(descriptor)](const Values& v) {
    const at::Tensor planes = p.planes(v[1]), padded = p.padded_below(planes);
    const at::Tensor indices = std::get<1>(p.largest(padded));
    const at::Tensor whole = at::max_pool2d_with_indices_backward(p.planes(v[0]).contiguous(), padded, p.kernel, p.stride, {0, 0},
                                                                  p.dilation, p.is_ceiled, indices);
    return p.as_given(p.cropped(whole, planes));
  }, output_of(source).type());
}

- (MPSGraphTensor*)avgPooling2DWithSourceTensor:(MPSGraphTensor*)source
                                     descriptor:(MPSGraphPooling2DOpDescriptor*)descriptor
                                           name:(NSString*)label {
  return add(self, "avgPooling2D", {source}, [p = Pooling(descriptor)](const Values& v) {
    const at::Tensor planes = p.planes(v[0]);
    return p.as_given(divided(p.sums(p.padded(planes, 0)), p.counts(planes)));
  });
}

- (MPSGraphTensor*)avgPooling2DGradientWithGradientTensor:(MPSGraphTensor*)gradient
                                             sourceTensor:(MPSGraphTensor*)source
                                               descriptor:(MPSGraphPooling2DOpDescriptor*)descriptor
                                                     name:(NSString*)label {
  return add(self, "avgPooling2DGradient", {gradient, source}, [p = Pooling(descriptor)](const Values& v) {
    const at::Tensor planes = p.planes(v[1]);
    const at::Tensor shares = divided(p.planes(v[0]), p.counts(planes)).contiguous();
    const at::Tensor whole = at::avg_pool2d_backward(shares, p.padded(planes, 0), p.kernel, p.stride, {0, 0}, p.is_ceiled,
                                                     /*count_include_pad=*/false, /*divisor_override=*/1);
    return p.as_given(p.cropped(whole, planes));
  }, output_of(source).type());
}

@end
