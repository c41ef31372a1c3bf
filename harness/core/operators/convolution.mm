// MPSGraph's convolutions: torch's own, with the descriptor's numbers. Their shapes are computed here, without running them.
#include <utility>

#include "graph.h"
#include "runtime/assertions.h"

using namespace mps_graph;

@implementation MPSGraphConvolution2DOpDescriptor
@synthesize strideInX, strideInY, dilationRateInX, dilationRateInY, groups;
@synthesize paddingLeft, paddingRight, paddingTop, paddingBottom, paddingStyle, dataLayout, weightsLayout;
@end

@implementation MPSGraphConvolution3DOpDescriptor
@synthesize strideInX, strideInY, strideInZ, dilationRateInX, dilationRateInY, dilationRateInZ, groups;
@synthesize paddingLeft, paddingRight, paddingTop, paddingBottom, paddingFront, paddingBack, paddingStyle, dataLayout, weightsLayout;
@end

@implementation MPSGraphDepthwiseConvolution3DOpDescriptor
@synthesize strides, dilationRates, paddingValues, paddingStyle, channelDimensionIndex;

- (void)dealloc {
  [strides release];
  [dilationRates release];
  [paddingValues release];
  [super dealloc];
}
@end

namespace {

using Numbers = std::vector<int64_t>;

// A convolution without Objective-C. Sizes begin with the slowest dimension; channels come before them.
struct Convolution {
  Numbers stride, dilation, padding;
  int64_t groups = 1;
  bool is_channels_last = false;

  Convolution with_groups(int64_t count) const {
    Convolution made = *this;
    made.groups = count;
    return made;
  }

  at::Tensor planes(const at::Tensor& tensor) const { return is_channels_last ? tensor.permute({0, 3, 1, 2}).contiguous() : tensor; }
  at::Tensor as_given(const at::Tensor& planes) const { return is_channels_last ? planes.permute({0, 2, 3, 1}) : planes; }

  at::Tensor of(const at::Tensor& source, const at::Tensor& weights) const {
    if (source.is_meta()) return at::empty(sizes(source.sizes(), weights.sizes()), source.options());
    return at::convolution(source, weights, std::nullopt, stride, padding, dilation, /*transposed=*/false, Numbers(stride.size(), 0), groups);
  }

  // A source may be larger than its windows reach, which torch's functions refuse: a transposed convolution of PyTorch's with an
  // output padding asks for that. So the source gets its padding first, and what no window reached is left out.
  at::Tensor source_gradient(const at::Tensor& gradient, const at::Tensor& weights, const Numbers& sizes) const {
    at::Tensor source = at::zeros(sizes, gradient.options());
    if (gradient.is_meta()) return source;
    const at::Tensor padded = with_padding(source);
    reached(padded, gradient, weights).copy_(std::get<0>(gradients(gradient, reached(padded, gradient, weights), weights, {true, false, false})));
    return without_padding(padded, source);
  }

  at::Tensor weights_gradient(const at::Tensor& gradient, const at::Tensor& source, const Numbers& sizes) const {
    const at::Tensor weights = at::empty(sizes, gradient.options());
    if (gradient.is_meta()) return weights;
    return std::get<1>(gradients(gradient, reached(with_padding(source), gradient, weights), weights, {false, true, false}));
  }

 private:
  at::Tensor with_padding(const at::Tensor& source) const {
    Numbers amounts;  // From the last dimension on.
    for (size_t at = padding.size(); at-- > 0;) amounts.insert(amounts.end(), {padding[at], padding[at]});
    return at::constant_pad_nd(source, amounts);
  }

  at::Tensor without_padding(at::Tensor padded, const at::Tensor& source) const {
    for (size_t at = 0; at < padding.size(); ++at) {
      const auto axis = static_cast<int64_t>(at) + 2;
      padded = padded.narrow(axis, padding[at], source.size(axis));
    }
    return padded;
  }

  at::Tensor reached(at::Tensor padded, const at::Tensor& gradient, const at::Tensor& weights) const {
    for (size_t at = 0; at < stride.size(); ++at) {
      const auto axis = static_cast<int64_t>(at) + 2;
      padded = padded.narrow(axis, 0, (gradient.size(axis) - 1) * stride[at] + dilation[at] * (weights.size(axis) - 1) + 1);
    }
    return padded;
  }

  std::tuple<at::Tensor, at::Tensor, at::Tensor> gradients(const at::Tensor& gradient, const at::Tensor& padded, const at::Tensor& weights,
                                                           std::array<bool, 3> wanted) const {
    const Numbers none(stride.size(), 0);
    return at::convolution_backward(gradient, padded, weights, std::nullopt, stride, none, dilation, /*transposed=*/false, none, groups, wanted);
  }

