// MPSGraph's operations that resize images or take samples of them. Each dimension is resized by itself: by a matrix with the share
// of each source in each result, so that a gradient is the transposed matrix.
#include <algorithm>
#include <cmath>
#include <utility>

#include "graph.h"
#include "runtime/assertions.h"

using namespace mps_graph;

namespace {

using Numbers = std::vector<int64_t>;
using Rounding = MPSGraphResizeNearestRoundingMode;

// How a result's place gives its source's: place = result's place * scale + offset, turned round.
struct Scale {
  double scale, offset;
  double source_of(int64_t result) const { return (static_cast<double>(result) - offset) / scale; }
};

Scale scale_of(int64_t source, int64_t result, bool is_centred, bool aligns_corners) {
  if (aligns_corners) {
    const bool is_single = source == 1 || result == 1;
    return {is_single ? static_cast<double>(result) : static_cast<double>(result - 1) / static_cast<double>(source - 1), 0};
  }
  const double scale = static_cast<double>(result) / static_cast<double>(source);
  return {scale, is_centred ? (scale - 1) / 2 : 0};
}

double rounded(double place, Rounding how) {
  switch (how) {
    case MPSGraphResizeNearestRoundingModeRoundPreferCeil: return std::floor(place + 0.5);
    case MPSGraphResizeNearestRoundingModeRoundPreferFloor: return std::ceil(place - 0.5);
    case MPSGraphResizeNearestRoundingModeCeil: return std::ceil(place);
    case MPSGraphResizeNearestRoundingModeFloor: return std::floor(place);
    case MPSGraphResizeNearestRoundingModeRoundToEven: return std::nearbyint(place);
    default: mps_sim::not_simulated("rounding mode " + std::to_string(how) + " of an MPSGraph resize");
  }
}

// How an image is resized, without Objective-C. `rounding`: of the nearest; without it bilinear.
struct Resize {
  std::optional<Rounding> rounding;
  bool is_centred = false, aligns_corners = false, is_channels_last = false;

  at::Tensor planes(const at::Tensor& image) const { return is_channels_last ? image.movedim(-1, -3) : image; }
  at::Tensor as_given(const at::Tensor& planes) const { return is_channels_last ? planes.movedim(-3, -1) : planes; }

  // [result, source]: the share of each source in each result.
  at::Tensor shares(int64_t source, int64_t result, const Scale& scale) const {
    at::Tensor made = at::zeros({result, source}, at::kDouble);
    auto share = made.accessor<double, 2>();
    const auto last = static_cast<double>(source - 1);
    for (int64_t one = 0; one < result; ++one) {
      const double place = scale.source_of(one);
      if (rounding.has_value()) {
        share[one][static_cast<int64_t>(std::clamp(rounded(place + 1e-9, *rounding), 0.0, last))] = 1;
        continue;
      }
      const double inside = std::clamp(place, 0.0, last), lower = std::floor(inside);
      share[one][static_cast<int64_t>(lower)] += 1 - (inside - lower);
      if (inside > lower) share[one][static_cast<int64_t>(lower) + 1] += inside - lower;
    }
    return made;
  }

  std::pair<at::Tensor, at::Tensor> shares_of(c10::IntArrayRef source, c10::IntArrayRef result, const at::Tensor& scale_offset) const {
    Scale rows = scale_of(source[0], result[0], is_centred, aligns_corners);
    Scale columns = scale_of(source[1], result[1], is_centred, aligns_corners);
    if (scale_offset.defined()) {  // Scales of rows and columns, then their offsets.
      const at::Tensor given = scale_offset.to(at::kDouble).contiguous();
      const double* numbers = given.data_ptr<double>();
      rows = {numbers[0], numbers[2]};
      columns = {numbers[1], numbers[3]};
    }
    return {shares(source[0], result[0], rows), shares(source[1], result[1], columns)};
  }

