// MPSGraph's operations that move values and compute none, and those that make values from a shape.
#include <utility>

#include "graph.h"
#include "runtime/assertions.h"

using namespace mps_graph;

namespace {

using Numbers = std::vector<int64_t>;

bool is_set(uint32_t mask, size_t bit) { return (mask >> bit & 1U) != 0; }

struct Slices {
  Numbers starts, ends, strides;
  uint32_t start_mask = 0, end_mask = 0, squeeze_mask = 0;

  // A view of the part. Bits of a mask: from the begin, to the end.
  at::Tensor of(at::Tensor tensor) const {
    for (size_t axis = 0; axis < starts.size(); ++axis) {
      const auto dimension = static_cast<int64_t>(axis);
      if (strides[axis] < 1) mps_sim::not_simulated("a slice of an MPSGraph tensor with a negative stride");
      const int64_t start = is_set(start_mask, axis) ? 0 : starts[axis];
      const int64_t end = is_set(end_mask, axis) ? tensor.size(dimension) : ends[axis];
      tensor = at::slice(tensor, dimension, start, end, strides[axis]);
    }
    return tensor;
  }

  at::Tensor squeezed(at::Tensor tensor) const {
    for (size_t axis = starts.size(); axis-- > 0;) {
      if (is_set(squeeze_mask, axis)) tensor = tensor.squeeze(static_cast<int64_t>(axis));
    }
    return tensor;
  }

  at::Tensor unsqueezed(at::Tensor tensor) const {
    for (size_t axis = 0; axis < starts.size(); ++axis) {
      if (is_set(squeeze_mask, axis)) tensor = tensor.unsqueeze(static_cast<int64_t>(axis));
    }
    return tensor;
  }
};

// Where each element of a padded dimension comes from; for every mode but those with a constant.
at::Tensor padded_from(MPSGraphPaddingMode mode, int64_t size, int64_t left, int64_t right) {
  at::Tensor place = at::arange(-left, size + right, c10::kLong);
  switch (mode) {
    case MPSGraphPaddingModeReflect:
      place = place.abs();
      return at::where(place < size, place, 2 * (size - 1) - place);
    case MPSGraphPaddingModeSymmetric:
      place = at::where(place < 0, -place - 1, place);
      return at::where(place < size, place, 2 * size - 1 - place);
    case MPSGraphPaddingModeClampToEdge:
      return place.clamp(0, size - 1);
    default:
      mps_sim::not_simulated("mode " + std::to_string(mode) + " of padding an MPSGraph tensor");
  }
}

bool is_constant(MPSGraphPaddingMode mode) { return mode == MPSGraphPaddingModeConstant || mode == MPSGraphPaddingModeZero; }

at::Tensor padded(at::Tensor tensor, MPSGraphPaddingMode mode, const Numbers& left, const Numbers& right, double value) {
  if (is_constant(mode)) {
    Numbers amounts;  // From the last dimension on.
    for (size_t axis = left.size(); axis-- > 0;) amounts.insert(amounts.end(), {left[axis], right[axis]});
    return at::constant_pad_nd(tensor, amounts, mode == MPSGraphPaddingModeZero ? 0.0 : value);
  }
  for (size_t axis = 0; axis < left.size(); ++axis) {
    const auto dimension = static_cast<int64_t>(axis);
    if (left[axis] == 0 && right[axis] == 0) continue;
    const at::Tensor from = padded_from(mode, tensor.size(dimension), left[axis], right[axis]).to(tensor.device());
    tensor = at::index_select(tensor, dimension, from);
  }
  return tensor;
}

at::Tensor padded_gradient(at::Tensor gradient, MPSGraphPaddingMode mode, const Numbers& left, const Numbers& right) {
  for (size_t axis = 0; axis < left.size(); ++axis) {
    const auto dimension = static_cast<int64_t>(axis);
    const int64_t size = gradient.size(dimension) - left[axis] - right[axis];
    if (left[axis] == 0 && right[axis] == 0) continue;
    if (is_constant(mode)) {
      gradient = gradient.narrow(dimension, left[axis], size);
      continue;
    }
    auto sizes = gradient.sizes().vec();
    sizes[axis] = size;
    const at::Tensor from = padded_from(mode, size, left[axis], right[axis]).to(gradient.device());
    gradient = at::index_add(at::zeros(sizes, gradient.options()), dimension, from, gradient);
  }
  return gradient;
}

at::Tensor band(at::Tensor tensor, int64_t lower, int64_t upper) {
  if (lower >= 0) tensor = at::triu(tensor, -lower);
  return upper >= 0 ? at::tril(tensor, upper) : tensor;
}

int64_t only_value(const at::Tensor& tensor) { return tensor.item().toLong(); }

// Of a tensor that depends on no placeholder.
Numbers constant_numbers(MPSGraphTensor* tensor) {
  const PlainDispatch plain;
  const at::Tensor values = Evaluation().value_of(output_of(tensor)).to(c10::kLong).contiguous();
  return {values.data_ptr<int64_t>(), values.data_ptr<int64_t>() + values.numel()};
}

at::Tensor coordinates(int64_t axis, const Numbers& shape) {
  Numbers line(shape.size(), 1);
  const auto along = static_cast<size_t>(wrapped(axis, static_cast<int64_t>(shape.size())));
  line[along] = shape[along];
  return at::arange(shape[along], c10::kInt).reshape(line).expand(shape).contiguous();
}

}  // namespace

