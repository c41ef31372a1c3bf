// MPSGraph's operations that take indices or give them.
#include <utility>

#include "graph.h"
#include "runtime/assertions.h"

using namespace mps_graph;

namespace {

using Numbers = std::vector<int64_t>;

Numbers joined(c10::IntArrayRef first, c10::IntArrayRef second, c10::IntArrayRef third) {
  Numbers all = first.vec();
  all.insert(all.end(), second.begin(), second.end());
  all.insert(all.end(), third.begin(), third.end());
  return all;
}

// An index behind the axis's end takes zeros: PyTorch's nll_loss gathers with the target that it ignores, and multiplies with zero.
at::Tensor taken(const at::Tensor& values, int64_t axis, const at::Tensor& indices) {
  const int64_t size = values.size(axis);
  if (values.is_meta() || size == 0) return at::index_select(values, axis, indices);
  const at::Tensor is_inside = at::logical_and(indices >= 0, indices < size);
  const at::Tensor parts = at::index_select(values, axis, indices.clamp(0, size - 1));
  Numbers line(static_cast<size_t>(values.dim()), 1);
  line[static_cast<size_t>(axis)] = indices.numel();
  return at::where(is_inside.reshape(line), parts, at::zeros({}, values.options()));
}

// The first dimensions of both are batches; within one, each index takes a part of `values` along the axis.
at::Tensor gathered(const at::Tensor& values, const at::Tensor& indices, int64_t axis, int64_t batches) {
  const auto first = static_cast<size_t>(batches), along = static_cast<size_t>(axis);
  const auto sizes = values.sizes(), index_sizes = indices.sizes();
  const Numbers result = joined(sizes.slice(0, along), index_sizes.slice(first), sizes.slice(along + 1));
  const at::Tensor flat = indices.to(c10::kLong);
  if (batches == 0) return taken(values, axis, flat.reshape(-1)).reshape(result);
  const int64_t count = c10::multiply_integers(sizes.slice(0, first));
  const at::Tensor by_batch = values.reshape(joined({count}, sizes.slice(first), {}));
  const at::Tensor index_by_batch = flat.reshape({count, -1});
  Values parts;
  for (int64_t batch = 0; batch < count; ++batch) {
    parts.push_back(taken(by_batch[batch], axis - batches, index_by_batch[batch]));
  }
  return at::stack(parts).reshape(result);
}

const char* reduction_of(MPSGraphScatterMode mode) {
  switch (mode) {
    case MPSGraphScatterModeAdd:
      return "sum";
    case MPSGraphScatterModeMul:
      return "prod";
    case MPSGraphScatterModeMin:
      return "amin";
    case MPSGraphScatterModeMax:
      return "amax";
    default:
      mps_sim::not_simulated("mode " + std::to_string(mode) + " of an MPSGraph scatter");
  }
}

at::Tensor scattered_along(const at::Tensor& data, const at::Tensor& updates, const at::Tensor& indices, int64_t axis,
                           MPSGraphScatterMode mode) {
  const at::Tensor index = indices.to(c10::kLong);
  if (mode == MPSGraphScatterModeSet) return at::scatter(data, axis, index, updates);
  return at::scatter_reduce(data, axis, index, updates, reduction_of(mode));
}

// Each index takes a whole part of `updates`. One behind the axis's ends is left out: PyTorch's unique and multinomial give -1 to
// what they do not want.
at::Tensor scattered(const at::Tensor& data, const at::Tensor& updates, const at::Tensor& indices, int64_t axis,
                     MPSGraphScatterMode mode) {
  at::Tensor index = indices.reshape(-1).to(c10::kLong);
  Numbers sizes = data.sizes().vec();
  sizes[static_cast<size_t>(wrapped(axis, data.dim()))] = index.numel();
  at::Tensor parts = updates.reshape(sizes);
  if (!data.is_meta()) {
    const at::Tensor inside = at::nonzero(at::logical_and(index >= 0, index < data.size(axis))).reshape(-1);
    index = at::index_select(index, 0, inside);
    parts = at::index_select(parts, axis, inside);
    sizes = parts.sizes().vec();
  }
  if (mode == MPSGraphScatterModeSet) return at::index_copy(data, axis, index, parts);
  if (mode == MPSGraphScatterModeAdd) return at::index_add(data, axis, index, parts);
  Numbers line(sizes.size(), 1);
  line[static_cast<size_t>(wrapped(axis, data.dim()))] = index.numel();
  return scattered_along(data, parts, index.reshape(line).expand(sizes), axis, mode);
}

// The last dimension of `indices` is a place in the first dimensions of `data`.
at::Tensor scattered_at(const at::Tensor& data, const at::Tensor& updates, const at::Tensor& indices, int64_t batches,
                        MPSGraphScatterMode mode) {
  if (batches != 0) mps_sim::not_simulated("an MPSGraph scatterND with batch dimensions");
  const bool adds = mode == MPSGraphScatterModeAdd;
  if (!adds && mode != MPSGraphScatterModeSet) mps_sim::not_simulated("mode " + std::to_string(mode) + " of an MPSGraph scatterND");
  c10::List<std::optional<at::Tensor>> places;
  for (int64_t one = 0; one < indices.size(-1); ++one) places.push_back(indices.select(-1, one).to(c10::kLong));
  return at::index_put(data, places, updates, /*accumulate=*/adds);
}

at::Tensor hot(const at::Tensor& indices, int64_t depth, int64_t axis, const at::TensorOptions& options, double on, double off) {
  const at::Tensor places = indices.to(c10::kLong).unsqueeze(axis);
  Numbers line(static_cast<size_t>(places.dim()), 1);
  line[static_cast<size_t>(axis)] = depth;
  const at::Tensor classes = at::arange(depth, places.options()).reshape(line);
  const at::TensorOptions there = options.device(places.device());
  return at::where(places == classes, at::full({}, on, there), at::full({}, off, there));
}

}  // namespace