  at::Tensor forward(const at::Tensor& image, c10::IntArrayRef sizes, const at::Tensor& scale_offset) const {
    const at::Tensor from = planes(image);
    const auto [rows, columns] = shares_of(from.sizes().slice(from.dim() - 2), sizes, scale_offset);
    if (rounding.has_value()) {  // Values are moved, whatever they are.
      const at::Tensor moved = at::index_select(at::index_select(from, -2, rows.argmax(1)), -1, columns.argmax(1));
      return as_given(moved).contiguous();
    }
    const at::Tensor result = at::matmul(at::matmul(rows, from.to(at::kDouble)), columns.t());
    return as_given(result).to(image.scalar_type()).contiguous();
  }

  at::Tensor backward(const at::Tensor& gradient, c10::IntArrayRef sizes, const at::Tensor& scale_offset) const {
    const at::Tensor from = planes(gradient);
    const auto [rows, columns] = shares_of(sizes, from.sizes().slice(from.dim() - 2), scale_offset);
    const at::Tensor result = at::matmul(at::matmul(rows.t(), from.to(at::kDouble)), columns);
    return as_given(result).to(gradient.scalar_type()).contiguous();
  }
};

bool is_channels_last(MPSGraphTensorNamedDataLayout layout) {
  return layout == MPSGraphTensorNamedDataLayoutNHWC || layout == MPSGraphTensorNamedDataLayoutHWC;
}

MPSGraphTensor* resized(MPSGraph* graph, const char* name, MPSGraphTensor* image, MPSGraphTensor* size, MPSGraphTensor* scaleOffset,
                        Resize how) {
  Tensors inputs{image, size};
  if (scaleOffset != nil) inputs.push_back(scaleOffset);
  return add(graph, name, inputs, [how](const Values& v) {
    const at::Tensor sizes = v[1].to(at::kLong).contiguous();
    return how.forward(v[0], {sizes.data_ptr<int64_t>(), 2}, v.size() > 2 ? v[2] : at::Tensor());
  }, output_of(image).type(), /*shapes_at_run=*/true);
}

MPSGraphTensor* resized_back(MPSGraph* graph, const char* name, MPSGraphTensor* gradient, MPSGraphTensor* input,
                             MPSGraphTensor* scaleOffset, Resize how) {
  Tensors inputs{gradient, input};
  if (scaleOffset != nil) inputs.push_back(scaleOffset);
  return add(graph, name, inputs, [how](const Values& v) {
    if (v[0].is_meta()) return at::empty(v[1].sizes(), v[0].options());
    const auto sizes = how.planes(v[1]).sizes().vec();
    const Numbers image(sizes.end() - 2, sizes.end());
    return how.backward(v[0], image, v.size() > 2 ? v[2] : at::Tensor());
  });
}

at::Tensor sampled(const at::Tensor& source, const at::Tensor& grid, bool is_nearest, MPSGraphPaddingMode padding, bool aligns_corners,
                   bool is_channels_last) {
  if (source.is_meta()) {
    const int64_t channels = source.size(is_channels_last ? 3 : 1);
    const Numbers sizes{source.size(0), channels, grid.size(1), grid.size(2)};
    const at::Tensor made = at::empty(sizes, source.options());
    return is_channels_last ? made.permute({0, 2, 3, 1}) : made;
  }
  const int64_t mode = padding == MPSGraphPaddingModeZero ? 0 : 2;
  const at::Tensor planes = is_channels_last ? source.permute({0, 3, 1, 2}) : source;
  const at::Tensor result =
      at::grid_sampler_2d(planes.to(at::kFloat), grid.to(at::kFloat), is_nearest ? 1 : 0, mode, aligns_corners).to(source.scalar_type());
  return is_channels_last ? result.permute({0, 2, 3, 1}) : result;
}

// Coordinates from -1 to 1, and edges where torch has them.
void must_be_torchs(BOOL normalizes, BOOL isRelative, MPSGraphPaddingMode padding, BOOL alignsCorners) {
  const bool is_known = padding == MPSGraphPaddingModeZero ||
                        padding == (alignsCorners ? MPSGraphPaddingModeReflect : MPSGraphPaddingModeSymmetric);
  if (!normalizes || isRelative || !is_known) mps_sim::not_simulated("coordinates or padding of an MPSGraph sampleGrid");
}

}  // namespace

