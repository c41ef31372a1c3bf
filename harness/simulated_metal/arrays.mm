// MPSNDArray: a buffer with a shape. Views share the buffer, so a view of a view costs nothing; PyTorch uses them for strided
// tensors since macOS 15.
#include "arrays.h"

#include <string.h>

#include <numeric>
#include <string>
#include <utility>

#include "casts.h"
#include "objects.h"

using simulated::Array;

namespace {

// A descriptor's dimensions: which of the array's that it came from, and which part of it.
struct Dimension {
  int64_t of, start, size;
};

struct Layout {
  MPSDataType type;
  std::vector<Dimension> dimensions;

  Dimension& counted_from_last(NSUInteger number) {
    if (number >= dimensions.size()) {
      mps_sim::metal_assertion("transposeDimension:withDimension:", "dimension out of range", "MPSNDArrayDescriptor");
    }
    return dimensions[dimensions.size() - 1 - number];
  }
};

Layout& layout_of(MPSNDArrayDescriptor* descriptor) { return *static_cast<Layout*>(descriptor->layout_); }

std::vector<int64_t> dense_strides(const std::vector<int64_t>& sizes) {
  std::vector<int64_t> strides(sizes.size(), 1);
  for (size_t at = sizes.size(); at-- > 1;) strides[at - 1] = strides[at] * sizes[at];
  return strides;
}

MPSNDArray* view(const Array& of, std::vector<int64_t> sizes, std::vector<int64_t> strides, size_t offset_bytes) {
  MPSNDArray* made = [[MPSNDArray alloc] autorelease];
  made->array_ = new Array{[of.buffer retain], offset_bytes, std::move(sizes), std::move(strides), of.type};
  return made;
}

void must_fit(const Array& array, const char* method) {
  size_t end = array.end_bytes(), length = simulated::length(array.buffer);
  if (end <= length) return;
  std::string text = "the array ends at byte " + std::to_string(end) + " of a buffer of " + std::to_string(length);
  mps_sim::metal_assertion(method, text.c_str(), "MPSNDArray");
}

// The strides that the same values have in another shape, by taking out and putting in dimensions of one element.
std::vector<int64_t> strides_reshaped(const Array& from, const std::vector<int64_t>& shape) {
  if (from.is_dense()) return dense_strides(shape);
  std::vector<int64_t> strides;
  size_t at = 0;
  auto skip = [&] {
    while (at < from.sizes.size() && from.sizes[at] == 1) ++at;
  };
  for (int64_t size : shape) {
    skip();
    if (size == 1) {
      strides.push_back(1);
    } else if (at < from.sizes.size() && from.sizes[at] == size) {
      strides.push_back(from.strides[at++]);
    } else {
      mps_sim::not_simulated("an MPSNDArray with gaps that is given a shape in which its values would move");
    }
  }
  return strides;
}

}  // namespace

namespace simulated {

char* Array::memory() const { return static_cast<char*>(simulated::memory(buffer)) + offset_bytes; }

size_t Array::count() const {
  return static_cast<size_t>(std::accumulate(sizes.begin(), sizes.end(), int64_t{1}, std::multiplies<>()));
}

bool Array::is_dense() const {
  int64_t expected = 1;
  for (size_t at = sizes.size(); at-- > 0;) {
    if (sizes[at] != 1 && strides[at] != expected) return false;
    expected *= sizes[at];
  }
  return true;
}

size_t Array::end_bytes() const {
  if (count() == 0) return offset_bytes;
  int64_t last = 0;
  for (size_t at = 0; at < sizes.size(); ++at) last += (sizes[at] - 1) * strides[at];
  return offset_bytes + (static_cast<size_t>(last) + 1) * width_of(type);
}

const Array& array_of(MPSNDArray* array) { return *static_cast<Array*>(array->array_); }

const Array& array_of(MPSGraphTensorData* data) { return array_of(data->array_); }

std::vector<int64_t> numbers_of(NSArray<NSNumber*>* array) {
  std::vector<int64_t> numbers;
  for (NSNumber* one in array) numbers.push_back([one longLongValue]);
  return numbers;
}

}  // namespace simulated

@implementation MPSNDArrayDescriptor
@synthesize preferPackedRows = _packed;

+ (instancetype)descriptorWithDataType:(MPSDataType)dataType shape:(MPSShape*)shape {
  auto* layout = new Layout{dataType, {}};
  for (int64_t size : simulated::numbers_of(shape)) {
    layout->dimensions.push_back({static_cast<int64_t>(layout->dimensions.size()), 0, size});
  }
  MPSNDArrayDescriptor* made = [[MPSNDArrayDescriptor alloc] autorelease];
  made->layout_ = layout;
  return made;
}

- (void)dealloc {
  delete static_cast<Layout*>(layout_);
  [super dealloc];
}

