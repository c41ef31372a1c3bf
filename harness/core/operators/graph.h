// What the files with MPSGraph's operations share: a tensor of a graph, and how one is added. See nodes.h.
#pragma once

#include <MetalPerformanceShadersGraph/MetalPerformanceShadersGraph.h>

#include <ATen/ATen.h>

#include <optional>
#include <vector>

#include "nodes.h"
#include "simulated_metal/arrays.h"

// Kept by its graph, as MPSGraph keeps them: PyTorch never retains one.
@interface InterpretedTensor : MPSGraphTensor {
 @public
  mps_graph::Output* output_;
}
@end

namespace mps_graph {

using Tensors = std::vector<MPSGraphTensor*>;
using Type = std::optional<c10::ScalarType>;
using One = std::function<at::Tensor(const Values&)>;

const Output& output_of(MPSGraphTensor* tensor);
c10::ScalarType type_of(MPSDataType type);
std::vector<int64_t> axes_of(NSArray<NSNumber*>* axes);

// Adds an operation with one result.
MPSGraphTensor* add(MPSGraph* graph, const char* name, const Tensors& inputs, One compute, Type type = {},
                    bool shapes_at_run = false);
// ... with several.
NSArray<MPSGraphTensor*>* add_several(MPSGraph* graph, const char* name, const Tensors& inputs, Compute compute,
                                      std::vector<Type> types, bool shapes_at_run = false);

// The operation ends the process where its operands are of several types, as MPSGraph's compiler does.
void require_one_type(const char* name, MPSGraphTensor* one, MPSGraphTensor* other);

// Memory of a simulated buffer as a tensor of the CPU.
at::Tensor alias(const simulated::Array& array);

int64_t wrapped(int64_t axis, int64_t dimensions);

}  // namespace mps_graph