@implementation MPSGraph (InterpretedResizing)

- (MPSGraphTensor*)resizeNearestWithTensor:(MPSGraphTensor*)image
                                sizeTensor:(MPSGraphTensor*)size
                       nearestRoundingMode:(MPSGraphResizeNearestRoundingMode)rounding
                              centerResult:(BOOL)centers
                              alignCorners:(BOOL)aligns
                                    layout:(MPSGraphTensorNamedDataLayout)layout
                                      name:(NSString*)label {
  return resized(self, "resizeNearest", image, size, nil, {rounding, centers == YES, aligns == YES, is_channels_last(layout)});
}

- (MPSGraphTensor*)resizeNearestWithTensor:(MPSGraphTensor*)image
                                sizeTensor:(MPSGraphTensor*)size
                         scaleOffsetTensor:(MPSGraphTensor*)scaleOffset
                       nearestRoundingMode:(MPSGraphResizeNearestRoundingMode)rounding
                                    layout:(MPSGraphTensorNamedDataLayout)layout
                                      name:(NSString*)label {
  return resized(self, "resizeNearest", image, size, scaleOffset, {rounding, false, false, is_channels_last(layout)});
}

- (MPSGraphTensor*)resizeBilinearWithTensor:(MPSGraphTensor*)image
                                 sizeTensor:(MPSGraphTensor*)size
                               centerResult:(BOOL)centers
                               alignCorners:(BOOL)aligns
                                     layout:(MPSGraphTensorNamedDataLayout)layout
                                       name:(NSString*)label {
  return resized(self, "resizeBilinear", image, size, nil, {std::nullopt, centers == YES, aligns == YES, is_channels_last(layout)});
}

- (MPSGraphTensor*)resizeBilinearWithTensor:(MPSGraphTensor*)image
                                 sizeTensor:(MPSGraphTensor*)size
                          scaleOffsetTensor:(MPSGraphTensor*)scaleOffset
                                     layout:(MPSGraphTensorNamedDataLayout)layout
                                       name:(NSString*)label {
  return resized(self, "resizeBilinear", image, size, scaleOffset, {std::nullopt, false, false, is_channels_last(layout)});
}

- (MPSGraphTensor*)resizeNearestWithGradientTensor:(MPSGraphTensor*)gradient
                                             input:(MPSGraphTensor*)input
                               nearestRoundingMode:(MPSGraphResizeNearestRoundingMode)rounding
                                      centerResult:(BOOL)centers
                                      alignCorners:(BOOL)aligns
                                            layout:(MPSGraphTensorNamedDataLayout)layout
                                              name:(NSString*)label {
  return resized_back(self, "resizeNearestGradient", gradient, input, nil,
                      {rounding, centers == YES, aligns == YES, is_channels_last(layout)});
}

- (MPSGraphTensor*)resizeNearestWithGradientTensor:(MPSGraphTensor*)gradient
                                             input:(MPSGraphTensor*)input
                                 scaleOffsetTensor:(MPSGraphTensor*)scaleOffset
                               nearestRoundingMode:(MPSGraphResizeNearestRoundingMode)rounding
                                            layout:(MPSGraphTensorNamedDataLayout)layout
                                              name:(NSString*)label {
  return resized_back(self, "resizeNearestGradient", gradient, input, scaleOffset, {rounding, false, false, is_channels_last(layout)});
}

- (MPSGraphTensor*)resizeBilinearWithGradientTensor:(MPSGraphTensor*)gradient
                                              input:(MPSGraphTensor*)input
                                       centerResult:(BOOL)centers
                                       alignCorners:(BOOL)aligns
                                             layout:(MPSGraphTensorNamedDataLayout)layout
                                               name:(NSString*)label {
  return resized_back(self, "resizeBilinearGradient", gradient, input, nil,
                      {std::nullopt, centers == YES, aligns == YES, is_channels_last(layout)});
}