@implementation MPSGraph (InterpretedIndexing)

- (MPSGraphTensor*)gatherWithUpdatesTensor:(MPSGraphTensor*)updates
                             indicesTensor:(MPSGraphTensor*)indices
                                      axis:(NSUInteger)axis
                           batchDimensions:(NSUInteger)batches
                                      name:(NSString*)label {
  return add(self, "gather", {updates, indices}, [=](const Values& v) {
    return gathered(v[0], v[1], wrapped(static_cast<int64_t>(axis), v[0].dim()), static_cast<int64_t>(batches));
  });
}

- (MPSGraphTensor*)gatherAlongAxis:(NSInteger)axis
                 withUpdatesTensor:(MPSGraphTensor*)updates
                     indicesTensor:(MPSGraphTensor*)indices
                              name:(NSString*)label {
  return add(self, "gatherAlongAxis", {updates, indices}, [=](const Values& v) { return at::gather(v[0], axis, v[1].to(c10::kLong)); });
}

- (MPSGraphTensor*)scatterAlongAxis:(NSInteger)axis
                     withDataTensor:(MPSGraphTensor*)data
                      updatesTensor:(MPSGraphTensor*)updates
                      indicesTensor:(MPSGraphTensor*)indices
                               mode:(MPSGraphScatterMode)mode
                               name:(NSString*)label {
  require_one_type("scatterAlongAxis", data, updates);
  return add(self, "scatterAlongAxis", {data, updates, indices},
             [=](const Values& v) { return scattered_along(v[0], v[1], v[2], axis, mode); });
}

- (MPSGraphTensor*)scatterWithDataTensor:(MPSGraphTensor*)data
                           updatesTensor:(MPSGraphTensor*)updates
                           indicesTensor:(MPSGraphTensor*)indices
                                    axis:(NSInteger)axis
                                    mode:(MPSGraphScatterMode)mode
                                    name:(NSString*)label {
  require_one_type("scatter", data, updates);
  return add(self, "scatter", {data, updates, indices}, [=](const Values& v) { return scattered(v[0], v[1], v[2], axis, mode); });
}