@implementation MPSGraph (InterpretedShapes)

- (MPSGraphTensor*)reshapeTensor:(MPSGraphTensor*)tensor withShape:(MPSShape*)shape name:(NSString*)label {
  return add(self, "reshape", {tensor}, [to = axes_of(shape)](const Values& v) { return at::reshape(v[0], to); });
}

- (MPSGraphTensor*)transposeTensor:(MPSGraphTensor*)tensor
                         dimension:(NSUInteger)one
                     withDimension:(NSUInteger)other
                              name:(NSString*)label {
  const auto a = static_cast<int64_t>(one), b = static_cast<int64_t>(other);
  return add(self, "transpose", {tensor}, [a, b](const Values& v) { return v[0].transpose(a, b); });
}

- (MPSGraphTensor*)broadcastTensor:(MPSGraphTensor*)tensor toShape:(MPSShape*)shape name:(NSString*)label {
  return add(self, "broadcast", {tensor}, [to = axes_of(shape)](const Values& v) { return v[0].expand(to); });
}

- (MPSGraphTensor*)shapeOfTensor:(MPSGraphTensor*)tensor name:(NSString*)label {
  return add(self, "shape", {tensor}, [](const Values& v) { return at::tensor(v[0].sizes(), c10::kInt); }, c10::kInt);
}

- (MPSGraphTensor*)squeezeTensor:(MPSGraphTensor*)tensor axis:(NSInteger)axis name:(NSString*)label {
  return add(self, "squeeze", {tensor}, [axis](const Values& v) { return at::squeeze(v[0], axis); });
}

- (MPSGraphTensor*)squeezeTensor:(MPSGraphTensor*)tensor axes:(NSArray<NSNumber*>*)axes name:(NSString*)label {
  return add(self, "squeeze", {tensor}, [d = axes_of(axes)](const Values& v) { return at::squeeze(v[0], d); });
}

- (MPSGraphTensor*)squeezeTensor:(MPSGraphTensor*)tensor name:(NSString*)label {
  return add(self, "squeeze", {tensor}, [](const Values& v) { return at::squeeze(v[0]); });
}

- (MPSGraphTensor*)expandDimsOfTensor:(MPSGraphTensor*)tensor axis:(NSInteger)axis name:(NSString*)label {
  return add(self, "expandDims", {tensor}, [axis](const Values& v) { return at::unsqueeze(v[0], axis); });
}

- (MPSGraphTensor*)expandDimsOfTensor:(MPSGraphTensor*)tensor axes:(NSArray<NSNumber*>*)axes name:(NSString*)label {
  return add(self, "expandDims", {tensor}, [d = axes_of(axes)](const Values& v) {
    at::Tensor result = v[0];
    for (int64_t axis : d) result = result.unsqueeze(axis);
    return result;
  });
}