  Numbers sizes(c10::IntArrayRef source, c10::IntArrayRef weights) const {
    Numbers result{source.at(0), weights.at(0)};
    for (size_t at = 0; at < stride.size(); ++at) {
      const int64_t window = dilation[at] * (weights.at(at + 2) - 1) + 1;
      result.push_back((source.at(at + 2) + 2 * padding[at] - window) / stride[at] + 1);
    }
    return result;
  }
};

void require(bool holds, const char* what) {
  if (!holds) mps_sim::not_simulated(std::string("an MPSGraph convolution with ") + what);
}

Numbers numbers(std::initializer_list<NSUInteger> given) { return {given.begin(), given.end()}; }

Convolution convolution_of(const MPSGraphConvolution2DOpDescriptor* of) {
  require(of->paddingStyle == MPSGraphPaddingStyleExplicit, "a padding style of its own");
  require(of->paddingLeft == of->paddingRight && of->paddingTop == of->paddingBottom, "another padding on each side");
  require(of->weightsLayout == MPSGraphTensorNamedDataLayoutOIHW, "another layout of weights than OIHW");
  return {numbers({of->strideInY, of->strideInX}), numbers({of->dilationRateInY, of->dilationRateInX}),
          numbers({of->paddingTop, of->paddingLeft}), static_cast<int64_t>(of->groups), of->dataLayout == MPSGraphTensorNamedDataLayoutNHWC};
}

Convolution convolution_of(const MPSGraphConvolution3DOpDescriptor* of) {
  require(of->paddingStyle == MPSGraphPaddingStyleExplicit, "a padding style of its own");
  require(of->paddingLeft == of->paddingRight && of->paddingTop == of->paddingBottom && of->paddingFront == of->paddingBack,
          "another padding on each side");
  require(of->dataLayout == MPSGraphTensorNamedDataLayoutNCDHW && of->weightsLayout == MPSGraphTensorNamedDataLayoutOIDHW,
          "another layout than NCDHW and OIDHW");
  return {numbers({of->strideInZ, of->strideInY, of->strideInX}), numbers({of->dilationRateInZ, of->dilationRateInY, of->dilationRateInX}),
          numbers({of->paddingFront, of->paddingTop, of->paddingLeft}), static_cast<int64_t>(of->groups)};
}

// PyTorch uses it for images: the batch lies where the third dimension would, and the kernel has one element there. So it is a
// convolution in two dimensions with a group for each channel of the source.
Convolution convolution_of(const MPSGraphDepthwiseConvolution3DOpDescriptor* of) {
  require(of->paddingStyle == MPSGraphPaddingStyleExplicit && of->channelDimensionIndex == -3, "another place for channels");
  const Numbers strides = axes_of(of->strides), dilations = axes_of(of->dilationRates), padding = axes_of(of->paddingValues);
  require(strides.at(0) == 1 && dilations.at(0) == 1 && padding.at(0) == 0 && padding.at(1) == 0, "three dimensions, by channels");
  require(padding.at(2) == padding.at(3) && padding.at(4) == padding.at(5), "another padding on each side");
  return {{strides[1], strides[2]}, {dilations[1], dilations[2]}, {padding[2], padding[4]}};
}

}  // namespace

@implementation MPSGraph (InterpretedConvolution)

- (MPSGraphTensor*)convolution2DWithSourceTensor:(MPSGraphTensor*)source
                                   weightsTensor:(MPSGraphTensor*)weights
                                      descriptor:(MPSGraphConvolution2DOpDescriptor*)descriptor
                                            name:(NSString*)label {
  require_one_type("convolution2D", source, weights);
  return add(self, "convolution2D", {source, weights},
             [c = convolution_of(descriptor)](const Values& v) { return c.as_given(c.of(c.planes(v[0]), v[1])); });
}

- (MPSGraphTensor*)convolution2DDataGradientWithIncomingGradientTensor:(MPSGraphTensor*)gradient
                                                         weightsTensor:(MPSGraphTensor*)weights
                                                           outputShape:(MPSShape*)shape
                                          forwardConvolutionDescriptor:(MPSGraphConvolution2DOpDescriptor*)descriptor
                                                                  name:(NSString*)label {
  const Convolution of = convolution_of(descriptor);
  require(!of.is_channels_last, "a gradient in NHWC");
  return add(self, "convolution2DDataGradient", {gradient, weights},
             [of, sizes = axes_of(shape)](const Values& v) { return of.source_gradient(v[0], v[1], sizes); });
}

