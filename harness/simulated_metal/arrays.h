// Where the values of an MPSNDArray lie. Dimensions are in a shape's order here: the last one moves fastest.
#pragma once

#include <MetalPerformanceShadersGraph/MetalPerformanceShadersGraph.h>

#include <cstddef>
#include <cstdint>
#include <vector>

namespace simulated {

struct Array {
  id buffer;  // Kept by the MPSNDArray.
  size_t offset_bytes;
  std::vector<int64_t> sizes, strides;  // Strides count elements.
  MPSDataType type;

  char* memory() const;
  size_t count() const;
  bool is_dense() const;    // Without gaps, in order.
  size_t end_bytes() const;  // Behind its last value, from the buffer's begin.
};

const Array& array_of(MPSNDArray* array);
const Array& array_of(MPSGraphTensorData* data);
std::vector<int64_t> numbers_of(NSArray<NSNumber*>* array);

}  // namespace simulated