- (MPSGraphTensor*)flatten2DTensor:(MPSGraphTensor*)tensor axis:(NSInteger)axis name:(NSString*)label {
  return add(self, "flatten2D", {tensor}, [axis](const Values& v) {
    int64_t rows = 1, columns = 1;
    for (int64_t one = 0; one < v[0].dim(); ++one) (one < wrapped(axis, v[0].dim()) ? rows : columns) *= v[0].size(one);
    return at::reshape(v[0], {rows, columns});
  });
}

- (MPSGraphTensor*)concatTensor:(MPSGraphTensor*)tensor
                     withTensor:(MPSGraphTensor*)other
                      dimension:(NSInteger)dimension
                           name:(NSString*)label {
  return [self concatTensors:@[ tensor, other ] dimension:dimension name:label];
}

- (MPSGraphTensor*)concatTensors:(NSArray<MPSGraphTensor*>*)tensors dimension:(NSInteger)dimension name:(NSString*)label {
  return [self concatTensors:tensors dimension:dimension interleave:NO name:label];
}

- (MPSGraphTensor*)concatTensors:(NSArray<MPSGraphTensor*>*)tensors
                       dimension:(NSInteger)dimension
                      interleave:(BOOL)interleave
                            name:(NSString*)label {
  Tensors inputs;
  for (MPSGraphTensor* one in tensors) {
    inputs.push_back(one);
    require_one_type("concat", inputs[0], one);
  }
  return add(self, "concat", inputs, [=](const Values& v) {
    if (!interleave) return at::cat(v, dimension);
    const int64_t axis = wrapped(dimension, v[0].dim());
    return at::stack(v, axis + 1).flatten(axis, axis + 1);
  });
}

- (NSArray<MPSGraphTensor*>*)splitTensor:(MPSGraphTensor*)tensor
                               numSplits:(NSUInteger)count
                                    axis:(NSInteger)axis
                                    name:(NSString*)label {
  const std::vector<Type> types(count, output_of(tensor).type());
  return add_several(self, "split", {tensor}, [=](const Values& v) {
    return at::split(v[0], v[0].size(axis) / static_cast<int64_t>(count), axis);
  }, types);
}

- (MPSGraphTensor*)sliceTensor:(MPSGraphTensor*)tensor
                     dimension:(NSUInteger)dimension
                         start:(NSInteger)start
                        length:(NSInteger)length
                          name:(NSString*)label {
  const auto axis = static_cast<int64_t>(dimension);
  return add(self, "slice", {tensor}, [=](const Values& v) { return v[0].narrow(axis, wrapped(start, v[0].size(axis)), length); });
}

- (MPSGraphTensor*)sliceTensor:(MPSGraphTensor*)tensor
                        starts:(NSArray<NSNumber*>*)starts
                          ends:(NSArray<NSNumber*>*)ends
                       strides:(NSArray<NSNumber*>*)strides
                          name:(NSString*)label {
  return [self sliceTensor:tensor starts:starts ends:ends strides:strides startMask:0 endMask:0 squeezeMask:0 name:label];
}

- (MPSGraphTensor*)sliceTensor:(MPSGraphTensor*)tensor
                        starts:(NSArray<NSNumber*>*)starts
                          ends:(NSArray<NSNumber*>*)ends
                       strides:(NSArray<NSNumber*>*)strides
                     startMask:(uint32_t)startMask
                       endMask:(uint32_t)endMask
                   squeezeMask:(uint32_t)squeezeMask
                          name:(NSString*)label {
  const Slices slices{axes_of(starts), axes_of(ends), axes_of(strides), startMask, endMask, squeezeMask};
  return add(self, "slice", {tensor}, [slices](const Values& v) { return slices.squeezed(slices.of(v[0])); });
}