- (MPSGraphTensor*)resizeBilinearWithGradientTensor:(MPSGraphTensor*)gradient
                                              input:(MPSGraphTensor*)input
                                  scaleOffsetTensor:(MPSGraphTensor*)scaleOffset
                                             layout:(MPSGraphTensorNamedDataLayout)layout
                                               name:(NSString*)label {
  return resized_back(self, "resizeBilinearGradient", gradient, input, scaleOffset,
                      {std::nullopt, false, false, is_channels_last(layout)});
}

- (MPSGraphTensor*)sampleGridWithSourceTensor:(MPSGraphTensor*)source
                             coordinateTensor:(MPSGraphTensor*)coordinates
                                       layout:(MPSGraphTensorNamedDataLayout)layout
                         normalizeCoordinates:(BOOL)normalizes
                          relativeCoordinates:(BOOL)isRelative
                                 alignCorners:(BOOL)aligns
                                  paddingMode:(MPSGraphPaddingMode)padding
                                 samplingMode:(MPSGraphResizeMode)sampling
                                constantValue:(double)constant
                                         name:(NSString*)label {
  must_be_torchs(normalizes, isRelative, padding, aligns);
  return add(self, "sampleGrid", {source, coordinates}, [=](const Values& v) {
    return sampled(v[0], v[1], sampling == MPSGraphResizeNearest, padding, aligns == YES, is_channels_last(layout));
  });
}

- (MPSGraphTensor*)sampleGridWithSourceTensor:(MPSGraphTensor*)source
                             coordinateTensor:(MPSGraphTensor*)coordinates
                                       layout:(MPSGraphTensorNamedDataLayout)layout
                         normalizeCoordinates:(BOOL)normalizes
                          relativeCoordinates:(BOOL)isRelative
                                 alignCorners:(BOOL)aligns
                                  paddingMode:(MPSGraphPaddingMode)padding
                          nearestRoundingMode:(MPSGraphResizeNearestRoundingMode)rounding
                                constantValue:(double)constant
                                         name:(NSString*)label {
  must_be_torchs(normalizes, isRelative, padding, aligns);
  if (rounding != MPSGraphResizeNearestRoundingModeRoundToEven) mps_sim::not_simulated("a rounding mode of an MPSGraph sampleGrid");
  return add(self, "sampleGrid", {source, coordinates},
             [=](const Values& v) { return sampled(v[0], v[1], true, padding, aligns == YES, is_channels_last(layout)); });
}

// Channels become places of an image, and places channels, as torch counts them.
- (MPSGraphTensor*)depthToSpace2DTensor:(MPSGraphTensor*)tensor
                              widthAxis:(NSUInteger)width
                             heightAxis:(NSUInteger)height
                              depthAxis:(NSUInteger)depth
                              blockSize:(NSUInteger)block
                   usePixelShuffleOrder:(BOOL)order
                                   name:(NSString*)label {
  if (!order || width != height + 1 || height != depth + 1) mps_sim::not_simulated("another order of an MPSGraph depthToSpace2D");
  return add(self, "depthToSpace2D", {tensor}, [block](const Values& v) { return at::pixel_shuffle(v[0], static_cast<int64_t>(block)); });
}

- (MPSGraphTensor*)spaceToDepth2DTensor:(MPSGraphTensor*)tensor
                              widthAxis:(NSUInteger)width
                             heightAxis:(NSUInteger)height
                              depthAxis:(NSUInteger)depth
                              blockSize:(NSUInteger)block
                   usePixelShuffleOrder:(BOOL)order
                                   name:(NSString*)label {
  if (!order || width != height + 1 || height != depth + 1) mps_sim::not_simulated("another order of an MPSGraph spaceToDepth2D");
  return add(self, "spaceToDepth2D", {tensor},
             [block](const Values& v) { return at::pixel_unshuffle(v[0], static_cast<int64_t>(block)); });
}

@end