- (MPSGraphTensor*)convolution2DWeightsGradientWithIncomingGradientTensor:(MPSGraphTensor*)gradient
                                                             sourceTensor:(MPSGraphTensor*)source
                                                              outputShape:(MPSShape*)shape
                                             forwardConvolutionDescriptor:(MPSGraphConvolution2DOpDescriptor*)descriptor
                                                                     name:(NSString*)label {
  const Convolution of = convolution_of(descriptor);
  require(!of.is_channels_last, "a gradient in NHWC");
  return add(self, "convolution2DWeightsGradient", {gradient, source},
             [of, sizes = axes_of(shape)](const Values& v) { return of.weights_gradient(v[0], v[1], sizes); });
}

- (MPSGraphTensor*)convolution3DWithSourceTensor:(MPSGraphTensor*)source
                                   weightsTensor:(MPSGraphTensor*)weights
                                      descriptor:(MPSGraphConvolution3DOpDescriptor*)descriptor
                                            name:(NSString*)label {
  require_one_type("convolution3D", source, weights);
  return add(self, "convolution3D", {source, weights},
             [c = convolution_of(descriptor)](const Values& v) { return c.of(v[0], v[1]); });
}

- (MPSGraphTensor*)convolution3DDataGradientWithIncomingGradientTensor:(MPSGraphTensor*)gradient
                                                         weightsTensor:(MPSGraphTensor*)weights
                                                           outputShape:(MPSShape*)shape
                                          forwardConvolutionDescriptor:(MPSGraphConvolution3DOpDescriptor*)descriptor
                                                                  name:(NSString*)label {
  return add(self, "convolution3DDataGradient", {gradient, weights},
             [c = convolution_of(descriptor), sizes = axes_of(shape)](const Values& v) { return c.source_gradient(v[0], v[1], sizes); });
}

- (MPSGraphTensor*)convolution3DWeightsGradientWithIncomingGradientTensor:(MPSGraphTensor*)gradient
                                                             sourceTensor:(MPSGraphTensor*)source
                                                              outputShape:(MPSShape*)shape
                                             forwardConvolutionDescriptor:(MPSGraphConvolution3DOpDescriptor*)descriptor
                                                                     name:(NSString*)label {
  return add(self, "convolution3DWeightsGradient", {gradient, source},
             [c = convolution_of(descriptor), sizes = axes_of(shape)](const Values& v) { return c.weights_gradient(v[0], v[1], sizes); });
}

// Its weights are those of one convolution with the first two dimensions exchanged.
- (MPSGraphTensor*)depthwiseConvolution3DWithSourceTensor:(MPSGraphTensor*)source
                                            weightsTensor:(MPSGraphTensor*)weights
                                               descriptor:(MPSGraphDepthwiseConvolution3DOpDescriptor*)descriptor
                                                     name:(NSString*)label {
  return add(self, "depthwiseConvolution3D", {source, weights}, [c = convolution_of(descriptor)](const Values& v) {
    return c.with_groups(v[0].size(1)).of(v[0], v[1].transpose(0, 1).contiguous());
  });
}

- (MPSGraphTensor*)depthwiseConvolution3DDataGradientWithIncomingGradientTensor:(MPSGraphTensor*)gradient
                                                                  weightsTensor:(MPSGraphTensor*)weights
                                                                    outputShape:(MPSShape*)shape
                                                                     descriptor:(MPSGraphDepthwiseConvolution3DOpDescriptor*)descriptor
                                                                           name:(NSString*)label {
  const Numbers sizes = axes_of(shape);
  const Convolution of = convolution_of(descriptor).with_groups(sizes.at(1));
  return add(self, "depthwiseConvolution3DDataGradient", {gradient, weights},
             [of, sizes](const Values& v) { return of.source_gradient(v[0], v[1].transpose(0, 1).contiguous(), sizes); });
}

- (MPSGraphTensor*)depthwiseConvolution3DWeightsGradientWithIncomingGradientTensor:(MPSGraphTensor*)gradient
                                                                      sourceTensor:(MPSGraphTensor*)source
                                                                       outputShape:(MPSShape*)shape
                                                                        descriptor:
                                                                            (MPSGraphDepthwiseConvolution3DOpDescriptor*)descriptor
                                                                              name:(NSString*)label {
  Numbers sizes = axes_of(shape);
  std::swap(sizes.at(0), sizes.at(1));
  return add(self, "depthwiseConvolution3DWeightsGradient", {gradient, source}, [c = convolution_of(descriptor), sizes](const Values& v) {
    return c.with_groups(v[1].size(1)).weights_gradient(v[0], v[1], sizes).transpose(0, 1);
  });
}

@end
