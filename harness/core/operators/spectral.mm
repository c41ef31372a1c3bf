// MPSGraph's Fourier transforms.
#include <utility>

#include "graph.h"

using namespace mps_graph;

@implementation MPSGraphFFTDescriptor
@synthesize inverse, roundToOddHermitean, scalingMode;

+ (instancetype)descriptor {
  return [[MPSGraphFFTDescriptor new] autorelease];
}
@end

namespace {

using Axes = std::vector<int64_t>;
enum : int64_t { kNotScaled = 0, kByRoot = 1, kByCount = 2 };  // As torch's kernels number them.

int64_t scaling_of(const MPSGraphFFTDescriptor* descriptor) {
  switch (descriptor->scalingMode) {
    case MPSGraphFFTScalingModeSize: return kByCount;
    case MPSGraphFFTScalingModeUnitary: return kByRoot;
    default: return kNotScaled;
  }
}

// torch has no kernels for halves, not for shapes either.
at::Tensor widened(const at::Tensor& values) {
  if (values.scalar_type() == c10::kHalf) return values.to(c10::kFloat);
  return values.scalar_type() == c10::kComplexHalf ? values.to(c10::kComplexFloat) : values;
}

c10::ScalarType complex_of(MPSGraphTensor* tensor) { return c10::toComplexType(output_of(tensor).type()); }

}  // namespace

@implementation MPSGraph (InterpretedFourierTransforms)

- (MPSGraphTensor*)fastFourierTransformWithTensor:(MPSGraphTensor*)tensor
                                             axes:(NSArray<NSNumber*>*)axes
                                       descriptor:(MPSGraphFFTDescriptor*)descriptor
                                             name:(NSString*)label {
  const bool is_forward = !descriptor->inverse;
  const c10::ScalarType type = complex_of(tensor);
  return add(self, "fastFourierTransform", {tensor}, [=, scaling = scaling_of(descriptor), d = axes_of(axes)](const Values& v) {
    return at::_fft_c2c(widened(v[0]), d, scaling, is_forward).to(type);
  }, type);
}

- (MPSGraphTensor*)realToHermiteanFFTWithTensor:(MPSGraphTensor*)tensor
                                           axes:(NSArray<NSNumber*>*)axes
                                     descriptor:(MPSGraphFFTDescriptor*)descriptor
                                           name:(NSString*)label {
  const c10::ScalarType type = complex_of(tensor);
  return add(self, "realToHermiteanFFT", {tensor}, [=, scaling = scaling_of(descriptor), d = axes_of(axes)](const Values& v) {
    return at::_fft_r2c(widened(v[0]), d, scaling, /*onesided=*/true).to(type);
  }, type);
}

- (MPSGraphTensor*)HermiteanToRealFFTWithTensor:(MPSGraphTensor*)tensor
                                           axes:(NSArray<NSNumber*>*)axes
                                     descriptor:(MPSGraphFFTDescriptor*)descriptor
                                           name:(NSString*)label {
  const int64_t odd = descriptor->roundToOddHermitean ? 1 : 0;
  const c10::ScalarType type = c10::toRealValueType(output_of(tensor).type());
  return add(self, "HermiteanToRealFFT", {tensor}, [=, scaling = scaling_of(descriptor), d = axes_of(axes)](const Values& v) {
    const int64_t size = 2 * (v[0].size(d.back()) - 1) + odd;
    return at::_fft_c2r(widened(v[0]), d, scaling, size).to(type);
  }, type);
}

@end