- (MPSDataType)dataType {
  return layout_of(self).type;
}

- (NSUInteger)numberOfDimensions {
  return layout_of(self).dimensions.size();
}

- (void)transposeDimension:(NSUInteger)one withDimension:(NSUInteger)other {
  std::swap(layout_of(self).counted_from_last(one), layout_of(self).counted_from_last(other));
}

- (void)sliceDimension:(NSUInteger)dimension withSubrange:(NSRange)range {
  Dimension& sliced = layout_of(self).counted_from_last(dimension);
  sliced.start += static_cast<int64_t>(range.location);
  sliced.size = static_cast<int64_t>(range.length);
}

@end

@implementation MPSNDArray

- (instancetype)initWithDevice:(id<MTLDevice>)device descriptor:(MPSNDArrayDescriptor*)descriptor {
  size_t count = 1;
  for (const Dimension& one : layout_of(descriptor).dimensions) count *= static_cast<size_t>(one.size);
  id<MTLBuffer> buffer = [device newBufferWithLength:count * simulated::width_of(descriptor.dataType) options:0];
  [self initWithBuffer:buffer offset:0 descriptor:descriptor];
  [(id)buffer release];
  return self;
}

- (instancetype)initWithBuffer:(id<MTLBuffer>)buffer offset:(NSUInteger)offset descriptor:(MPSNDArrayDescriptor*)descriptor {
  std::vector<int64_t> sizes;
  for (const Dimension& one : layout_of(descriptor).dimensions) sizes.push_back(one.size);
  array_ = new Array{[(id)buffer retain], offset, sizes, dense_strides(sizes), descriptor.dataType};
  return self;
}

- (void)dealloc {
  if (auto* array = static_cast<Array*>(array_)) {
    [array->buffer release];
    delete array;
  }
  [super dealloc];
}

- (NSUInteger)numberOfDimensions {
  return simulated::array_of(self).sizes.size();
}

- (NSUInteger)lengthOfDimension:(NSUInteger)dimension {
  const auto& sizes = simulated::array_of(self).sizes;
  return dimension < sizes.size() ? static_cast<NSUInteger>(sizes[sizes.size() - 1 - dimension]) : 1;
}

- (MPSDataType)dataType {
  return simulated::array_of(self).type;
}

- (MPSNDArrayDescriptor*)descriptor {
  NSMutableArray<NSNumber*>* shape = [NSMutableArray array];
  for (int64_t size : simulated::array_of(self).sizes) [shape addObject:[NSNumber numberWithLong:size]];
  return [MPSNDArrayDescriptor descriptorWithDataType:[self dataType] shape:shape];
}

- (MPSNDArray*)arrayViewWithShape:(MPSShape*)shape strides:(MPSShape*)strides {
  const Array& array = simulated::array_of(self);
  MPSNDArray* made = view(array, simulated::numbers_of(shape), simulated::numbers_of(strides), array.offset_bytes);
  must_fit(simulated::array_of(made), "arrayViewWithShape:strides:");
  return made;
}

- (MPSNDArray*)arrayViewWithCommandBuffer:(id<MTLCommandBuffer>)buffer
                               descriptor:(MPSNDArrayDescriptor*)descriptor
                                 aliasing:(MPSAliasingStrategy)aliasing {
  const Array& array = simulated::array_of(self);
  std::vector<int64_t> sizes, strides;
  size_t offset = array.offset_bytes;
  for (const Dimension& one : layout_of(descriptor).dimensions) {
    int64_t stride = array.strides.at(static_cast<size_t>(one.of));
    sizes.push_back(one.size);
    strides.push_back(stride);
    offset += static_cast<size_t>(one.start * stride) * simulated::width_of(array.type);
  }
  return view(array, std::move(sizes), std::move(strides), offset);
}

- (void)writeBytes:(const void*)bytes strideBytes:(NSInteger*)strides {
  const Array& array = simulated::array_of(self);
  if (strides != nullptr || !array.is_dense()) mps_sim::not_simulated("-[MPSNDArray writeBytes:strideBytes:] with strides");
  memcpy(array.memory(), bytes, array.count() * simulated::width_of(array.type));
}

@end

@implementation MPSNDArrayIdentity

- (MPSNDArray*)reshapeWithCommandBuffer:(id<MTLCommandBuffer>)buffer
                            sourceArray:(MPSNDArray*)source
                                  shape:(MPSShape*)shape
                       destinationArray:(MPSNDArray*)destination {
  if (destination != nil) mps_sim::not_simulated("-[MPSNDArrayIdentity reshapeWithCommandBuffer:...] into another array");
  const Array& array = simulated::array_of(source);
  std::vector<int64_t> sizes = simulated::numbers_of(shape);
  std::vector<int64_t> strides = strides_reshaped(array, sizes);
  return view(array, std::move(sizes), std::move(strides), array.offset_bytes);
}

@end