- (MPSGraphTensor*)sliceGradientTensor:(MPSGraphTensor*)gradient
                      fwdInShapeTensor:(MPSGraphTensor*)shape
                                starts:(NSArray<NSNumber*>*)starts
                                  ends:(NSArray<NSNumber*>*)ends
                               strides:(NSArray<NSNumber*>*)strides
                             startMask:(uint32_t)startMask
                               endMask:(uint32_t)endMask
                           squeezeMask:(uint32_t)squeezeMask
                                  name:(NSString*)label {
  const Slices slices{axes_of(starts), axes_of(ends), axes_of(strides), startMask, endMask, squeezeMask};
  return add(self, "sliceGradient", {gradient, shape}, [slices](const Values& v) {
    const at::Tensor sizes = v[1].to(c10::kLong).contiguous();
    at::Tensor result = at::zeros({sizes.data_ptr<int64_t>(), static_cast<size_t>(sizes.numel())}, v[0].options());
    slices.of(result).copy_(slices.unsqueezed(v[0]));
    return result;
  }, output_of(gradient).type(), /*shapes_at_run=*/true);
}

- (MPSGraphTensor*)tileTensor:(MPSGraphTensor*)tensor withMultiplier:(MPSShape*)multiplier name:(NSString*)label {
  return add(self, "tile", {tensor}, [by = axes_of(multiplier)](const Values& v) { return at::tile(v[0], by); });
}

- (MPSGraphTensor*)reverseTensor:(MPSGraphTensor*)tensor axes:(NSArray<NSNumber*>*)axes name:(NSString*)label {
  return add(self, "reverse", {tensor}, [d = axes_of(axes)](const Values& v) { return at::flip(v[0], d); });
}

- (MPSGraphTensor*)padTensor:(MPSGraphTensor*)tensor
             withPaddingMode:(MPSGraphPaddingMode)mode
                 leftPadding:(MPSShape*)left
                rightPadding:(MPSShape*)right
               constantValue:(double)value
                        name:(NSString*)label {
  return add(self, "pad", {tensor},
             [=, before = axes_of(left), after = axes_of(right)](const Values& v) { return padded(v[0], mode, before, after, value); });
}

- (MPSGraphTensor*)padGradientWithIncomingGradientTensor:(MPSGraphTensor*)gradient
                                            sourceTensor:(MPSGraphTensor*)source
                                             paddingMode:(MPSGraphPaddingMode)mode
                                             leftPadding:(MPSShape*)left
                                            rightPadding:(MPSShape*)right
                                                    name:(NSString*)label {
  return add(self, "padGradient", {gradient},
             [=, before = axes_of(left), after = axes_of(right)](const Values& v) { return padded_gradient(v[0], mode, before, after); });
}

- (MPSGraphTensor*)bandPartWithTensor:(MPSGraphTensor*)tensor
                             numLower:(NSInteger)lower
                             numUpper:(NSInteger)upper
                                 name:(NSString*)label {
  return add(self, "bandPart", {tensor}, [=](const Values& v) { return band(v[0], lower, upper); });
}

- (MPSGraphTensor*)bandPartWithTensor:(MPSGraphTensor*)tensor
                       numLowerTensor:(MPSGraphTensor*)lower
                       numUpperTensor:(MPSGraphTensor*)upper
                                 name:(NSString*)label {
  return add(self, "bandPart", {tensor, lower, upper},
             [](const Values& v) { return v[1].is_meta() ? v[0] : band(v[0], only_value(v[1]), only_value(v[2])); });
}

- (MPSGraphTensor*)coordinateAlongAxis:(NSInteger)axis withShape:(MPSShape*)shape name:(NSString*)label {
  return add(self, "coordinate", {}, [axis, sizes = axes_of(shape)](const Values&) { return coordinates(axis, sizes); });
}

- (MPSGraphTensor*)coordinateAlongAxis:(NSInteger)axis withShapeTensor:(MPSGraphTensor*)shape name:(NSString*)label {
  return add(self, "coordinate", {}, [axis, sizes = constant_numbers(shape)](const Values&) { return coordinates(axis, sizes); });
}

- (MPSGraphTensor*)coordinateAlongAxisTensor:(MPSGraphTensor*)axis withShapeTensor:(MPSGraphTensor*)shape name:(NSString*)label {
  return [self coordinateAlongAxis:constant_numbers(axis).at(0) withShapeTensor:shape name:label];
}

@end
