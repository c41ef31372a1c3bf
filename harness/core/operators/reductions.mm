// MPSGraph's reductions, which keep a dimension of one element for each that they reduce, and normalisations.
#include <limits>
#include <numeric>
#include <utility>

#include "graph.h"

using namespace mps_graph;

namespace {

using Axes = std::vector<int64_t>;
using Reduce = at::Tensor (*)(const at::Tensor&, c10::IntArrayRef);

Axes all_axes(const at::Tensor& tensor) {
  Axes axes(static_cast<size_t>(tensor.dim()));
  std::iota(axes.begin(), axes.end(), 0);
  return axes;
}

// torch takes no axes for all of them.
at::Tensor reduced(const at::Tensor& tensor, const Axes& axes, Reduce function) {
  return axes.empty() ? function(tensor.unsqueeze(-1), {-1}).squeeze(-1) : function(tensor, axes);
}

MPSGraphTensor* reduction(MPSGraph* graph, const char* name, MPSGraphTensor* tensor, std::optional<Axes> axes, Reduce function) {
  return add(graph, name, {tensor}, [axes = std::move(axes), function](const Values& v) {
    const at::Tensor result = reduced(v[0], axes.has_value() ? *axes : all_axes(v[0]), function);
    // PyTorch counts by summing booleans up: the sum of some is a whole number.
    const bool counts = v[0].scalar_type() == c10::kBool && result.scalar_type() == c10::kLong;
    return result.to(counts ? c10::kInt : v[0].scalar_type());
  });
}

std::optional<Axes> given(NSArray<NSNumber*>* axes) {
  if (axes == nil) return std::nullopt;
  return axes_of(axes);
}

at::Tensor product(at::Tensor values, c10::IntArrayRef axes) {
  for (int64_t axis : axes) values = at::prod(values, axis, /*keepdim=*/true);
  return values;
}

// Without those that are no numbers, as the plain maximum of Metal is.
at::Tensor without_nan(const at::Tensor& values, double instead) {
  return values.is_floating_point() ? at::where(at::isnan(values), at::scalar_tensor(instead, values.options()), values) : values;
}

constexpr double kInfinity = std::numeric_limits<double>::infinity();

MPSGraphTensor* index_of(MPSGraph* graph, const char* name, MPSGraphTensor* tensor, NSInteger axis, bool largest) {
  return add(graph, name, {tensor}, [axis, largest](const Values& v) {
    return (largest ? at::argmax(v[0], axis, true) : at::argmin(v[0], axis, true)).to(c10::kInt);
  }, c10::kInt);
}

at::Tensor normalised(const at::Tensor& values, const at::Tensor& mean, const at::Tensor& variance, double epsilon) {
  return (values - mean) * at::rsqrt(variance + epsilon);
}

}  // namespace

#define REDUCTION(operation, expression)                                                                                      \
  -(MPSGraphTensor*)operation##WithTensor : (MPSGraphTensor*)tensor axes : (NSArray<NSNumber*>*)axes name : (NSString*)label { \
    return reduction(self, #operation, tensor, given(axes),                                                                   \
                     [](const at::Tensor& x, c10::IntArrayRef d) -> at::Tensor { return expression; });                       \
  }                                                                                                                           \
  -(MPSGraphTensor*)operation##WithTensor : (MPSGraphTensor*)tensor axis : (NSInteger)axis name : (NSString*)label {           \
    return reduction(self, #operation, tensor, Axes{axis},                                                                    \
                     [](const at::Tensor& x, c10::IntArrayRef d) -> at::Tensor { return expression; });                       \
  }

@implementation MPSGraph (InterpretedReductions)

// clang-format off
REDUCTION(reductionAnd, at::amin(at::ne(x, 0).to(c10::kByte), d, true))
REDUCTION(reductionMaximum, at::amax(without_nan(x, -kInfinity), d, true))
REDUCTION(reductionMaximumPropagateNaN, at::amax(x, d, true))
REDUCTION(reductionMinimum, at::amin(without_nan(x, kInfinity), d, true))
REDUCTION(reductionMinimumPropagateNaN, at::amin(x, d, true))
REDUCTION(reductionOr, at::amax(at::ne(x, 0).to(c10::kByte), d, true))
REDUCTION(reductionProduct, product(x, d))
REDUCTION(reductionSum, at::sum(x, d, true))
// clang-format on

- (MPSGraphTensor*)reductionArgMaximumWithTensor:(MPSGraphTensor*)tensor axis:(NSInteger)axis name:(NSString*)label {
  return index_of(self, "reductionArgMaximum", tensor, axis, true);
}

- (MPSGraphTensor*)reductionArgMinimumWithTensor:(MPSGraphTensor*)tensor axis:(NSInteger)axis name:(NSString*)label {
  return index_of(self, "reductionArgMinimum", tensor, axis, false);
}