- (MPSGraphTensor*)scatterWithUpdatesTensor:(MPSGraphTensor*)updates
                              indicesTensor:(MPSGraphTensor*)indices
                                      shape:(MPSShape*)shape
                                       axis:(NSInteger)axis
                                       mode:(MPSGraphScatterMode)mode
                                       name:(NSString*)label {
  return add(self, "scatter", {updates, indices}, [=, to = axes_of(shape)](const Values& v) {
    return scattered(at::zeros(to, v[0].options()), v[0], v[1], axis, mode);
  });
}

- (MPSGraphTensor*)scatterNDWithUpdatesTensor:(MPSGraphTensor*)updates
                                indicesTensor:(MPSGraphTensor*)indices
                                        shape:(MPSShape*)shape
                              batchDimensions:(NSUInteger)batches
                                         mode:(MPSGraphScatterMode)mode
                                         name:(NSString*)label {
  return add(self, "scatterND", {updates, indices}, [=, to = axes_of(shape)](const Values& v) {
    return scattered_at(at::zeros(to, v[0].options()), v[0], v[1], static_cast<int64_t>(batches), mode);
  });
}

- (MPSGraphTensor*)scatterNDWithDataTensor:(MPSGraphTensor*)data
                             updatesTensor:(MPSGraphTensor*)updates
                             indicesTensor:(MPSGraphTensor*)indices
                           batchDimensions:(NSUInteger)batches
                                      mode:(MPSGraphScatterMode)mode
                                      name:(NSString*)label {
  require_one_type("scatterND", data, updates);
  return add(self, "scatterND", {data, updates, indices},
             [=](const Values& v) { return scattered_at(v[0], v[1], v[2], static_cast<int64_t>(batches), mode); });
}

- (MPSGraphTensor*)oneHotWithIndicesTensor:(MPSGraphTensor*)indices
                                     depth:(NSUInteger)depth
                                      axis:(NSUInteger)axis
                                  dataType:(MPSDataType)type
                                   onValue:(double)on
                                  offValue:(double)off
                                      name:(NSString*)label {
  const at::TensorOptions options(type_of(type));
  return add(self, "oneHot", {indices}, [=](const Values& v) {
    return hot(v[0], static_cast<int64_t>(depth), wrapped(static_cast<int64_t>(axis), v[0].dim() + 1), options, on, off);
  }, type_of(type));
}

- (MPSGraphTensor*)sortWithTensor:(MPSGraphTensor*)tensor axis:(NSInteger)axis name:(NSString*)label {
  return [self sortWithTensor:tensor axis:axis descending:NO name:label];
}

- (MPSGraphTensor*)sortWithTensor:(MPSGraphTensor*)tensor axis:(NSInteger)axis descending:(BOOL)descending name:(NSString*)label {
  return add(self, "sort", {tensor}, [=](const Values& v) {
    return std::get<0>(at::sort(v[0], /*stable=*/std::optional<bool>(true), axis, static_cast<bool>(descending)));
  });
}

- (MPSGraphTensor*)argSortWithTensor:(MPSGraphTensor*)tensor axis:(NSInteger)axis name:(NSString*)label {
  return [self argSortWithTensor:tensor axis:axis descending:NO name:label];
}

- (MPSGraphTensor*)argSortWithTensor:(MPSGraphTensor*)tensor
                                axis:(NSInteger)axis
                          descending:(BOOL)descending
                                name:(NSString*)label {
  return add(self, "argSort", {tensor}, [=](const Values& v) {
    return std::get<1>(at::sort(v[0], /*stable=*/std::optional<bool>(true), axis, static_cast<bool>(descending))).to(c10::kInt);
  }, c10::kInt);
}

- (MPSGraphTensor*)nonZeroIndicesOfTensor:(MPSGraphTensor*)tensor name:(NSString*)label {
  return add(self, "nonZeroIndices", {tensor}, [](const Values& v) { return at::nonzero(v[0]).to(c10::kInt); }, c10::kInt,
             /*shapes_at_run=*/true);
}

@end