- (MPSGraphTensor*)meanOfTensor:(MPSGraphTensor*)tensor axes:(NSArray<NSNumber*>*)axes name:(NSString*)label {
  return reduction(self, "mean", tensor, given(axes), [](const at::Tensor& x, c10::IntArrayRef d) { return at::mean(x, d, true); });
}

- (MPSGraphTensor*)varianceOfTensor:(MPSGraphTensor*)tensor axes:(NSArray<NSNumber*>*)axes name:(NSString*)label {
  return reduction(self, "variance", tensor, given(axes), [](const at::Tensor& x, c10::IntArrayRef d) {
    return at::var(x, d, /*correction=*/std::optional<at::Scalar>(0), /*keepdim=*/true);
  });
}

- (MPSGraphTensor*)softMaxWithTensor:(MPSGraphTensor*)tensor axis:(NSInteger)axis name:(NSString*)label {
  return add(self, "softMax", {tensor}, [axis](const Values& v) { return at::softmax(v[0], axis); });
}

- (MPSGraphTensor*)cumulativeSumWithTensor:(MPSGraphTensor*)tensor axis:(NSInteger)axis name:(NSString*)label {
  return add(self, "cumulativeSum", {tensor}, [axis](const Values& v) { return at::cumsum(v[0], axis, v[0].scalar_type()); });
}

- (MPSGraphTensor*)cumulativeProductWithTensor:(MPSGraphTensor*)tensor axis:(NSInteger)axis name:(NSString*)label {
  return add(self, "cumulativeProduct", {tensor}, [axis](const Values& v) { return at::cumprod(v[0], axis, v[0].scalar_type()); });
}

- (MPSGraphTensor*)normalizationWithTensor:(MPSGraphTensor*)tensor
                                meanTensor:(MPSGraphTensor*)mean
                            varianceTensor:(MPSGraphTensor*)variance
                               gammaTensor:(MPSGraphTensor*)gamma
                                betaTensor:(MPSGraphTensor*)beta
                                   epsilon:(float)epsilon
                                      name:(NSString*)label {
  Tensors inputs{tensor, mean, variance};
  if (gamma != nil) inputs.push_back(gamma);
  if (beta != nil) inputs.push_back(beta);
  const bool has_gamma = gamma != nil, has_beta = beta != nil;
  return add(self, "normalization", inputs, [=](const Values& v) {
    at::Tensor result = normalised(v[0], v[1], v[2], epsilon);
    if (has_gamma) result = result * v[3];
    return has_beta ? result + v.back() : result;
  });
}

- (MPSGraphTensor*)normalizationGammaGradientWithIncomingGradientTensor:(MPSGraphTensor*)gradient
                                                           sourceTensor:(MPSGraphTensor*)source
                                                             meanTensor:(MPSGraphTensor*)mean
                                                         varianceTensor:(MPSGraphTensor*)variance
                                                          reductionAxes:(NSArray<NSNumber*>*)axes
                                                                epsilon:(float)epsilon
                                                                   name:(NSString*)label {
  return add(self, "normalizationGammaGradient", {gradient, source, mean, variance}, [=, d = axes_of(axes)](const Values& v) {
    return at::sum(v[0] * normalised(v[1], v[2], v[3], epsilon), d, /*keepdim=*/true);
  });
}

- (MPSGraphTensor*)normalizationBetaGradientWithIncomingGradientTensor:(MPSGraphTensor*)gradient
                                                          sourceTensor:(MPSGraphTensor*)source
                                                         reductionAxes:(NSArray<NSNumber*>*)axes
                                                                  name:(NSString*)label {
  return add(self, "normalizationBetaGradient", {gradient}, [d = axes_of(axes)](const Values& v) { return at::sum(v[0], d, true); });
}

// The gradients of gamma and beta that are given follow from the other operands.
- (MPSGraphTensor*)normalizationGradientWithIncomingGradientTensor:(MPSGraphTensor*)gradient
                                                      sourceTensor:(MPSGraphTensor*)source
                                                        meanTensor:(MPSGraphTensor*)mean
                                                    varianceTensor:(MPSGraphTensor*)variance
                                                       gammaTensor:(MPSGraphTensor*)gamma
                                               gammaGradientTensor:(MPSGraphTensor*)gammaGradient
                                                betaGradientTensor:(MPSGraphTensor*)betaGradient
                                                     reductionAxes:(NSArray<NSNumber*>*)axes
                                                           epsilon:(float)epsilon
                                                              name:(NSString*)label {
  Tensors inputs{gradient, source, mean, variance};
  if (gamma != nil) inputs.push_back(gamma);
  return add(self, "normalizationGradient", inputs, [=, d = axes_of(axes)](const Values& v) {
    const at::Tensor scaled = v.size() > 4 ? v[0] * v[4] : v[0];
    const at::Tensor x = normalised(v[1], v[2], v[3], epsilon);
    const at::Tensor centred = scaled - at::mean(scaled, d, true) - x * at::mean(scaled * x, d, true);
    return centred * at::rsqrt(v[3] + epsilon);
  });
}

@end
